/** A table of locks with a lease, as ShedLock keeps it: one row per key, taken over when its time is up. */
import { randomUUID } from 'node:crypto'
import type { Contender } from '../../contender.js'
import { onDatabase } from '../../runner/databases.js'
import { askUntilGiven, LEASE, LOCK_OPERATIONS, leaseHold, lockName, lockSession } from '../../support/lock.js'
import { createPool } from '../../support/pg-pool.js'

const TABLE = `CREATE TABLE IF NOT EXISTS lock (
  name text PRIMARY KEY,
  token uuid NOT NULL,
  locked_until timestamptz NOT NULL
)`

const TAKE = {
  name: 'take-lock',
  text: `INSERT INTO lock (name, token, locked_until)
VALUES ($1, $2, clock_timestamp() + $3 * interval '1 ms')
ON CONFLICT (name) DO UPDATE SET token = excluded.token, locked_until = excluded.locked_until
WHERE lock.locked_until <= clock_timestamp()`,
}

const GIVE_BACK = { name: 'give-back-lock', text: 'DELETE FROM lock WHERE name = $1 AND token = $2' }

export default {
  id: 'lock/lock-table',
  title: 'Lock table',
  family: 'lock',
  source: 'https://github.com/lukas-krecan/ShedLock#jdbctemplate',
  choices:
    'In the same database, READ COMMITTED, autocommit, as durable as the rest, by node-postgres with named ' +
    '(prepared) statements; half of the connections for it and half for Prisma. A lease of 5 s, which the holder ' +
    'compares with its own clock before each write; asked for again every 10 to 30 ms, for 5 s. Rows by Prisma.',
  operations: LOCK_OPERATIONS,

  prepare: (databaseUrl) => onDatabase(databaseUrl, async (client) => void (await client.query(TABLE))),

  async open(env) {
    const half = { ...env, poolSize: Math.max(1, Math.floor(env.poolSize / 2)) }
    const pool = createPool(half)
    return lockSession(
      half,
      async (key, body) => {
        const name = lockName(env, key)
        const { given, retries } = await askUntilGiven(async () => {
          const token = randomUUID()
          const askedAt = performance.now()
          const { rowCount } = await pool.query({ ...TAKE, values: [name, token, LEASE] })
          return rowCount === 1 ? { token, askedAt } : undefined
        })
        try {
          await body(leaseHold(given.askedAt))
        } finally {
          await pool.query({ ...GIVE_BACK, values: [name, given.token] })
        }
        return retries
      },
      () => pool.end(),
    )
  },
} satisfies Contender
