/** Measures the growth curves, a point after the other, each in processes of its own. */
import { type ChildProcess, fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { GrowthCurve, GrowthPoint } from '../result.js'
import type { Databases } from '../runner/databases.js'
import { failureMessage } from '../runner/failure-message.js'
import { generateClient } from '../start/models.js'
import { CURVES, type Curve } from './curves.js'

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url))
const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PATIENCE = 180_000
const MODELS = [10, 30, 100, 300]

/** In s, about, for the time that is left for the workloads. */
export const GROWTH_SECONDS = 240

/** The task of a process, as JSON. */
export interface Task {
  readonly curve: number
  readonly at: number
  readonly url: string
  readonly ms: number
}

export type Figure = Pick<GrowthPoint, 'perSecond' | 'cpuMicroseconds' | 'heapBytesPerCall'>

export interface GrowthOptions {
  readonly databases: Databases
  /** How long each point is measured, in ms. */
  readonly ms: number
  readonly interrupted: AbortSignal
  /** Only curves whose id has this text. */
  readonly only?: string
  readonly onProgress: (text: string) => void
  /** Is given each curve when it is whole. */
  readonly onCurve?: (curve: GrowthCurve) => void
}

export async function measureGrowth({ databases, ms, interrupted, only = '', onProgress, onCurve }: GrowthOptions) {
  const curves: GrowthCurve[] = []
  const urls = new Map<string, string>()
  for (const [index, curve] of CURVES.entries()) {
    if (!curve.id.includes(only)) continue
    const points: GrowthPoint[] = []
    for (const at of curve.at) {
      interrupted.throwIfAborted()
      onProgress(`growth, ${curve.id} at ${at}`)
      const database = curve.database(at)
      const url = urls.get(database.id) ?? (await databases.create(database, false)).url
      urls.set(database.id, url)
      points.push(await measurePoint(curve, { curve: index, at, url, ms }, interrupted))
    }
    const whole = { id: curve.id, title: curve.title, axis: curve.axis, points }
    curves.push(whole)
    onCurve?.(whole)
  }
  if (!'models'.includes(only)) return curves
  onProgress('growth, models')
  const models = await measureModels()
  onCurve?.(models)
  return [...curves, models]
}

async function measurePoint({ processes }: Curve, task: Task, interrupted: AbortSignal): Promise<GrowthPoint> {
  const execArgv = ['--expose-gc', ...process.execArgv]
  const children = Array.from({ length: processes(task.at) }, () => fork(WORKER, [JSON.stringify(task)], { execArgv }))
  const end = () => children.forEach((child) => void child.kill('SIGKILL'))
  interrupted.addEventListener('abort', end)
  try {
    await Promise.all(children.map(answer))
    const figures = (await Promise.all(
      children.map((child) => {
        child.send('go')
        return answer(child)
      }),
    )) as Figure[]
    const sum = (value: (figure: Figure) => number) => figures.reduce((total, figure) => total + value(figure), 0)
    return {
      at: task.at,
      perSecond: sum(({ perSecond }) => perSecond),
      cpuMicroseconds: sum(({ cpuMicroseconds }) => cpuMicroseconds) / figures.length,
      heapBytesPerCall: figures[0]?.heapBytesPerCall ?? null,
    }
  } catch (error) {
    interrupted.throwIfAborted()
    return { at: task.at, perSecond: 0, cpuMicroseconds: 0, heapBytesPerCall: null, error: failureMessage(error) }
  } finally {
    interrupted.removeEventListener('abort', end)
    end()
  }
}

/** The next message; rejects if the process ends before, or takes too long. */
async function answer(child: ChildProcess): Promise<unknown> {
  const ended = new AbortController()
  child.once('exit', () => ended.abort(new Error('The process ended in the middle of its work.')))
  const [message] = await once(child, 'message', {
    signal: AbortSignal.any([ended.signal, AbortSignal.timeout(PATIENCE)]),
  })
  return message
}

/** The first `$extends(concurrency())` of a process, on a client of so many models. */
async function measureModels(): Promise<GrowthCurve> {
  const script = join(ROOT, 'bench', 'start', 'process.mjs')
  const modules = ['node_modules/@prisma/adapter-pg/dist/index.mjs', 'dist/index.js', 'dist/erp.js']
  const points: GrowthPoint[] = []
  for (const at of MODELS) {
    const folder = mkdtempSync(join(tmpdir(), 'concurrency-growth-'))
    try {
      const paths = [await generateClient(folder, at), ...modules.map((path) => join(ROOT, path))]
      const { stdout } = spawnSync(process.execPath, [script, 'extend', ...paths], { encoding: 'utf8' })
      const { first } = JSON.parse(stdout) as { first: { time: number; cpu: number } }
      points.push({ at, perSecond: 1_000 / first.time, cpuMicroseconds: first.cpu * 1_000, heapBytesPerCall: null })
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
  return { id: 'models', title: '$extends(concurrency()), the first time', axis: 'models', points }
}
