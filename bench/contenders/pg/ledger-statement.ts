/**
 * The floor of a stock move that is sent alone: the guarded update and the movement in one
 * statement, prepared once per connection, so that the row is locked no longer than the commit takes.
 */
import type { Contender } from '../../contender.js'
import { createPool } from '../../support/pg-pool.js'

const MOVE = {
  name: 'move-and-note',
  text: `WITH moved AS (
  UPDATE item SET stock = stock + $3, version = version + 1
  WHERE id = $2 AND stock + $3 >= 0
  RETURNING id
)
INSERT INTO movement (transaction_id, item_id, quantity)
SELECT $1, id, $3 FROM moved`,
}

const KNOWN = { name: 'known', text: 'SELECT FROM movement WHERE transaction_id = $1' }

const UNIQUE_VIOLATION = '23505'

export default {
  id: 'pg/ledger-statement',
  title: 'pg, stock and ledger in one statement (floor)',
  family: 'pg',
  source: 'https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING',
  choices:
    'READ COMMITTED, autocommit, named (prepared) statements. Who is refused looks whether the transaction id is known. ' +
    'Only where a move is of one item.',
  operations: ['move', 'receive'],

  async open(env) {
    const pool = createPool(env)
    const move = async (transactionId: string, itemId: number, quantity: number) => {
      try {
        const { rowCount } = await pool.query({ ...MOVE, values: [transactionId, itemId, quantity] })
        if (rowCount === 1) return { retries: 0 }
        const { rowCount: known } = await pool.query({ ...KNOWN, values: [transactionId] })
        return { retries: 0, refused: known === 0 }
      } catch (error) {
        // Nothing was moved either: it was moved before.
        if (!(error instanceof Error && 'code' in error && error.code === UNIQUE_VIOLATION)) throw error
        return { retries: 0 }
      }
    }
    return { move, receive: move, close: () => pool.end() }
  },
} satisfies Contender
