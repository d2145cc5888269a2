/**
 * A stock move as it is mostly written: a transaction with the movement and the guarded update,
 * prepared once per connection. The row is locked last, so that it is held short.
 */
import type { Contender } from '../../contender.js'
import { createPool, inTransaction } from '../../support/pg-pool.js'

const NOTE = {
  name: 'note',
  text: `INSERT INTO movement (transaction_id, item_id, quantity) VALUES ($1, $2, $3)
ON CONFLICT (transaction_id, line) DO NOTHING`,
}

const MOVE = {
  name: 'move',
  text: `UPDATE item SET stock = stock + $2, version = version + 1
WHERE id = $1 AND stock + $2 >= 0`,
}

export default {
  id: 'pg/ledger-transaction',
  title: 'pg, transaction with ledger',
  family: 'pg',
  source: 'https://node-postgres.com/features/transactions',
  choices:
    'READ COMMITTED, named (prepared) statements; it decides in the database, by the condition of the update. Not ' +
    'pipelined: each statement hangs on what the one before has found.',
  operations: ['move', 'receive'],

  async open(env) {
    const pool = createPool(env)
    const move = async (transactionId: string, itemId: number, quantity: number) => {
      try {
        await inTransaction(pool, async (client) => {
          const { rowCount: noted } = await client.query({ ...NOTE, values: [transactionId, itemId, quantity] })
          if (noted === 0) return // it was moved before
          const { rowCount: moved } = await client.query({ ...MOVE, values: [itemId, quantity] })
          if (moved === 0) throw new Insufficient()
        })
        return { retries: 0 }
      } catch (error) {
        if (!(error instanceof Insufficient)) throw error
        return { retries: 0, refused: true }
      }
    }
    return { move, receive: move, close: () => pool.end() }
  },
} satisfies Contender

/** Rolls the movement back. */
class Insufficient extends Error {}
