/** A process of one side: carries out a cell for as long as it is told. */
import { openByHand } from './by-hand.js'
import { CELLS, type Cell, type Side, type Work } from './cells.js'
import type { Order, Report } from './messages.js'
import { openOurs } from './ours.js'
import { openPlainPg } from './plain-pg.js'

const [way = '', url = ''] = process.argv.slice(2)
const side = await open()
let n = 0

process.on('disconnect', () => process.exit())
process.on('message', async ({ cell, ms }: Order) => {
  const wanted = CELLS[cell]
  send(wanted === undefined || side[wanted.work] === undefined ? { kind: 'absent' } : await measure(wanted, ms))
})
send({ kind: 'ready' })

function open(): Side | Promise<Side> {
  if (way === 'by hand') return openByHand(url)
  return way === 'pg' ? openPlainPg(url) : openOurs(url, way)
}

async function measure({ callers, call }: Cell, ms: number): Promise<Report> {
  const cpu = process.cpuUsage()
  const begin = performance.now()
  let done = 0
  const loop = async (caller: number): Promise<void> => {
    while (performance.now() < begin + ms) {
      await call(side as Work, { caller, n: n++ })
      done++
    }
  }
  try {
    await Promise.all(Array.from({ length: callers }, (_, caller) => loop(caller)))
  } catch (error) {
    return { kind: 'failed', message: String(error) }
  }
  const { user, system } = process.cpuUsage(cpu)
  return {
    kind: 'figure',
    perSecond: (done / (performance.now() - begin)) * 1_000,
    cpuMicroseconds: (user + system) / done,
  }
}

function send(report: Report): void {
  process.send?.(report)
}
