import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'

const MIGRATIONS = fileURLToPath(new URL('../../prisma/migrations', import.meta.url))

/** A database of one's own, with the migrations applied. */
export interface Database {
  readonly url: string
  /** Runs SQL on a connection of its own, past Prisma and past this package. */
  query(sql: string, values?: unknown[]): Promise<Record<string, unknown>[]>
  drop(): Promise<void>
}

/** The default of every database of the tests; the server's own unless `npm run test:serializable` has set it. */
const { TEST_ISOLATION } = process.env

/** Makes a database in the server, from a template if one is given, else by the migrations. */
export async function createDatabase(serverUrl: string, template?: string): Promise<Database> {
  const name = `concurrency_${randomUUID().replaceAll('-', '')}`
  const setup = setupOf(serverUrl)
  // A copy of the database would not have the shards that a setup makes.
  const source = setup === undefined || template === EMPTY ? template : undefined
  await onServer(serverUrl, (client) =>
    client.query(`CREATE DATABASE ${name}${source === undefined ? '' : ` TEMPLATE ${source}`}`),
  )
  if (TEST_ISOLATION !== undefined) {
    const text = `ALTER DATABASE ${name} SET default_transaction_isolation = '${TEST_ISOLATION}'`
    await onServer(serverUrl, (client) => client.query(text))
  }
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  if (source === undefined) await onServer(url.href, (client) => applyMigrations((sql) => client.query(sql)))
  if (source === undefined && setup)
    await onServer(url.href, async (client) => client.query(await readFile(setup, 'utf8')))
  return {
    url: url.href,
    query: (sql, values) => onServer(url.href, async (client) => (await client.query(sql, values)).rows),
    drop: () =>
      onServer(serverUrl, (client) => unlessInUse(() => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`))),
  }
}

const EMPTY = 'template1'

/** The SQL file that prepares each database of the server under test. An embedded server of a test's own has none. */
function setupOf(serverUrl: string): string | undefined {
  const { ENGINE_URL, ENGINE_SETUP } = process.env
  return serverUrl === ENGINE_URL ? ENGINE_SETUP || undefined : undefined
}

/** The name of a database in its URL. */
export function databaseName(url: string): string {
  return new URL(url).pathname.slice(1)
}

const IN_USE = '55006'

/** A cluster may look at its database just then. */
async function unlessInUse(drop: () => Promise<unknown>, tries = 20): Promise<void> {
  try {
    await drop()
  } catch (error) {
    if ((error as { code?: unknown }).code !== IN_USE || tries === 1) throw error
    await sleep(250)
    await unlessInUse(drop, tries - 1)
  }
}

async function onServer<R>(url: string, work: (client: pg.Client) => Promise<R>): Promise<R> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** The migrations of the tests' schema, in their order. */
export async function applyMigrations(run: (sql: string) => Promise<unknown>): Promise<void> {
  const entries = await readdir(MIGRATIONS, { withFileTypes: true })
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  for (const folder of folders.sort()) {
    await run(await readFile(`${MIGRATIONS}/${folder}/migration.sql`, 'utf8'))
  }
}
