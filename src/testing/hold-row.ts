import pg from 'pg'

/** A transaction of a stranger, which holds what it has locked. */
export interface HeldRow {
  /** The process id of its session, as other sessions see it in `pg_blocking_pids`. */
  readonly pid: number
  /** Sends more SQL in the same transaction. */
  query(sql: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>
  /** Commits what the stranger has written, and lets go. */
  commit(): Promise<void>
  /** Takes back what the stranger has written, and lets go. */
  release(): Promise<void>
}

/**
 * Begins a transaction on a connection of its own, past your program, and sends `sql` in it. It holds the locks of that
 * statement until `release` or `commit`. For the time after, the connection is closed.
 *
 * @param url the database
 * @param sql what locks the row, such as `SELECT … FOR UPDATE`, or an UPDATE
 * @param values the parameters of `sql`
 *
 * @example
 * const stranger = await holdRow(url, 'SELECT FROM "Product" WHERE id = $1 FOR UPDATE', [id])
 * const call = db.product.updateVersioned({ where: { id }, data: () => ({ stock: 5 }) }).then((product) => product)
 * await untilBlocked(url)
 * await stranger.release()
 * await call
 */
export async function holdRow(url: string, sql: string, values: readonly unknown[] = []): Promise<HeldRow> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {}) // a server that goes away may be part of the test
  await client.connect()
  const query = async (text: string, given: readonly unknown[] = []) => (await client.query(text, [...given])).rows
  const end = async (statement: 'COMMIT' | 'ROLLBACK') => {
    try {
      await client.query(statement)
    } finally {
      await client.end()
    }
  }
  try {
    await client.query('BEGIN')
    await query(sql, values)
    const [{ pid }] = await query('SELECT pg_backend_pid() AS pid')
    return { pid, query, commit: () => end('COMMIT'), release: () => end('ROLLBACK') }
  } catch (error) {
    await client.end()
    throw error
  }
}
