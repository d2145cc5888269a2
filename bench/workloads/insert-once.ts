/** Inserts payments that carry a transaction id: all of them new, or each of them by two callers side by side. */
import type pg from 'pg'
import { operationOf } from '../contender.js'
import type { Audit, Tally, Workload } from '../workload.js'

const common = {
  operation: 'insertOnce',
  processes: 1,
  callers: 16,
  poolSize: 10,
  fill: async () => {},
} as const

/** Nobody beside it, with whom it could be done together. */
export const insertAlone = insertOnce(1, {
  id: 'insert-once-1',
  title: 'Insert once, 1 caller',
  about: 'One caller inserts one payment after the other, all with new transaction ids.',
  callers: 1,
})

/** No transaction id twice: the cost of the guard when nothing happens. */
export const insertNew = insertOnce(1, {
  id: 'insert-once-new',
  title: 'Insert once, all new',
  about: '16 callers insert payments with transaction ids that nobody has used.',
  short: true,
})

/** Two callers of the same sequence of ids, who stay about level with one another. */
export const insertDuplicates = insertOnce(2, {
  id: 'insert-once-duplicates',
  title: 'Insert once, half duplicates',
  about: '8 pairs of callers; both of a pair insert the same transaction ids side by side.',
})

/** As many callers as `sharing` go through the same transaction ids. */
function insertOnce(
  sharing: number,
  texts: Pick<Workload, 'id' | 'title' | 'about'> & Partial<Pick<Workload, 'short' | 'callers'>>,
): Workload {
  return {
    ...common,
    ...texts,
    caller(session, place) {
      const insert = operationOf(session, 'insertOnce')
      const group = Math.floor(place.index / sharing)
      let count = 0
      return () => ({ key: `${group}/${place.index}`, outcome: insert(`${group}/${count++}`, 12.5) })
    },
    audit: auditPayments,
  }
}

/** Each group has as many payments as its busiest caller made, no matter how often each was sent. */
async function auditPayments(database: pg.ClientBase, tally: Tally): Promise<Audit> {
  const { rows } = await database.query<{ group: string; payments: number; ids: number }>(
    `SELECT split_part(transaction_id, '/', 1) AS group,
  count(*)::int AS payments, count(DISTINCT transaction_id)::int AS ids
FROM payment
GROUP BY 1`,
  )
  const found = new Map(rows.map(({ group, ids }) => [group, ids]))
  const least = new Map<string, number>()
  const most = new Map<string, number>()
  for (const [key, { done, failed }] of Object.entries(tally)) {
    const group = key.slice(0, key.indexOf('/'))
    least.set(group, Math.max(least.get(group) ?? 0, done))
    most.set(group, Math.max(most.get(group) ?? 0, done + failed))
  }
  const audit = { lost: 0, doubled: 0, negative: 0, inconsistent: 0 }
  for (const [group, count] of least) audit.lost += Math.max(0, count - (found.get(group) ?? 0))
  for (const { group, payments, ids } of rows) {
    audit.doubled += payments - ids + Math.max(0, ids - (most.get(group) ?? 0))
  }
  return audit
}
