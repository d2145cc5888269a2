/** Serials by hand on pg: a claim of the transaction id, and one update that skips what others are taking. */
import type { Contender, Outcome } from '../../contender.js'
import { createPool, inTransaction } from '../../support/pg-pool.js'

const CLAIM = {
  name: 'claim',
  text: `INSERT INTO serial_claim (transaction_id, item_id, count) VALUES ($1, $2, $3)
ON CONFLICT (transaction_id) DO NOTHING`,
}

const TAKE = {
  name: 'take',
  text: `WITH free AS (
  SELECT id FROM serial
  WHERE item_id = $2 AND transaction_id IS NULL
  ORDER BY id
  LIMIT $3
  FOR UPDATE SKIP LOCKED
)
UPDATE serial SET transaction_id = $1
FROM free
WHERE serial.id = free.id`,
}

export default {
  id: 'pg/skip-locked',
  title: 'pg, FOR UPDATE SKIP LOCKED',
  family: 'pg',
  source: 'https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE',
  choices:
    'READ COMMITTED, named (prepared) statements, not pipelined: the second hangs on what the first has found. What is ' +
    'free is chosen in a CTE, which is run once, whatever the plan.',
  operations: ['takeSerials', 'takeSerial'],

  async open(env) {
    const pool = createPool(env)
    async function takeSerials(transactionId: string, itemId: number, count: number): Promise<Outcome> {
      try {
        await inTransaction(pool, async (client) => {
          const { rowCount: claimed } = await client.query({ ...CLAIM, values: [transactionId, itemId, count] })
          if (claimed === 0) return // they were taken before
          const { rowCount: taken } = await client.query({ ...TAKE, values: [transactionId, itemId, count] })
          if ((taken ?? 0) < count) throw new TooFew()
        })
        return { retries: 0 }
      } catch (error) {
        if (!(error instanceof TooFew)) throw error
        return { retries: 0, refused: true }
      }
    }
    return {
      takeSerials,
      takeSerial: (transactionId, itemId) => takeSerials(transactionId, itemId, 1),
      close: () => pool.end(),
    }
  },
} satisfies Contender

/** Rolls the claim back. */
class TooFew extends Error {}
