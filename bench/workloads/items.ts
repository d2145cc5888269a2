/** Items, and what must be true of them when every call adds 1. */
import type pg from 'pg'
import type { Audit, Tally } from '../workload.js'

/** Items 1 to `count`, each with that stock. */
export async function fillItems(database: pg.ClientBase, count: number, stock: number): Promise<void> {
  await database.query(
    `INSERT INTO item (id, name, stock)
SELECT id, 'Item ' || id, $2 FROM generate_series(1, $1::int) AS id`,
    [count, stock],
  )
  await database.query('ANALYZE item')
}

/** Every call under the key of an item was to add 1 to its stock, which began at 0. */
export async function auditStocks(database: pg.ClientBase, tally: Tally): Promise<Audit> {
  const { rows } = await database.query<{ id: number; stock: number }>('SELECT id, stock FROM item')
  let lost = 0
  let doubled = 0
  for (const { id, stock } of rows) {
    const { done, failed } = tally[id] ?? { done: 0, failed: 0 }
    lost += Math.max(0, done - stock)
    // A call that failed may have been written all the same.
    doubled += Math.max(0, stock - done - failed)
  }
  return { lost, doubled, negative: rows.filter(({ stock }) => stock < 0).length, inconsistent: 0 }
}
