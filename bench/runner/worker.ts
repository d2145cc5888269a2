/**
 * A process in which a contender works, so that the CPU time it takes is its own. It lives through
 * many runs, as a server does; each run opens the contender anew, in a database of its own.
 */
import type { Contender, Session } from '../contender.js'
import type { Call, KeyTally } from '../workload.js'
import { findWorkload } from '../workloads/index.js'
import { drive, machineTime } from './drive.js'
import { failureMessage } from './failure-message.js'
import type { DriveReport, FromWorker, ToWorker } from './messages.js'
import { countStatements, statementCounts } from './statements.js'

// Whoever started this process is gone, so nobody wants its work any more.
process.once('disconnect', () => process.exit(1))
// Ctrl-C reaches every process of the terminal; the runner ends this one when it is ready to.
process.on('SIGINT', () => {})
countStatements()

let session: Session | undefined
let calls: readonly Call[] = []

process.on('message', async (message: ToWorker) => {
  process.send?.(await answer(message).catch(failure))
})

function failure(error: unknown): FromWorker {
  return { kind: 'failed', message: failureMessage(error) }
}

async function answer(message: ToWorker): Promise<FromWorker> {
  switch (message.kind) {
    case 'open':
      await open(message)
      return { kind: 'opened' }
    case 'drive':
      return { kind: 'driven', report: await driveAll(message.milliseconds, message.last) }
    case 'close':
      calls = []
      await session?.close()
      session = undefined
      return { kind: 'closed' }
  }
}

async function open({ contender, workload, env, processes }: Extract<ToWorker, { kind: 'open' }>): Promise<void> {
  const module = (await import(new URL(`../contenders/${contender}.ts`, import.meta.url).href)) as {
    default: Contender
  }
  const opened = await module.default.open(env)
  session = opened
  const { callers, caller } = findWorkload(workload)
  calls = Array.from({ length: callers }, (_, index) =>
    caller(opened, {
      name: `p${env.processIndex}c${index}`,
      index: env.processIndex * callers + index,
      of: processes * callers,
    }),
  )
}

async function driveAll(milliseconds: number, last: boolean): Promise<DriveReport> {
  const counts = statementCounts()
  const cpu = process.cpuUsage()
  const begin = machineTime()
  const { latencies, retries, tally, failures } = await drive(calls, milliseconds)
  if (last) await session?.settle?.()
  const end = machineTime()
  const { user, system } = process.cpuUsage(cpu)
  const after = statementCounts()
  return {
    begin,
    end,
    latencies: Float64Array.from(latencies),
    retries,
    tally: tally satisfies Record<string, KeyTally>,
    failures,
    statements: after.statements - counts.statements,
    transactions: after.transactions - counts.transactions,
    cpuMilliseconds: (user + system) / 1_000,
  }
}
