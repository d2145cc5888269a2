/**
 * The floor: the database's own speed when the change can be said in one statement, prepared once
 * per connection. No decision is made in the process, so it is no alternative where one is needed.
 */
import type { Contender } from '../../contender.js'
import { createPool } from '../../support/pg-pool.js'

const ADD_ONE = {
  name: 'add-one',
  text: `UPDATE item SET stock = stock + 1, version = version + 1
WHERE id = $1 AND stock + 1 >= 0`,
}

const INSERT_ONCE = {
  name: 'insert-once',
  text: `INSERT INTO payment (transaction_id, amount) VALUES ($1, $2)
ON CONFLICT (transaction_id) DO NOTHING`,
}

export default {
  id: 'pg/guarded-update',
  title: 'pg, one guarded statement (floor)',
  family: 'pg',
  source: 'https://node-postgres.com/features/queries#prepared-statements',
  choices:
    'READ COMMITTED, autocommit, named (prepared) statements. It does not read before it writes, and gives no record back.',
  operations: ['readChangeWrite', 'insertOnce'],

  async open(env) {
    const pool = createPool(env)
    return {
      async readChangeWrite(itemId) {
        const { rowCount } = await pool.query({ ...ADD_ONE, values: [itemId] })
        if (rowCount !== 1) throw new Error(`No item ${itemId}.`)
        return { retries: 0 }
      },
      async insertOnce(transactionId, amount) {
        await pool.query({ ...INSERT_ONCE, values: [transactionId, amount] })
        return { retries: 0 }
      },
      close: () => pool.end(),
    }
  },
} satisfies Contender
