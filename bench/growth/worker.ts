/** A process for one point of a curve: warms up, waits for the others, measures, and ends. */
import { once } from 'node:events'
import { openOurs } from './client.js'
import { CURVES, type Curve } from './curves.js'
import type { Figure, Task } from './measure.js'

const WARM_UP_MS = 500
/** So many may call while it warms up: more of them would only wait. */
const WARM_UP_CALLERS = 64
/** A batch gathers for a few turns of the microtask queue: after so many all calls wait. */
const TURNS = 30
const FEWEST_FOR_HEAP = 256

const { curve: index, at, url, ms }: Task = JSON.parse(process.argv[2] ?? '')
const { before, call, callers } = CURVES[index] as Curve
const db = openOurs(url)
let n = 0

process.on('disconnect', () => process.exit())
await run(Math.min(callers(at), WARM_UP_CALLERS), WARM_UP_MS)
process.send?.('ready')
await once(process, 'message')
process.send?.(await run(callers(at), ms))
process.exit()

async function run(count: number, duration: number): Promise<Figure> {
  if (before) return alone(duration)
  let until = Infinity
  let done = 0
  const loop = async () => {
    do {
      await call(db, { n: n++, at })
      done++
    } while (performance.now() < until)
  }
  const heap = used()
  const loops = Array.from({ length: count }, loop)
  for (let turn = 0; turn < TURNS; turn++) await null
  const heapBytesPerCall = count < FEWEST_FOR_HEAP ? null : Math.round((used() - heap) / count)
  const [begin, cpu] = [performance.now(), process.cpuUsage()]
  until = begin + duration
  await Promise.all(loops)
  return { ...figure(performance.now() - begin, process.cpuUsage(cpu), done), heapBytesPerCall }
}

/** One caller, with work between the calls that does not count. */
async function alone(duration: number): Promise<Figure> {
  const until = performance.now() + duration
  const sum = { time: 0, user: 0, system: 0 }
  let done = 0
  do {
    await before?.(db, at)
    const [begin, cpu] = [performance.now(), process.cpuUsage()]
    await call(db, { n: n++, at })
    const { user, system } = process.cpuUsage(cpu)
    sum.time += performance.now() - begin
    sum.user += user
    sum.system += system
    done++
  } while (performance.now() < until)
  return { ...figure(sum.time, sum, done), heapBytesPerCall: null }
}

function figure(time: number, { user, system }: NodeJS.CpuUsage, done: number) {
  return { perSecond: (done / time) * 1_000, cpuMicroseconds: (user + system) / done }
}

function used(): number {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}
