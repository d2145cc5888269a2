import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { expect, inject, onTestFinished, test } from 'vitest'
import type { BenchResult, Cell, Figures } from '../../bench/result.js'
import { findContenders, whyMissing } from '../../bench/runner/contenders.js'
import { failureMessage } from '../../bench/runner/failure-message.js'
import { Plan, takersOf } from '../../bench/runner/plan.js'
import { countStatements, statementCounts } from '../../bench/runner/statements.js'
import { fastestByHand, summarise } from '../../bench/runner/summary.js'
import { WORKLOADS } from '../../bench/workloads/index.js'
import { useDatabase } from '../support/clients.js'
import { type Script, startScript } from '../support/script.js'

const BENCH = 'bench/main.ts'
const database = useDatabase()

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bench-test-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** The databases that this bench has made in the tests' server, which others may use as well. */
async function databasesOf(bench: Script): Promise<string[]> {
  const rows = await database.query(`SELECT datname FROM pg_database WHERE datname ~ '^bench.*_${bench.pid}_'`)
  return rows.map(({ datname }) => String(datname))
}

async function resultIn(file: string): Promise<BenchResult> {
  return JSON.parse(await readFile(file, 'utf8'))
}

const CALLERS = 16

/**
 * How many more or fewer than so many for each operation. A call of each caller may be under way
 * when the measuring begins, and when it ends.
 */
function offBy(figures: Figures | undefined, name: 'statements' | 'transactions', each: number): number {
  const { operations, [name]: measured } = figures as Figures
  return Math.round(Math.abs(measured - each) * operations)
}

test('the bench shows who loses updates, and what each call costs, and leaves no database behind', async () => {
  const output = join(await temporaryFolder(), 'result.json')
  const chosen = ['prisma/unguarded', 'prisma/select-for-update', 'pg/guarded-update', 'ours/versioned-update']
  const args = [
    ...chosen.flatMap((id) => ['--contender', id]),
    ...['--workload', 'hot-row-16', '--rounds', '1', '--budget', '8', '--output', output],
  ]

  const bench = startScript(BENCH, { DATABASE_URL: inject('serverUrl') }, args)
  const { exitCode, stderr, stdout } = await bench.ended

  expect({ exitCode, stderr }, stdout).toEqual({ exitCode: 0, stderr: '' })
  const { cells, isComplete, contenders } = await resultIn(output)
  expect(isComplete).toBe(true)
  const cell = (id: string) => cells.find(({ contender }) => contender === id) as Cell
  const right = { lost: 0, doubled: 0, negative: 0, inconsistent: 0 }
  expect(cell('prisma/unguarded').audit.lost).toBeGreaterThan(0)
  for (const id of chosen.slice(1)) expect(cell(id).audit).toEqual(right)
  const [update, lock] = [
    cell('pg/guarded-update').rounds[0].figures,
    cell('prisma/select-for-update').rounds[0].figures,
  ]
  expect(offBy(update, 'statements', 1)).toBeLessThanOrEqual(CALLERS)
  expect(update?.transactions).toBe(update?.statements)
  expect(offBy(lock, 'statements', 4)).toBeLessThanOrEqual(CALLERS * 4)
  expect(offBy(lock, 'transactions', 1)).toBeLessThanOrEqual(CALLERS)
  expect([update?.failures, lock?.failures]).toEqual([0, 0])
  expect(lock?.waitingConnections).toBeGreaterThan(0)
  expect(contenders.find(({ id }) => id === 'prisma/upsert')?.missing).toBe('was not asked for')
  expect(await databasesOf(bench)).toEqual([])
})

test('the incident: serials are given to two where nothing guards them, and to one under any lock, at the price of the database', async () => {
  const output = join(await temporaryFolder(), 'result.json')
  const chosen = [
    'prisma/max-plus-one',
    'prisma/select-for-update',
    'lock/lock-table',
    'pg/skip-locked',
    'ours/serials',
  ]
  const args = [
    ...[...chosen, 'lock/redis-set-nx'].flatMap((id) => ['--contender', id]),
    ...['--workload', 'serial-incident', '--rounds', '1', '--budget', '24', '--output', output],
  ]

  const bench = startScript(BENCH, { DATABASE_URL: inject('serverUrl') }, args)
  const { exitCode, stderr, stdout } = await bench.ended

  expect({ exitCode, stderr }, stdout).toEqual({ exitCode: 0, stderr: '' })
  const { cells, contenders } = await resultIn(output)
  const cell = (id: string) => cells.find(({ contender }) => contender === id) as Cell
  const wrong = cells.filter(({ audit }) => Object.values(audit).some((count) => count > 0))
  expect(wrong.map(({ contender }) => contender)).toEqual(['prisma/max-plus-one'])
  expect(cell('prisma/max-plus-one').audit.lost).toBeGreaterThan(0)
  for (const id of chosen) {
    const [{ figures, failures }] = cell(id).rounds
    expect([id, (figures?.operations ?? 0) > CALLERS, failures]).toEqual([id, true, []])
  }
  // Redis is beside the database, and not everywhere.
  const redis = contenders.find(({ id }) => id === 'lock/redis-set-nx')
  expect(redis?.missing === undefined).toBe(cells.some(({ contender }) => contender === redis?.id))
})

test('the bench, ended by Ctrl-C, leaves no process, database or folder, and keeps what it has measured', async () => {
  const folder = await temporaryFolder()
  const output = join(folder, 'result.json')
  const args = ['--contender', 'pg/', '--workload', 'hot-row', '--rounds', '1000', '--budget', '10', '--output', output]
  const bench = startScript(BENCH, { DATABASE_URL: inject('serverUrl'), TMPDIR: folder }, args)
  await bench.printed('contenders in random order')
  // One contender at work in four processes has come through the workloads with fewer.
  while ((await bench.running()).filter((command) => command.includes('worker.ts')).length < 4) await sleep(20)

  bench.pressCtrlC()

  expect(await bench.ended).toMatchObject({ exitCode: 130, stderr: expect.stringContaining('Ended by SIGINT.') })
  expect(await bench.running()).toEqual([])
  const { isComplete, cells } = await resultIn(output)
  expect(isComplete).toBe(false)
  expect(cells.some(({ rounds }) => rounds.length > 0)).toBe(true)
  expect((await readdir(folder)).filter((name) => name.startsWith('concurrency-bench'))).toEqual([])
  expect(await databasesOf(bench)).toEqual([])
})

test('statements and transactions are counted to the last one', async () => {
  countStatements()
  const client = new pg.Client({ connectionString: database.url })
  onTestFinished(() => client.end())
  const before = statementCounts()

  await client.connect()
  for (const sql of ['BEGIN', 'SELECT 1', 'SAVEPOINT a', 'ROLLBACK TO a', 'COMMIT']) await client.query(sql)
  await client.query({ name: 'one', text: 'SELECT $1::int', values: [1] })
  await client.query('START TRANSACTION')
  await client.query('ROLLBACK')
  await client.query('SELECT 1')

  const { statements, transactions } = statementCounts()
  expect([statements - before.statements, transactions - before.transactions]).toEqual([9, 4])
})

test('whoever lacks a package, a program or a server is missing, and says what it lacks', async () => {
  const [contender] = await findContenders()
  const needy = { ...contender, packages: ['pg', 'no-such-package'], programs: ['sh', 'no-such-program'] }

  const why = whyMissing({ ...needy, server: 'etcd' }, (name) => `${name} is not installed`)

  expect(why).toBe(
    'the package no-such-package is not installed, the program no-such-program is not installed, ' +
      'etcd is not installed; see bench/setup.sh',
  )
  expect(whyMissing({ ...contender, packages: ['pg'], programs: ['sh'] }, () => undefined)).toBeUndefined()
})

test('every workload has somebody of ours, and somebody by hand to compare it with', async () => {
  const contenders = await findContenders()

  const families = WORKLOADS.map((workload) => takersOf(workload, contenders).map(({ family }) => family))

  expect(families.filter((among) => !among.includes('ours') || !among.includes('prisma'))).toEqual([])
})

test('the baseline is the fastest by hand on Prisma whose data was right', async () => {
  const contenders = await findContenders()
  const rounds = (throughput: number, lost: number) =>
    [
      { round: 0, failures: [], figures: { throughput }, audit: { lost, doubled: 0, negative: 0, inconsistent: 0 } },
    ] as never
  const measured: Record<string, ReturnType<typeof rounds>> = {
    'pg/guarded-update': rounds(900, 0),
    'prisma/unguarded': rounds(800, 0), // it was lucky
    'prisma/serializable': rounds(700, 1),
    'prisma/select-for-update': rounds(600, 0),
    'prisma/version-loop': rounds(500, 0),
  }

  const baseline = fastestByHand(contenders, ({ id }) => measured[id] ?? [])

  expect(baseline?.id).toBe('prisma/select-for-update')
})

test('the windows grow and shrink with the time that is left, and a round that would be late is not begun', async () => {
  const contenders = await findContenders()
  const workloads = WORKLOADS.filter(({ id }) => id === 'serials') // three runs in a round
  const plan = new Plan({ name: 'full', rounds: 5, budget: 60, workloads }, contenders)
  const first = plan.windowFor(0, 0)

  plan.learn(3 * 3_000) // 3 s beside each run

  expect(first.measuredMilliseconds).toBe(2_000)
  expect(plan.windowFor(1, 15_000).measuredMilliseconds).toBe(Math.round((45_000 / 4 / 3 - 3_000) * 0.75))
  expect(plan.windowFor(4, 49_000).measuredMilliseconds).toBe(500)
  expect([plan.hasTimeFor(4, 49_000), plan.hasTimeFor(4, 53_000)]).toEqual([true, false])
  expect(plan.hasTimeFor(0, 99_000)).toBe(true)
})

test('a ratio is taken within each round, and only then over the rounds', () => {
  const round = (index: number, throughput: number) => ({
    round: index,
    failures: [],
    figures: {
      operations: 1,
      throughput,
      p50Milliseconds: 1,
      p99Milliseconds: 1,
      failures: 0,
      refused: 0,
      retries: 0,
      statements: 1,
      transactions: 1,
      databaseCpuMilliseconds: null,
      clientCpuMilliseconds: 1,
      lockServerCpuMilliseconds: 0,
      peakConnections: 1,
      waitingConnections: 0,
      idleInTransactionConnections: 0,
    },
  })
  // The machine was ten times as slow in the second round, for both.
  const own = [round(0, 400), round(1, 20), round(2, 300)]
  const base = [round(0, 100), round(1, 10), round(2, 100)]

  const summary = summarise(own, base)

  expect(summary?.ratio).toEqual({ median: 3, low: 2, high: 4 })
  expect(summary?.throughput.median).toBe(300)
  expect(summary?.databaseCpuMilliseconds).toBeNull()
})

test('what a failure says names no path of the machine, and is the same for like failures', () => {
  const prisma = (line: number) =>
    Object.assign(
      new Error(`\nInvalid \`x\` invocation in\n${import.meta.filename}:${line}:3\n\n  ${line}\n\n\nIt failed.`),
      {
        code: 'P2034',
      },
    )

  expect(failureMessage(prisma(1))).toBe('Error P2034: It failed.')
  expect(failureMessage(new Error(`No ${import.meta.filename} after 12 ms`))).toBe('Error: No … after N ms')
  expect(failureMessage(prisma(1))).toBe(failureMessage(prisma(22)))
})
