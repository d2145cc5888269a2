import type pg from 'pg'
import { openConnection, openTransaction } from './connection.js'

/** The formula of the README, as a service in another language would write it. */
const NUMBER = 'hashtextextended($1, 0)'

/** Somebody else's transaction that holds the lock of this text until it ends. */
export function lockElsewhere(
  url: string,
  text: string,
  mode: 'exclusive' | 'shared' = 'exclusive',
): Promise<pg.Client> {
  return openTransaction(url, `SELECT pg_advisory_xact_lock${mode === 'shared' ? '_shared' : ''}(${NUMBER})`, [text])
}

/** Whether somebody else could have the lock of this text now. */
export async function isFree(
  database: { query(sql: string, values?: unknown[]): Promise<Record<string, unknown>[]> },
  text: string,
  mode: 'exclusive' | 'shared' = 'exclusive',
): Promise<boolean> {
  const suffix = mode === 'shared' ? '_shared' : ''
  const [row] = await database.query(`SELECT pg_try_advisory_xact_lock${suffix}(${NUMBER}) AS "isFree"`, [text])
  return row.isFree === true
}

/** How many sessions of the database wait for an advisory lock now. */
export async function advisoryWaiters(url: string): Promise<number> {
  const observer = await openConnection(url)
  const { rows } = await observer.query(
    `SELECT count(*)::int AS waiting
FROM pg_locks
WHERE locktype = 'advisory' AND NOT granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  )
  return rows[0].waiting
}
