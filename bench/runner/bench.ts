/** The bench itself, once everything it needs runs: rounds, workloads in each, contenders in random order in each. */
import type pg from 'pg'
import type { Server } from '../../test/support/server.js'
import type { Contender } from '../contender.js'
import { measureGrowth } from '../growth/measure.js'
import { growthTable } from '../growth/table.js'
import { runPauseTest } from '../pause-test/index.js'
import {
  type BenchResult,
  type Cell,
  type GrowthCurve,
  type PauseTestResult,
  RESULT_FORMAT,
  type Round,
  type Window,
} from '../result.js'
import type { SideServers } from '../servers/index.js'
import type { Workload } from '../workload.js'
import type { Request } from './arguments.js'
import { whyMissing } from './contenders.js'
import { serverCpuClock } from './cpu.js'
import { Databases } from './databases.js'
import { describeMachine, describeServer, packageVersions } from './machine.js'
import { type Laboratory, measure } from './measure.js'
import { Plan, takersOf } from './plan.js'
import { seededRandom, shuffled } from './random.js'
import { fastestByHand, isWrong, sumAudits, summarise } from './summary.js'
import { headline, legend, missingContenders, NOT_ASKED_FOR, pauseTestTable, workloadTable } from './table.js'
import type { Workers } from './workers.js'
import { writeReport } from './write-report.js'
import { writeResult } from './write-result.js'

/** How long each point of a growth curve is measured, in ms. */
const GROWTH_MS = 500

export interface Bench {
  readonly request: Request
  readonly contenders: readonly Contender[]
  readonly server: Server
  readonly observer: pg.ClientBase
  readonly workers: Workers
  readonly sideServers: SideServers
  readonly folder: string
  readonly interrupted: AbortSignal
}

/** Resolves to the exit code: 1 if a contender of ours left wrong data, or broke down. */
export async function runBench(bench: Bench): Promise<number> {
  const { request, server, observer, workers, sideServers, folder, interrupted } = bench
  const { form, isWanted, seed } = request
  const machine = describeMachine()
  const wanted = bench.contenders.filter(isWanted)
  await sideServers.start(
    wanted.flatMap(({ server: name }) => name ?? []),
    { databaseUrl: server.url },
  )
  const missing = new Map(wanted.map((contender) => [contender.id, whyMissing(contender, sideServers.whyMissing)]))
  const present = wanted.filter(({ id }) => missing.get(id) === undefined)
  const windows: Window[] = []
  const rounds = new Map<string, Round[]>()
  let pauseTest: readonly PauseTestResult[] = []
  let growth: readonly GrowthCurve[] = []
  const roundsOf = ({ id: workload }: Pick<Workload, 'id'>, { id }: Contender) => rounds.get(`${workload} ${id}`) ?? []
  const baselineOf = (workload: Pick<Workload, 'id' | 'operation'>) =>
    fastestByHand(takersOf(workload, present), (contender) => roundsOf(workload, contender))

  const begin = performance.now()
  const date = new Date().toISOString()
  const isEmbedded = server.pid !== undefined
  const databaseServer = await describeServer(observer, isEmbedded)
  const result = (isComplete: boolean): BenchResult => ({
    format: RESULT_FORMAT,
    form: form.name,
    date,
    seconds: Math.round((performance.now() - begin) / 1_000),
    isComplete,
    machine,
    server: databaseServer,
    method: { rounds: windows.length || form.rounds, windows, seed, packages: packageVersions(packagesOf(present)) },
    contenders: bench.contenders.map(({ id, title, family, source, choices, operations, ...contender }) => {
      const why = missing.has(id) ? missing.get(id) : notAskedFor(contender)
      return { id, title, family, source, choices, operations, ...(why === undefined ? {} : { missing: why }) }
    }),
    workloads: form.workloads.map(({ fill: _, caller: _c, audit: _a, short: _s, ...workload }) => {
      const baseline = baselineOf(workload)
      return { ...workload, ...(baseline === undefined ? {} : { baseline: baseline.id }) }
    }),
    cells: form.workloads.flatMap((workload) =>
      cellsOf(workload, takersOf(workload, present), baselineOf(workload), roundsOf),
    ),
    pauseTest,
    ...(growth.length === 0 ? {} : { growth }),
  })

  console.log(`${headline(result(false))}\n\n${missingContenders(result(false).contenders)}\n`)
  if (request.isListOnly) {
    for (const workload of form.workloads) {
      console.log(
        `${workload.id}: ${takersOf(workload, present)
          .map(({ id }) => id)
          .join(', ')}`,
      )
    }
    return 0
  }

  const { rows } = await observer.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  const laboratory: Laboratory = {
    workers,
    databases: new Databases(server.url, observer),
    observer,
    cpu: serverCpuClock(server.pid, rows[0]?.pid ?? 0),
    sideServers,
    folder,
  }
  const random = seededRandom(seed)
  let isDone = false
  try {
    const plan = new Plan(form, present)
    for (let round = 0; round < form.rounds; round++) {
      const roundBegin = performance.now()
      if (!plan.hasTimeFor(round, roundBegin - begin)) break
      const window = plan.windowFor(round, roundBegin - begin)
      windows.push(window)
      let measuring = 0
      for (const workload of form.workloads) {
        showProgress(`round ${round + 1} of ${form.rounds}, ${workload.id}`)
        for (const contender of shuffled(takersOf(workload, present), random)) {
          interrupted.throwIfAborted()
          const measured = await measure(laboratory, workload, contender, round, window)
          interrupted.throwIfAborted() // its effect on the run is not the contender's
          rounds.set(`${workload.id} ${contender.id}`, [...roundsOf(workload, contender), measured])
          measuring += (measured.warmUpMilliseconds ?? 0) + window.measuredMilliseconds
        }
      }
      plan.learn(performance.now() - roundBegin - measuring)
    }
    if (request.hasPauseTest) {
      const environment = { databases: laboratory.databases, servers: sideServers.urls, folder, interrupted }
      await runPauseTest(environment, present, showProgress, (results) => {
        pauseTest = results
      })
    }
    if (request.hasGrowth) {
      const { databases } = laboratory
      growth = await measureGrowth({ databases, ms: GROWTH_MS, interrupted, onProgress: showProgress })
    }
    isDone = true
  } finally {
    if (rounds.size > 0 || pauseTest.length > 0) await report(result(isDone), request.output)
    await laboratory.databases.dropAll().catch((error: unknown) => {
      if (!interrupted.aborted) throw error // otherwise the server has already gone, and the databases with it
    })
  }
  const ours = result(true).cells.filter(({ contender }) => contender.startsWith('ours/'))
  return ours.some((cell) => isWrong(cell) || cell.rounds.some(({ error }) => error !== undefined)) ? 1 : 0
}

function cellsOf(
  workload: Workload,
  takers: readonly Contender[],
  baseline: Contender | undefined,
  roundsOf: (workload: Workload, contender: Contender) => readonly Round[],
): Cell[] {
  return takers.map((contender) => {
    const rounds = roundsOf(workload, contender)
    const summary = summarise(rounds, baseline === undefined ? [] : roundsOf(workload, baseline))
    return {
      workload: workload.id,
      contender: contender.id,
      rounds,
      ...(summary === undefined ? {} : { summary }),
      audit: sumAudits(rounds),
    }
  })
}

/** The short form leaves out whoever needs more than the root's packages. */
function notAskedFor({ server, packages = [] }: Pick<Contender, 'server' | 'packages'>): string {
  const more = [...packages, ...(server === undefined ? [] : [server])]
  return more.length === 0 ? NOT_ASKED_FOR : `needs ${more.join(', ')}: npm run bench:full`
}

function packagesOf(contenders: readonly Contender[]): Set<string> {
  const own = ['@prisma/client', '@prisma/adapter-pg', 'pg']
  return new Set([...own, ...contenders.flatMap(({ packages = [] }) => packages)])
}

function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

async function report(result: BenchResult, output: string | undefined): Promise<void> {
  showProgress('')
  for (const workload of result.workloads) console.log(workloadTable(result, workload))
  if (result.pauseTest.length > 0) console.log(pauseTestTable(result.pauseTest))
  if (result.growth) console.log(`${growthTable(result.growth)}\n`)
  const file = await writeResult(result, output)
  // A user who has ended it does not want to wait for a drawing.
  const drawn = file === undefined || !result.isComplete ? [] : [await writeReport(file, output)]
  const outcome = result.isComplete ? 'complete' : 'ended before its time'
  console.log(
    `\n${legend(result.method)}\n\n${result.seconds} s, ${outcome}; ${[file ?? 'not written to a file', ...drawn].join('; ')}`,
  )
}
