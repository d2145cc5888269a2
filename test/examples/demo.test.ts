import { randomUUID } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { processesNaming } from '../support/process-group.js'
import { startScript } from '../support/script.js'

const DEMO = 'examples/northwind/demo.ts'
const COMPARISON = 'examples/lost-updates/demo.ts'

/** The rows of a table, as `[label, number]`. */
function rowsOf(text: string): [label: string, value: number][] {
  const rows = text.matchAll(/^ {2}(\S.*?) {2,}(-?[\d,]+)$/gm)
  return Array.from(rows, ([, label, value]) => [label, Number(value.replaceAll(',', ''))])
}

test('the demo sells each order whole and once or not at all though a process is killed, and says so in plain text', async () => {
  const { exitCode, stdout, stderr } = await startScript(DEMO, { DATABASE_URL: inject('serverUrl') }).ended

  expect({ exitCode, stderr }, stdout).toEqual({ exitCode: 0, stderr: '' })
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  expect(stdout).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/)
  const rows = rowsOf(stdout)
  const figures = Object.fromEntries(rows)
  expect(figures).toMatchObject({
    'Processes killed on the way, and started again': 1,
    'Units asked for': 51_317,
    'Opening stock': 3_119,
  })
  expect(rows.slice(-7).map(([, value]) => value)).toEqual([0, 0, 0, 0, 0, 0, 0])
  expect(figures['Orders sold'] + figures['Orders refused, as a whole']).toBe(830)
  expect(figures['Units sold'] + figures['Stock left']).toBe(3_119)
  expect(figures.Invoices).toBe(figures['Orders sold'])
  expect(figures['Orders sold']).toBeGreaterThan(0)
  expect(figures['Serial numbers sold']).toBeGreaterThan(0)
  // All orders twice, and those once more that the killed process had had an answer to.
  expect(figures['Answers given (every order was sent at least twice)']).toBeGreaterThanOrEqual(2 * 830 + 100)

  const readme = await readFile(new URL('../../examples/northwind/README.md', import.meta.url), 'utf8')
  expect(rowsOf(readme).map(([label]) => label)).toEqual(rows.map(([label]) => label))
  expect(rowsOf(readme).slice(-7)).toEqual(rows.slice(-7))
})

// Both demos end by the same functions of examples/interruption.ts: each is ended in one of two ways, in the midst of the
// work, as the first line says that it prints there.
describe('a demo', () => {
  test('that is ended by Ctrl-C leaves no process and no data folder of its own server', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'demo-test-'))
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    await chmod(folder, 0o755) // the server may run as another user
    const script = startScript(DEMO, { DATABASE_URL: '', TMPDIR: folder })
    await script.printed('415 of')
    const before = await script.running()

    script.pressCtrlC()

    const { exitCode, stderr } = await script.ended
    expect({ exitCode, stderr }).toEqual({ exitCode: 130, stderr: '\nEnded by SIGINT.\n' })
    expect([...(await script.running()), ...(await processesNaming(folder))]).toEqual([])
    // The demo and its workers, one of which may just be dead.
    if (process.platform === 'linux') expect(before.length).toBeGreaterThanOrEqual(4)
    expect((await readdir(folder)).filter((name) => name.startsWith('concurrency-'))).toEqual([])
  })

  test('that is ended by a signal leaves no process and no database in a server that it was given', async () => {
    const url = new URL(inject('serverUrl'))
    url.searchParams.set('application_name', randomUUID())
    const observer = new pg.Client({ connectionString: inject('serverUrl') })
    await observer.connect()
    onTestFinished(() => observer.end())
    const script = startScript(COMPARISON, { DATABASE_URL: url.href })
    await script.printed('539 of')
    const { rows } = await observer.query(
      `SELECT DISTINCT datname FROM pg_stat_activity WHERE application_name = $1 AND datname LIKE 'concurrency%'`,
      [url.searchParams.get('application_name')],
    )

    script.kill('SIGTERM')

    const { exitCode } = await script.ended
    expect(exitCode).toBe(143)
    expect(await script.running()).toEqual([])
    expect(rows).toHaveLength(1)
    const left = await observer.query('SELECT datname FROM pg_database WHERE datname = $1', [rows[0].datname])
    expect(left.rows).toEqual([])
  })
})
