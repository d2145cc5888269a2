/**
 * The incident that this library was written after: callers hand out the serials of one product, of which there are some
 * hundred, by looking for the next one and taking it. When they have run out, all go on with the next product.
 */
import type pg from 'pg'
import { operationOf } from '../contender.js'
import type { Audit, Tally, Workload } from '../workload.js'

const PRODUCTS = 400
const PER_PRODUCT = 300

export const serialIncident: Workload = {
  id: 'serial-incident',
  title: 'The incident: one serial per call',
  about: `16 callers take the ${PER_PRODUCT} serials of one product, one per call, and then those of the next product.`,
  operation: 'takeSerial',
  processes: 1,
  callers: 16,
  poolSize: 10,
  async fill(database) {
    await database.query(
      `INSERT INTO item (id, name, stock) SELECT id, 'Item ' || id, 0 FROM generate_series(1, $1::int) AS id`,
      [PRODUCTS],
    )
    await database.query(
      `INSERT INTO serial (number, item_id) SELECT 'SN-' || lpad(n::text, 3, '0'), item.id
FROM item, generate_series(1, $1::int) AS n ORDER BY item.id, n`,
      [PER_PRODUCT],
    )
    await database.query('ANALYZE')
  },
  caller(session, place) {
    const takeSerial = operationOf(session, 'takeSerial')
    let item = 1
    let count = 0
    async function take() {
      const outcome = await takeSerial(`${place.name}/${count++}`, item)
      if (outcome.refused) item++
      return outcome
    }
    return () => ({ key: String(item), outcome: take() })
  },
  audit: auditSerials,
}

/** A caller that was told it has a serial has one: a serial that two were given is lost by the first. */
async function auditSerials(database: pg.ClientBase, tally: Tally): Promise<Audit> {
  const { rows } = await database.query<{ item: number; taken: number; doubled: number }>(
    `SELECT item_id AS item, count(transaction_id)::int AS taken,
  (count(transaction_id) - count(DISTINCT transaction_id))::int AS doubled
FROM serial GROUP BY item_id`,
  )
  if ((tally[PRODUCTS]?.refused ?? 0) > 0) throw new Error('The serials have run out.')
  const audit = { lost: 0, doubled: 0, negative: 0, inconsistent: 0 }
  for (const { item, taken, doubled } of rows) {
    const { done, refused, failed } = tally[item] ?? { done: 0, refused: 0, failed: 0 }
    audit.lost += Math.max(0, done - taken)
    // A call that failed may have taken one all the same.
    audit.doubled += doubled + Math.max(0, taken - done - failed)
    if (refused > 0 && taken < PER_PRODUCT) audit.inconsistent++ // told that there are none, although there are
  }
  return audit
}
