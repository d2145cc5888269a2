/** One run: a contender in a workload, in a fresh database; warmed up, measured, audited. */
import type pg from 'pg'
import type { Contender } from '../contender.js'
import type { Round, Window } from '../result.js'
import type { SideServers } from '../servers/index.js'
import type { Workload } from '../workload.js'
import type { CpuClock } from './cpu.js'
import { type Databases, onDatabase } from './databases.js'
import { failureMessage } from './failure-message.js'
import { addTallies, type Costs, figuresOf, mostFrequentFailures } from './figures.js'
import type { Mark } from './messages.js'
import { type Sample, startSampling } from './sampler.js'
import type { Worker, Workers } from './workers.js'

/** The tools of every run of the bench. */
export interface Laboratory {
  readonly workers: Workers
  readonly databases: Databases
  /** A connection to the maintenance database, on which nothing else is said during a run. */
  readonly observer: pg.ClientBase
  readonly cpu: CpuClock
  readonly sideServers: SideServers
  readonly folder: string
}

/** In ms: code that has run for less than that is still being compiled. */
const COMPILED = 1_500
/** In ms. A worker that takes longer than asked by this much hangs: no call of any contender may wait so long. */
const PATIENCE = 30_000

/** Never rejects because of the contender: its errors are in the round. */
export async function measure(
  laboratory: Laboratory,
  workload: Workload,
  contender: Contender,
  round: number,
  window: Window,
): Promise<Round> {
  const { workers, databases, sideServers, folder } = laboratory
  const database = await databases.create(workload)
  try {
    await contender.prepare?.(database.url)
    const taken = await workers.take(contender.id, workload.processes)
    const servers = sideServers.urls
    await each(taken, (worker, processIndex) => {
      const env = { databaseUrl: database.url, poolSize: workload.poolSize, servers, folder, processIndex }
      const { processes } = workload
      const message = { kind: 'open', contender: contender.id, workload: workload.id, env, processes } as const
      return worker.ask(message, 'opened', PATIENCE)
    })
    const enough = longEnough(taken, workload, window)
    const { reports, costs, sample } = await load(laboratory, contender, taken, enough, database.name)

    await each(taken, (worker) => worker.ask({ kind: 'close' }, 'closed', PATIENCE))
    const tally = addTallies(reports)
    return {
      round,
      warmUpMilliseconds: enough.warmUpMilliseconds,
      figures: figuresOf(reports, sample, costs),
      audit: await onDatabase(database.url, (client) => workload.audit(client, tally)),
      failures: mostFrequentFailures(reports),
    }
  } catch (error) {
    // It may be in the middle of anything: the next run begins with new processes.
    await workers.dismiss(contender.id)
    return { round, error: failureMessage(error), failures: [] }
  } finally {
    await databases.drop(database.name)
  }
}

/** The window, with so long a warm-up that all workers have done enough of this work before. */
function longEnough(workers: readonly Worker[], { operation }: Workload, window: Window): Window {
  const least = Math.min(...workers.map(({ experience }) => experience.get(operation) ?? 0))
  const warmUpMilliseconds = Math.max(window.warmUpMilliseconds, COMPILED - least)
  for (const { experience } of workers) {
    experience.set(operation, (experience.get(operation) ?? 0) + warmUpMilliseconds + window.measuredMilliseconds)
  }
  return { ...window, warmUpMilliseconds }
}

/** Looks at the servers from the moment at which the last worker is warm to that at which the last one is measured. */
async function load(
  laboratory: Laboratory,
  { server }: Contender,
  workers: readonly Worker[],
  window: Window,
  database: string,
) {
  const { observer, sideServers } = laboratory
  const state = sideServers.databaseOf(server)
  const left: Record<Mark, number> = { warm: workers.length, measured: workers.length }
  const costs: Partial<Record<Mark, Promise<Costs>>> = {}
  let endSampling: (() => Promise<Sample>) | undefined
  let sample: Promise<Sample> | undefined
  const onMark = (mark: Mark) => {
    if (--left[mark] > 0) return
    const looked = readCosts(laboratory, server)
    looked.catch(() => {}) // awaited below, unless something else fails first
    costs[mark] = looked
    if (mark === 'warm') endSampling = startSampling(observer, state === undefined ? [database] : [database, state])
    else sample = endSampling?.()
    sample?.catch(() => {})
  }
  const patience = window.warmUpMilliseconds + window.measuredMilliseconds + PATIENCE
  const answers = await each(workers, (worker) =>
    worker.ask({ kind: 'load', window }, 'loaded', patience, onMark),
  ).catch(async (error: unknown) => {
    await (sample ?? endSampling?.())?.catch(() => {}) // its result is of no use any more
    throw error
  })
  const [before, after] = [await (costs.warm as Promise<Costs>), await (costs.measured as Promise<Costs>)]
  return {
    reports: answers.map(({ report }) => report),
    costs: difference(before, after),
    sample: await (sample as Promise<Sample>),
  }
}

async function readCosts({ cpu, sideServers }: Laboratory, server: Contender['server']): Promise<Costs> {
  const [databaseCpu, lockServer] = await Promise.all([cpu(), sideServers.meter(server)])
  return { databaseCpu, lockServer }
}

function difference(before: Costs, after: Costs): Costs {
  const less = (a: number | null, b: number | null) => (a === null || b === null ? null : a - b)
  return {
    databaseCpu: less(after.databaseCpu, before.databaseCpu),
    lockServer: {
      cpu: less(after.lockServer.cpu, before.lockServer.cpu),
      statements: after.lockServer.statements - before.lockServer.statements,
      transactions: after.lockServer.transactions - before.lockServer.transactions,
    },
  }
}

/** All at once. If one fails, the others have ended before this rejects. */
async function each<R>(workers: readonly Worker[], ask: (worker: Worker, index: number) => Promise<R>): Promise<R[]> {
  const results = await Promise.allSettled(workers.map(ask))
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}
