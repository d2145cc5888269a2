/**
 * A table of locks with a lease, as ShedLock keeps it: one row per key, which stays, and is taken over
 * when its time is up.
 */
import { randomUUID } from 'node:crypto'
import type { Contender } from '../../contender.js'
import { onDatabase } from '../../runner/databases.js'
import { limiter } from '../../support/limiter.js'
import { askUntilGiven, LEASE, LOCK_OPERATIONS, leaseHold, lockName, lockSession } from '../../support/lock.js'
import { createPool } from '../../support/pg-pool.js'

const TABLE = `CREATE TABLE IF NOT EXISTS lock (
  name text PRIMARY KEY,
  token uuid NOT NULL,
  locked_until timestamptz NOT NULL
)`

const MAKE = {
  name: 'make-lock',
  text: `INSERT INTO lock (name, token, locked_until)
VALUES ($1, $2, clock_timestamp() + $3 * interval '1 ms')
ON CONFLICT (name) DO NOTHING`,
}

// Not by ON CONFLICT DO UPDATE: that locks the row also when it is not free, which is a write, and a commit that waits
// for the disk.
const TAKE = {
  name: 'take-lock',
  text: `UPDATE lock SET token = $2, locked_until = clock_timestamp() + $3 * interval '1 ms'
WHERE name = $1 AND locked_until <= clock_timestamp()`,
}

const GIVE_BACK = {
  name: 'give-back-lock',
  text: 'UPDATE lock SET locked_until = clock_timestamp() WHERE name = $1 AND token = $2',
}

export default {
  id: 'lock/lock-table',
  title: 'Lock table',
  family: 'lock',
  source: 'https://github.com/lukas-krecan/ShedLock#jdbctemplate',
  choices:
    'In the same database, READ COMMITTED, autocommit, as durable as the rest, by node-postgres with named ' +
    '(prepared) statements; half of the connections for it and half for Prisma, and one of it is left to those who give ' +
    'back. ShedLock does not wait: here it is asked for again every 10 to 30 ms, for 5 s. A lease of 5 s, not renewed, ' +
    'which the holder compares with its own clock before each write. Rows by Prisma, with prepared statements.',
  operations: LOCK_OPERATIONS,

  prepare: (databaseUrl) => onDatabase(databaseUrl, async (client) => void (await client.query(TABLE))),

  async open(env) {
    const half = { ...env, poolSize: Math.max(1, Math.floor(env.poolSize / 2)) }
    const pool = createPool(half)
    const limited = limiter(Math.max(1, half.poolSize - 1))
    /** The rows that are there, as far as this process knows. */
    const made = new Set<string>()

    /** Resolves to when it was asked for, if it is given. */
    async function take(name: string, token: string): Promise<number | undefined> {
      const askedAt = performance.now()
      const values = [name, token, LEASE]
      if (!made.has(name)) {
        const { rowCount } = await pool.query({ ...MAKE, values })
        made.add(name)
        if (rowCount === 1) return askedAt
      }
      const { rowCount } = await pool.query({ ...TAKE, values })
      return rowCount === 1 ? askedAt : undefined
    }

    return lockSession(
      half,
      async (key, body) => {
        const name = lockName(env, key)
        const { given, retries } = await askUntilGiven(async () => {
          const token = randomUUID()
          const askedAt = await limited(() => take(name, token))
          return askedAt === undefined ? undefined : { token, askedAt }
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
