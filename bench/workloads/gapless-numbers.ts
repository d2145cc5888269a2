/** Writes documents under numbers that must have no gap: everybody waits for the one before. */
import type pg from 'pg'
import { operationOf } from '../contender.js'
import type { Audit, Tally, Workload } from '../workload.js'

const SERIES = 'INV-2026'

export const gaplessNumbers: Workload = {
  id: 'gapless-numbers',
  title: 'Gapless numbers',
  about: '16 callers write documents into one series, each under the next number.',
  operation: 'nextNumber',
  processes: 1,
  callers: 16,
  poolSize: 10,
  fill: async (database) => {
    await database.query('INSERT INTO series (name) VALUES ($1)', [SERIES])
  },
  caller(session, place) {
    const nextNumber = operationOf(session, 'nextNumber')
    let count = 0
    return () => ({ key: 'numbers', outcome: nextNumber(`${place.name}/${count++}`, SERIES) })
  },
  audit: auditSeries,
}

async function auditSeries(database: pg.ClientBase, tally: Tally): Promise<Audit> {
  const { rows } = await database.query<{ documents: number; numbers: number; highest: number }>(
    `SELECT count(*)::int AS documents, count(DISTINCT number)::int AS numbers, coalesce(max(number), 0) AS highest
FROM document WHERE series = $1`,
    [SERIES],
  )
  const { documents, numbers, highest } = rows[0] ?? { documents: 0, numbers: 0, highest: 0 }
  const { done, failed } = tally.numbers ?? { done: 0, failed: 0 }
  return {
    lost: Math.max(0, done - documents),
    doubled: documents - numbers + Math.max(0, documents - done - failed),
    negative: 0,
    inconsistent: highest - numbers, // gaps
  }
}
