import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Order, Report } from './messages.js'

const worker = fileURLToPath(new URL('./worker.ts', import.meta.url))

export interface Figure {
  readonly perSecond: number
  readonly cpuMicroseconds: number
}

/** The processes of a side, on one database. They are started as they are needed. */
export class Processes {
  readonly #way: string
  readonly #url: string
  readonly #children: ReturnType<typeof fork>[] = []

  constructor(way: string, url: string) {
    this.#way = way
    this.#url = url
  }

  /** @returns nothing where the side has no such call */
  async measure(count: number, order: Order): Promise<Figure | undefined> {
    while (this.#children.length < count) {
      const child = fork(worker, [this.#way, this.#url], { execArgv: process.execArgv })
      this.#children.push(child)
      await next(child)
    }
    const reports = await Promise.all(this.#children.slice(0, count).map((child) => ask(child, order)))
    let perSecond = 0
    let cpuMicroseconds = 0
    for (const report of reports) {
      if (report.kind === 'failed') throw new Error(`${this.#way}: ${report.message}`)
      if (report.kind !== 'figure') return undefined
      perSecond += report.perSecond
      cpuMicroseconds += report.cpuMicroseconds / count
    }
    return { perSecond, cpuMicroseconds }
  }

  end(): void {
    for (const child of this.#children) child.kill()
  }
}

async function ask(child: ReturnType<typeof fork>, order: Order): Promise<Report> {
  const answer = next(child)
  child.send(order)
  return answer
}

async function next(child: ReturnType<typeof fork>): Promise<Report> {
  const ended = new AbortController()
  const end = () => ended.abort(new Error('A process of the bench ended; what it printed says why.'))
  child.once('exit', end)
  try {
    const [report] = (await once(child, 'message', { signal: ended.signal })) as [Report]
    return report
  } finally {
    child.off('exit', end)
  }
}
