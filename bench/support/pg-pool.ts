/** The pool of the contenders on `pg`, and a transaction on it, as the page of node-postgres on transactions writes it. */
import pg from 'pg'
import type { Environment } from '../contender.js'

export function createPool({ databaseUrl, poolSize }: Environment): pg.Pool {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: poolSize })
  pool.on('error', () => {}) // an idle connection that breaks is replaced; the bench may have ended the server
  return pool
}

/** Runs the body in a transaction on a connection of the pool. */
export async function inTransaction<R>(pool: pg.Pool, body: (client: pg.PoolClient) => Promise<R>): Promise<R> {
  const client = await pool.connect()
  let broken: Error | undefined
  try {
    await client.query('BEGIN')
    const result = await body(client)
    await client.query('COMMIT')
    return result
  } catch (error) {
    await client.query('ROLLBACK').catch((failure: Error) => (broken = failure))
    throw error
  } finally {
    client.release(broken)
  }
}
