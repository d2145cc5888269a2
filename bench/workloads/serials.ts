/** Hands out serial numbers of a pool, three per transaction id, none of them twice. */
import type pg from 'pg'
import { operationOf } from '../contender.js'
import type { Audit, Tally, Workload } from '../workload.js'

const ITEM = 1
const PER_CALL = 3
/** More than any contender takes in a run. */
const SUPPLY = 100_000

export const serials: Workload = {
  id: 'serials',
  title: 'Serials, 3 per call',
  about: `16 callers take ${PER_CALL} serials each, again and again, of a pool that does not run out.`,
  operation: 'takeSerials',
  processes: 1,
  callers: 16,
  poolSize: 10,
  fill: async (database) => {
    await database.query('INSERT INTO item (id, name, stock) VALUES ($1, $2, 0)', [ITEM, 'Item'])
    await database.query(
      `INSERT INTO serial (number, item_id) SELECT 'SN-' || n, $1 FROM generate_series(1, $2::int) AS n`,
      [ITEM, SUPPLY],
    )
  },
  caller(session, place) {
    const takeSerials = operationOf(session, 'takeSerials')
    let count = 0
    return () => ({ key: 'serials', outcome: takeSerials(`${place.name}/${count++}`, ITEM, PER_CALL) })
  },
  audit: auditSerials,
}

/** A caller that was told it has three has three; a serial given to two is lost by the first. */
async function auditSerials(database: pg.ClientBase, tally: Tally): Promise<Audit> {
  const { rows } = await database.query<{ taken: number; uneven: number; free: number }>(
    `SELECT coalesce(sum(taken), 0)::int AS taken, (count(*) FILTER (WHERE taken <> $1))::int AS uneven,
  (SELECT count(*)::int FROM serial WHERE transaction_id IS NULL) AS free
FROM (SELECT count(*) AS taken FROM serial WHERE transaction_id IS NOT NULL GROUP BY transaction_id) AS t`,
    [PER_CALL],
  )
  const { taken, uneven, free } = rows[0] ?? { taken: 0, uneven: 0, free: 0 }
  const { done, refused, failed } = tally.serials ?? { done: 0, refused: 0, failed: 0 }
  if (free < PER_CALL) throw new Error('The serials have run out: what was refused tells nothing.')
  return {
    lost: Math.max(0, done * PER_CALL - taken),
    doubled: Math.max(0, taken - (done + failed) * PER_CALL),
    negative: 0,
    inconsistent: uneven + refused,
  }
}
