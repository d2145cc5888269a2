/** One run: a contender in a workload, in a fresh database; warmed up, measured, audited. */
import type pg from 'pg'
import type { Contender, Environment } from '../contender.js'
import type { Round } from '../result.js'
import type { Workload } from '../workload.js'
import type { CpuClock } from './cpu.js'
import type { Crew, Worker } from './crew.js'
import { type Databases, onDatabase } from './databases.js'
import { failureMessage } from './failure-message.js'
import { addTallies, figuresOf, mostFrequentFailures } from './figures.js'
import { startSampling } from './sampler.js'

/** What every run of the bench is made with. */
export interface Laboratory {
  readonly crew: Crew
  readonly databases: Databases
  /** A connection to the maintenance database, on which nothing else is said during a run. */
  readonly observer: pg.ClientBase
  readonly cpu: CpuClock
  readonly servers: Environment['servers']
  readonly folder: string
}

export interface Times {
  readonly warmUpMilliseconds: number
  readonly measuredMilliseconds: number
}

/** In ms. Whoever takes longer, over what was asked, hangs: no call of any contender may wait so long. */
const PATIENCE = 45_000

/** Never rejects because of the contender: what went wrong with it is in the round. */
export async function measure(
  { crew, databases, observer, cpu, servers, folder }: Laboratory,
  workload: Workload,
  contender: Contender,
  round: number,
  times: Times,
): Promise<Round> {
  const database = await databases.create(workload)
  try {
    await contender.prepare?.(database.url)
    const workers = await crew.take(contender.id, workload.processes)
    await each(workers, (worker, processIndex) => {
      const env = { databaseUrl: database.url, poolSize: workload.poolSize, servers, folder, processIndex }
      const { processes } = workload
      const message = { kind: 'open', contender: contender.id, workload: workload.id, env, processes } as const
      return worker.ask(message, 'opened', PATIENCE)
    })
    const warmUp = await drive(workers, times.warmUpMilliseconds, false)

    const endSampling = startSampling(observer, database.name)
    const cpuBefore = await cpu()
    const reports = await drive(workers, times.measuredMilliseconds, true).catch(async (error: unknown) => {
      await endSampling().catch(() => {}) // what it says is of no use any more
      throw error
    })
    const cpuAfter = await cpu()
    const sample = await endSampling()

    await each(workers, (worker) => worker.ask({ kind: 'close' }, 'closed', PATIENCE))
    const tally = addTallies([...warmUp, ...reports])
    return {
      round,
      figures: figuresOf(reports, sample, cpuBefore === null || cpuAfter === null ? null : cpuAfter - cpuBefore),
      audit: await onDatabase(database.url, (client) => workload.audit(client, tally)),
      failures: mostFrequentFailures(reports),
    }
  } catch (error) {
    // It may be in the middle of anything: the next run begins with new processes.
    await crew.dismiss(contender.id)
    return { round, error: failureMessage(error), failures: [] }
  } finally {
    await databases.drop(database.name)
  }
}

async function drive(workers: readonly Worker[], milliseconds: number, last: boolean) {
  const message = { kind: 'drive', milliseconds, last } as const
  const answers = await each(workers, (worker) => worker.ask(message, 'driven', milliseconds + PATIENCE))
  return answers.map(({ report }) => report)
}

/** All at once. If one fails, the others have ended before this rejects. */
async function each<R>(workers: readonly Worker[], ask: (worker: Worker, index: number) => Promise<R>): Promise<R[]> {
  const results = await Promise.allSettled(workers.map(ask))
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}
