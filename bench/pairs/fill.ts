import type pg from 'pg'
import { fillItems } from '../workloads/items.js'
import { ITEMS } from './cells.js'

export async function fill(database: pg.ClientBase): Promise<void> {
  await fillItems(database, ITEMS, 0)
  await database.query(`INSERT INTO stock (item_id, "onHand") SELECT id, 100000000 FROM item`)
  await database.query(
    `INSERT INTO slot_stock (item_id, slot, "onHand") SELECT 1, n, 25000000 FROM generate_series(0, 3) AS n`,
  )
  await database.query(`INSERT INTO series (name) VALUES ('invoice')`)
  await database.query(`INSERT INTO serial (number, item_id) SELECT 'S-' || n, 1 FROM generate_series(1, 400000) AS n`)
}
