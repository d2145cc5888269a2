/** An outbox by hand on pg: a table of messages, and workers that take one each by `FOR UPDATE SKIP LOCKED`. */
import type { Contender } from '../../contender.js'
import { createPool, inTransaction } from '../../support/pg-pool.js'
import { Telling } from '../../support/telling.js'

const PAY = { name: 'pay', text: 'INSERT INTO payment (transaction_id, amount) VALUES ($1, 12.5)' }
const ADD = { name: 'add', text: 'INSERT INTO message (transaction_id) VALUES ($1)' }
const TELL = { name: 'tell', text: 'INSERT INTO told (transaction_id) VALUES ($1)' }
const TAKE = {
  name: 'take',
  text: `DELETE FROM message
WHERE id = (SELECT id FROM message ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING transaction_id AS "transactionId"`,
}

export default {
  id: 'pg/outbox-table',
  title: 'pg, a table and SKIP LOCKED',
  family: 'pg',
  source: 'https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE',
  choices: 'As prisma/outbox-table; named (prepared) statements.',
  operations: ['tell'],

  async open(env) {
    const pool = createPool(env)
    const telling = new Telling()
    const handle = () =>
      inTransaction(pool, async (client) => {
        const { rows } = await client.query<{ transactionId: string }>(TAKE)
        if (rows[0] === undefined) return false
        const { transactionId } = rows[0]
        await client.query({ ...TELL, values: [transactionId] })
        telling.told(transactionId)
        return true
      })
    const relay = telling.relay(handle)
    return {
      async tell(transactionId) {
        await inTransaction(pool, async (client) => {
          await client.query({ ...PAY, values: [transactionId] })
          await client.query({ ...ADD, values: [transactionId] })
        })
        telling.made(transactionId)
        return { retries: 0 }
      },
      async settle() {
        await telling.settled()
        await relay.end()
      },
      async close() {
        await relay.end()
        await pool.end()
      },
    }
  },
} satisfies Contender
