import { type RootSession, rowOf, type TransactionSession } from '../engine/session.js'
import { quoted } from '../sql/sql.js'
import { param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import { type Capability, READ_COMMITTED } from './capability.js'

const PREFIX = 'concurrency_probe_'

/** The age in ms from which a table can only be that of a check which was killed. */
const OLD = 3_600_000

/** A table of our own that two sessions see, with one row, for the time of a check. Its name has the time in it. */
export class SharedTable {
  readonly #session: RootSession
  readonly #schema: string
  readonly #table: SqlText

  constructor(session: RootSession, schema: string) {
    this.#session = session
    this.#schema = schema
    this.#table = this.#named(`${PREFIX}${Date.now()}_${crypto.randomUUID().slice(0, 8)}`)
  }

  /** Makes the table, and drops it whatever happens to the work. The next check drops that of one which was killed. */
  async use<R>(work: (capabilities: readonly Capability[]) => Promise<R>): Promise<R> {
    await this.#dropOld()
    const table = this.#table
    await this.#session.rows(sql`CREATE TABLE ${table} (id int PRIMARY KEY, n int NOT NULL)`)
    try {
      await this.#session.rows(sql`INSERT INTO ${table} VALUES (1, 0)`)
      return await work(this.#capabilities())
    } finally {
      await this.#session.rows(sql`DROP TABLE ${table}`)
    }
  }

  #named(name: string): SqlText {
    return raw(`${quoted(this.#schema)}.${quoted(name)}`)
  }

  async #dropOld(): Promise<void> {
    const old = await this.#session.rows<{ name: string }>(sql`SELECT c.relname AS name
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = ${param(this.#schema, 'text')} AND c.relkind = 'r' AND pg_has_role(c.relowner, 'USAGE')
  AND substring(c.relname FROM ${param(`^${PREFIX}(\\d{13})_[0-9a-f]{8}$`, 'text')})::int8 < ${param(Date.now() - OLD, 'int8')}`)
    // Another check may drop it at the same time.
    for (const { name } of old) await this.#session.rows(sql`DROP TABLE IF EXISTS ${this.#named(name)}`)
  }

  #capabilities(): readonly Capability[] {
    const table = this.#table
    const update = sql`UPDATE ${table} SET n = 1 WHERE id = 1 AND n = 0 RETURNING id`
    const insert = (id: number) =>
      sql`INSERT INTO ${table} VALUES (${param(id, 'int')}, 0) ON CONFLICT (id) DO NOTHING RETURNING id`
    const rows = async (session: TransactionSession, statement: Statement) => (await session.rows(statement)).length
    return [
      {
        what: 'An UPDATE that has waited for a row does not look at it again',
        cost: 'A versioned write overwrites the one that it has waited for',
        tried: async () => (await this.#waits(update, update)) === 0,
      },
      {
        what: 'INSERT … ON CONFLICT does not wait for a row that is not committed yet',
        cost: 'Of two requests with one key at once, both are carried out, or none',
        tried: async () =>
          (await this.#waits(insert(2), insert(2))) === 0 && (await this.#waits(insert(3), insert(3), true)) === 1,
      },
      {
        what: 'A row that is locked FOR NO KEY UPDATE is not skipped, or keeps those out that only refer to it',
        cost: 'Two calls take the same serial, or inserts of lines wait for the row of their order',
        tried: () =>
          this.#session.transaction(READ_COMMITTED, async (holder) => {
            await holder.rows(sql`SELECT id FROM ${table} WHERE id = 1 FOR NO KEY UPDATE`)
            return this.#session.transaction(READ_COMMITTED, async (other) => {
              const skipped = await rows(other, sql`SELECT id FROM ${table} WHERE id = 1 FOR NO KEY UPDATE SKIP LOCKED`)
              return (
                skipped === 0 &&
                (await rows(other, sql`SELECT id FROM ${table} WHERE id = 1 FOR KEY SHARE NOWAIT`)) === 1
              )
            })
          }),
      },
    ]
  }

  /** The rows of the second statement, which waits until the transaction of the first has ended. */
  async #waits(first: Statement, second: Statement, rollsBack = false): Promise<number> {
    return this.#session.transaction(READ_COMMITTED, async (waiter) => {
      const { pid } = await rowOf<{ pid: number }>(waiter, sql`SELECT pg_backend_pid() AS pid`)
      let waiting: Promise<readonly object[]> | undefined
      const holder = this.#session.transaction(READ_COMMITTED, async (session) => {
        await session.rows(first)
        waiting = waiter.rows(second)
        waiting.catch(() => {}) // it is awaited below
        await untilBlocked(session, pid)
        if (rollsBack) throw new RolledBack()
      })
      await holder.catch((error: unknown) => {
        if (!(error instanceof RolledBack)) throw error
      })
      return (await waiting)?.length ?? 0
    })
  }
}

class RolledBack extends Error {}

/** Looks a few times whether the session waits. One that never does is told by its result. */
async function untilBlocked(session: TransactionSession, pid: number): Promise<void> {
  for (let look = 0; look < 40; look++) {
    const text = sql`SELECT cardinality(pg_blocking_pids(${param(pid, 'int')})) > 0 AS waits, pg_sleep(0.02)::text`
    if ((await rowOf<{ waits: boolean }>(session, text)).waits) return
  }
}
