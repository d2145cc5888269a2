import type { Cell, Side, Work } from './cells.js'

export interface CellRun {
  readonly done: number
  readonly perSecond: number
  /** The CPU of this process per call, in µs. */
  readonly cpu: number
}

let n = 0

/** Makes the calls of a cell, by all of its callers at once, for so many ms. */
export async function runCell({ callers, call }: Cell, side: Side, ms: number): Promise<CellRun> {
  const cpu = process.cpuUsage()
  const begin = performance.now()
  let done = 0
  const loop = async (caller: number): Promise<void> => {
    while (performance.now() < begin + ms) {
      await call(side as Work, { caller, n: n++ })
      done++
    }
  }
  await Promise.all(Array.from({ length: callers }, (_, caller) => loop(caller)))
  const { user, system } = process.cpuUsage(cpu)
  return { done, cpu: (user + system) / done, perSecond: (done / (performance.now() - begin)) * 1_000 }
}
