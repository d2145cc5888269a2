import pg from 'pg'
import { ITEMS, type Side } from './cells.js'

/** The floor: one prepared statement per call on node-postgres, where the decision can be said in SQL. */
export function openPlainPg(url: string): Side {
  const pool = new pg.Pool({ connectionString: url, max: 10 })
  const query = (name: string, text: string, values: unknown[]) => pool.query({ name, text, values })
  const insertOnce = (transactionId: string) =>
    query(
      'insert',
      'INSERT INTO payment (transaction_id, amount) VALUES ($1, $2) ON CONFLICT (transaction_id) DO NOTHING RETURNING *',
      [transactionId, 1],
    )
  const number = (transactionId: string) =>
    query(
      'number',
      `WITH next AS (UPDATE series SET last = last + 1 WHERE name = 'invoice' RETURNING last)
INSERT INTO document (series, number, transaction_id) SELECT 'invoice', last, $1 FROM next RETURNING *`,
      [transactionId],
    )
  return {
    updateObject: (caller) =>
      query('object', "UPDATE item SET name = 'Chai', version = version + 1 WHERE id = $1 RETURNING *", [
        ITEMS - caller,
      ]),
    async updateFunction(id) {
      for (;;) {
        const { rows } = await query('read', 'SELECT * FROM item WHERE id = $1', [id])
        const { rowCount } = await query(
          'write',
          'UPDATE item SET stock = $3, version = version + 1 WHERE id = $1 AND version = $2 RETURNING *',
          [id, rows[0].version, rows[0].stock + 1],
        )
        if (rowCount === 1) return
      }
    },
    insert: insertOnce,
    insertOnce,
    move: (transactionId, itemId, quantity) =>
      query(
        'move',
        `WITH moved AS (
  UPDATE stock SET "onHand" = "onHand" + $3, version = version + 1 WHERE item_id = $2 AND "onHand" + $3 >= 0 RETURNING item_id
)
INSERT INTO stock_movement (transaction_id, line, item_id, quantity) SELECT $1, 0, item_id, $3 FROM moved`,
        [transactionId, itemId, quantity],
      ),
    number,
    numberById: number,
    numberTogether: number,
    close: () => pool.end(),
  }
}
