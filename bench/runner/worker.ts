/**
 * A process in which a contender works, so that the CPU time it takes is its own. It lives through
 * many runs, as a server does; each run opens the contender anew, in a database of its own.
 */
import type { Contender, Session } from '../contender.js'
import type { Window } from '../result.js'
import type { Call } from '../workload.js'
import { findWorkload } from '../workloads/index.js'
import { cpuOfEndedChildren } from './cpu.js'
import { failureMessage } from './failure-message.js'
import { load, machineTime } from './load.js'
import type { FromWorker, LoadReport, Mark, ToWorker } from './messages.js'
import { countStatements, statementCounts } from './statements.js'

// The process that started this one is gone, so nobody waits for its work.
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
    case 'load':
      return { kind: 'loaded', report: await loadAll(message.window) }
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

async function loadAll(window: Window): Promise<LoadReport> {
  const at: Partial<Record<Mark, Readings>> = {}
  const mark = (kind: Mark) => {
    at[kind] = readings()
    process.send?.({ kind } satisfies FromWorker)
  }
  const { latencies, ...figures } = await load(calls, window, mark, session?.settle?.bind(session))
  const { warm: before, measured: after } = at as Record<Mark, Readings> // both have passed
  return {
    ...figures,
    latencies: Float64Array.from(latencies),
    begin: before.time,
    end: after.time,
    statements: after.statements - before.statements,
    transactions: after.transactions - before.transactions,
    cpuMilliseconds: after.cpuMilliseconds - before.cpuMilliseconds,
  }
}

type Readings = ReturnType<typeof readings>

function readings() {
  const { user, system } = process.cpuUsage()
  return {
    ...statementCounts(),
    time: machineTime(),
    cpuMilliseconds: (user + system) / 1_000 + cpuOfEndedChildren(),
  }
}
