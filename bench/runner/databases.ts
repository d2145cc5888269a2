/** A database per workload, filled once, and a fresh copy of it for each run. */
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import type { Workload } from '../workload.js'

const MIGRATIONS = fileURLToPath(new URL('../../prisma/bench/migrations', import.meta.url))

/** As much of a workload as makes a database. */
type Filling = Pick<Workload, 'id' | 'fill'>

export class Databases {
  readonly #serverUrl: string
  readonly #admin: pg.ClientBase
  readonly #made = new Set<string>()
  #copies = 0

  /** @param admin a connection to the maintenance database */
  constructor(serverUrl: string, admin: pg.ClientBase) {
    this.#serverUrl = serverUrl
    this.#admin = admin
  }

  /**
   * A database in which a run of the workload can begin. One after the other they have the same name,
   * so that clients may be kept from run to run; several at once have names of their own.
   */
  async create(workload: Filling, isAlone = true): Promise<{ readonly name: string; readonly url: string }> {
    const template = await this.#template(workload)
    const name = `bench_run_${process.pid}_${isAlone ? 'alone' : this.#copies++}`
    await this.#admin.query(`CREATE DATABASE ${name} TEMPLATE ${template}`)
    this.#made.add(name)
    return { name, url: this.#urlOf(name) }
  }

  /** Which also makes a checkpoint, so that none is due in the next run. */
  async drop(name: string): Promise<void> {
    await this.#admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    this.#made.delete(name)
  }

  async dropAll(): Promise<void> {
    for (const name of this.#made) await this.drop(name)
  }

  async #template(workload: Filling): Promise<string> {
    const name = `bench_${process.pid}_${workload.id.replaceAll('-', '_')}`
    if (!this.#made.has(name)) {
      await this.#admin.query(`CREATE DATABASE ${name}`)
      this.#made.add(name)
      await onDatabase(this.#urlOf(name), async (client) => {
        for (const sql of await migrations()) await client.query(sql)
        await workload.fill(client)
        await client.query('VACUUM ANALYZE')
      })
    }
    return name
  }

  #urlOf(name: string): string {
    const url = new URL(this.#serverUrl)
    url.pathname = `/${name}`
    return url.href
  }
}

export async function onDatabase<R>(url: string, work: (client: pg.Client) => Promise<R>): Promise<R> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {}) // the query that runs fails with it
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

async function migrations(): Promise<string[]> {
  const entries = await readdir(MIGRATIONS, { withFileTypes: true })
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  return Promise.all(folders.sort().map((folder) => readFile(`${MIGRATIONS}/${folder}/migration.sql`, 'utf8')))
}
