import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Method, Sale } from './sell.js'
import type { FromWorker, ToWorker } from './worker.js'

export interface Replay {
  /** One per order line, sold or refused. */
  readonly sales: readonly Sale[]
  readonly milliseconds: number
}

const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url))
const WORKERS = 4

/** Four processes that sell side by side. They live for all runs, and must be ended. */
export class Crew {
  readonly #workers = Array.from({ length: WORKERS }, () => fork(WORKER, { execArgv: ['--import', 'tsx'] }))

  constructor(interruption: AbortSignal) {
    interruption.addEventListener('abort', () => this.#kill())
  }

  /** Lets them go through all order lines together, in the database with that URL. */
  async replay(method: Method, url: string, onLine: () => void): Promise<Replay> {
    const ready = this.#all('ready')
    for (const [index, worker] of this.#workers.entries())
      tell(worker, { kind: 'task', method, url, index, of: WORKERS })
    await ready

    const countLine = ({ kind }: FromWorker) => kind === 'progress' && onLine()
    for (const worker of this.#workers) worker.on('message', countLine)
    const done = this.#all('done')
    const begin = performance.now()
    for (const worker of this.#workers) tell(worker, { kind: 'begin' })
    const results = await done
    const milliseconds = performance.now() - begin
    for (const worker of this.#workers) worker.off('message', countLine)
    return { sales: results.flatMap(({ sales }) => sales), milliseconds }
  }

  async end(): Promise<void> {
    this.#kill()
    await Promise.all(
      this.#workers.map(async (worker) => {
        if (isRunning(worker)) await once(worker, 'exit')
      }),
    )
  }

  #all<K extends FromWorker['kind']>(kind: K) {
    return Promise.all(this.#workers.map((worker) => message(worker, kind)))
  }

  #kill() {
    for (const worker of this.#workers) worker.kill()
  }
}

function tell(worker: ChildProcess, message: ToWorker) {
  worker.send(message)
}

/** The worker's next message of that kind; an error if it ends before. */
function message<K extends FromWorker['kind']>(
  worker: ChildProcess,
  kind: K,
): Promise<Extract<FromWorker, { kind: K }>> {
  return new Promise((resolve, reject) => {
    const fail = () => reject(new Error('A worker ended before its work was done.'))
    if (!isRunning(worker)) return fail()
    worker.once('error', reject).once('exit', fail)
    worker.on('message', (message: FromWorker) => {
      if (message.kind === kind) resolve(message as Extract<FromWorker, { kind: K }>)
    })
  })
}

function isRunning(worker: ChildProcess): boolean {
  return worker.exitCode === null && worker.signalCode === null
}
