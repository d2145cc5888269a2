import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { useDatabase } from '../support/clients.js'
import { appFolder, runCommand, startCommand } from '../support/command.js'
import { openJobs } from '../support/jobs.js'
import { until } from '../support/leases.js'

const database = useDatabase()
let job = ''
beforeEach((context) => {
  job = context.task.id
})
const env = () => ({ DATABASE_URL: database.url })
const when = (...options: string[]) => ['once', '--job', job, ...(options.length > 0 ? options : ['--every', '1000d'])]
const node = (script: string) => ['--', process.execPath, '-e', script]
const run = (script: string, ...options: string[]) =>
  runCommand([...when(), ...options, ...node(script)], { env: env() })

/** Prints its own process and its lease, and ends with its input. */
const WAITS = `console.log(process.pid, process.env.CONCURRENCY_LEASE)
process.stdin.resume().on('end', () => process.exit(0))`

/** Starts a job that waits, with options behind those of when it is due. */
async function begin(script: string, ...options: string[]) {
  const started = startCommand([...when(), ...options, ...node(script)], env())
  await until(() => started.output.stdout.includes('\n'))
  const pid = Number.parseInt(started.output.stdout, 10)
  onTestFinished(() => void (isRunning(pid) && process.kill(pid, 'SIGKILL')))
  return { ...started, pid }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function connect() {
  const { db, close } = await openJobs('pg', { url: database.url })
  onTestFinished(close)
  return db
}

async function history() {
  const found = await database.query('SELECT state, error FROM "JobRun" WHERE job = $1 ORDER BY token', [job])
  return found.map(({ state, error }) => [state, error])
}

test('once runs the command once in a period, with its own output, and then says that it is done', async () => {
  const script = `console.log('out', process.env.CONCURRENCY_JOB, process.env.CONCURRENCY_PERIOD_START, process.env.CONCURRENCY_PERIOD_END); console.error('err')`
  const first = await run(script)
  const second = await run(script)
  const [noted] = await database.query('SELECT period, "startedBy" FROM "JobRun" WHERE job = $1', [job])
  const { period } = noted as { period: Date }
  const end = new Date(period.getTime() + 1_000 * 86_400_000)

  expect(first).toEqual({
    code: 0,
    stdout: `out ${job} ${period.toJSON()} ${end.toJSON()}\n`,
    stderr: 'err\n',
  })
  expect(second).toMatchObject({ code: 0, stdout: '' })
  expect(second.stderr).toMatch(new RegExp(`^${job}: done at \\S+Z; due again at \\S+Z\\.\n$`))
  expect(noted?.startedBy).toMatch(/^\S+ \d+$/)
  expect(await history()).toEqual([['done', null]])
})

test('the exit code is that of the command, whose failure is noted, and tried again', async () => {
  expect(await run('process.exit(3)')).toEqual({ code: 3, stdout: '', stderr: '' })
  const later = await run('', '--retry-after', '1h')
  expect(later).toMatchObject({ code: 0, stdout: '' })
  expect(later.stderr).toMatch(/failed at \S+; tried again from \S+ on\.\n$/)
  expect((await run('')).code).toBe(0)
  expect(await history()).toEqual([
    ['failed', 'CommandFailed: exit code 3'],
    ['done', null],
  ])
  const commands = [
    [process.execPath, '-e', `process.kill(process.pid, 'SIGKILL')`],
    ['./not-there'],
    ['./package.json'],
  ]
  const codes = commands.map(async (command, i) => {
    const args = ['once', '--job', `${job} ${i}`, '--at-least', '1h', '--', ...command]
    return (await runCommand(args, { env: env() })).code
  })
  expect(await Promise.all(codes)).toEqual([137, 127, 126])
})

test('of several at once one runs: another one is told, or skips, or waits, and the lease is that of the command', async () => {
  const holder = await begin(WAITS)
  const told = await run('')
  expect(told).toMatchObject({ code: 75, stdout: '' })
  expect(told.stderr).toMatch(/: running elsewhere since \S+Z, by \S+ \d+\.\n$/)
  const [skipped, shortly] = await Promise.all([run('', '--skip'), run('', '--wait', '1s')])
  expect([skipped.code, shortly.code]).toEqual([0, 75])
  const waiting = run('console.log("ran")', '--wait')
  const waitingInVain = startCommand([...when(), '--wait', '1h', ...node('')], env())
  await until(async () => {
    const [row] = await database.query('SELECT waiting FROM "Lease" WHERE name = $1', [`job: ${job}`])
    return (row as { waiting: unknown[] }).waiting.length === 2
  })
  waitingInVain.kill('SIGINT')
  expect(await waitingInVain.ended).toBe(130)

  const { name, token, holder: id } = JSON.parse(holder.output.stdout.replace(/^\d+ /, ''))
  const fence = { name, token: BigInt(token), holder: id }
  const db = await connect()
  await db.$transactionWithRetry((tx) => tx.$assertLease(fence))
  holder.endInput()
  expect(await holder.ended).toBe(0)
  expect(await waiting).toMatchObject({ code: 0, stdout: '', stderr: expect.stringContaining('done at') })
  expect(await history()).toEqual([['done', null]])
})

test('when it is killed, its command is ended, and killed if it does not end, and the next one goes on', async () => {
  const told = `process.on('SIGTERM', () => console.log('told'));${WAITS}`
  const holder = await begin(told, '--ttl', '3s', '--grace', '3s')
  holder.kill('SIGKILL')
  const next = await run('console.log("next")', '--wait')
  expect(next).toEqual({ code: 0, stdout: 'next\n', stderr: '' })
  await until(() => !isRunning(holder.pid))
  expect(holder.output.stdout).toContain('told\n')
  expect(await history()).toEqual([
    ['lost', null],
    ['done', null],
  ])
})

test('its options are those of $job, and those of the extension come from the config', async () => {
  const folder = await appFolder({ 'concurrency.config.json': '{ "jobs": { "startedBy": "the config" } }' })
  const config = ['--config', `${folder}/concurrency.config.json`]
  await database.query(
    `INSERT INTO "JobRun" (job, token, state, period, "startedAt", "endedAt") VALUES ($1, 0, 'done', '2025-10-25T22:00Z', now(), now())`,
    [`${job} late`],
  )
  const rules = [
    ['grid', '--every', '1d', '--offset', '5h'],
    ['cron', '--cron', '30 5 * * *'],
    ['late', '--every', '1d', '--catch-up'],
  ] as const
  const starts = rules.map(async ([name, ...rule]) => {
    const args = ['once', '--job', `${job} ${name}`, ...rule, '--time-zone', 'Europe/Vienna', ...config]
    const { stdout } = await runCommand([...args, ...node('console.log(process.env.CONCURRENCY_PERIOD_START)')], {
      env: env(),
    })
    return new Date(stdout.trim())
  })
  const [grid, cron, late] = await Promise.all(starts)
  const inVienna = (start?: Date) => start?.toLocaleTimeString('de-AT', { timeZone: 'Europe/Vienna' })
  expect([inVienna(grid), inVienna(cron), late?.toJSON()]).toEqual(['05:00:00', '05:30:00', '2025-10-26T23:00:00.000Z'])
  const [noted] = await database.query('SELECT "startedBy" FROM "JobRun" WHERE job = $1', [`${job} grid`])
  expect(noted).toEqual({ startedBy: 'the config' })
})

test.each([
  ['SIGTERM', 'process.exit(7)', 7],
  ['SIGINT', 'process.exit(0)', 0],
  ['SIGHUP', undefined, 129],
] as const)('%s goes to the command, which is waited for', async (signal, reaction, code) => {
  const trap = reaction === undefined ? '' : `process.on('${signal}', () => setTimeout(() => ${reaction}, 100));`
  const holder = await begin(`${trap}${WAITS}`)
  holder.kill(signal)
  expect(await holder.ended).toBe(code)
  expect(await history()).toEqual([code === 0 ? ['done', null] : ['failed', `CommandFailed: exit code ${code}`]])
})

test('the command is ended when its lease is taken over under it, and killed if it does not end', async () => {
  const holder = await begin(
    `process.on('SIGTERM', () => console.log('told'));${WAITS}`,
    '--ttl',
    '3s',
    '--grace',
    '3s',
  )
  await database.query(`UPDATE "Lease" SET token = token + 1, holder = 'x' WHERE name = $1`, [`job: ${job}`])
  expect(await holder.ended).toBe(76)
  expect(isRunning(holder.pid)).toBe(false)
  expect(holder.output.stdout).toContain('told\n')
  expect(holder.output.stderr).toBe(
    `${job}: the lease was lost (taken): the command was ended, or its end is not noted.\n`,
  )
  expect((await run('', '--wait')).code).toBe(0)
  expect(await history()).toEqual([
    ['lost', null],
    ['done', null],
  ])
})

test('is refused in a wrong form, and where its tables are not there', async () => {
  const wrong = [
    ['once', '--every', '1d', ...node('')],
    [...when('--every', '1d', '--at-least', '1d'), ...node('')],
    [...when('--at-least', '1d', '--catch-up'), ...node('')],
    [...when('--every', 'daily'), ...node('')],
    [...when('--every', '1d', '--wait', '--skip'), ...node('')],
  ]
  const results = await Promise.all(wrong.map((args) => runCommand(args, { env: env() })))
  expect(results.map(({ code, stdout }) => [code, stdout])).toEqual(wrong.map(() => [2, '']))
  const url = new URL(database.url)
  url.searchParams.set('options', '-c search_path=pg_catalog')
  const absent = await runCommand([...when(), ...node('')], { env: { DATABASE_URL: url.href } })
  expect(absent).toMatchObject({ code: 2, stderr: expect.stringContaining('Lease') })
  expect(await history()).toEqual([])
})
