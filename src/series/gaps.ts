import type { Session } from '../engine/session.js'
import { columnOf } from '../sql/sql.js'
import { param, raw, sql } from '../sql/statement.js'
import type { Series, SeriesMap } from './mapping.js'
import { areEqual, keyOf } from './statements.js'
import type { Gap } from './store.js'

interface GapRow extends Pick<Gap, 'period' | 'from' | 'to'> {
  readonly why?: 'void' | 'free' | null
  readonly reason?: string | null
}

/** The numbers that were taken, but that no transaction id has; of one period, or of all. */
export async function findGaps(
  session: Session,
  { counter, number, voids, free }: SeriesMap,
  series: Series,
  period: string | undefined,
): Promise<Gap[]> {
  const key = keyOf(series)
  const only = param(period ?? null, 'text')
  const explains = voids !== undefined || free !== undefined
  const explained = raw(explains ? ', why, reason' : '')
  const unexplained = raw(explains ? ', NULL, NULL' : '')
  const voided =
    voids &&
    sql`
  UNION ALL
  SELECT ${columnOf(voids.period)}, ${columnOf(voids.value)}::int8, 'void', ${columnOf(voids.reason)}
  FROM ${voids.table}
  WHERE ${areEqual(voids.key, key)}`
  const unowned =
    free &&
    sql`
  UNION ALL
  SELECT ${columnOf(free.period)}, ${columnOf(free.value)}::int8, 'free', NULL
  FROM ${free.table}
  WHERE ${areEqual(free.key, key)}`
  const rows = await session.rows<GapRow>(sql`WITH value AS (
  SELECT ${columnOf(number.period)} AS period, ${columnOf(number.value)}::int8 AS value${raw(explains ? ', NULL AS why, NULL AS reason' : '')}
  FROM ${number.table}
  WHERE ${areEqual(number.key, key)}
  UNION ALL
  SELECT ${columnOf(counter.period)}, ${columnOf(counter.last)}::int8 + 1${unexplained}
  FROM ${counter.table}
  WHERE ${areEqual(counter.key, key)}${voided}${unowned}
), step AS (
  SELECT period, value${explained}, lag(value, 1, ${param(series.start, 'int8')} - 1) OVER (PARTITION BY period ORDER BY value) AS before
  FROM value
  WHERE ${only} IS NULL OR period = ${only}
)
SELECT period, before + 1 AS "from", value - 1 AS "to"${raw(explains ? ', NULL AS why, NULL AS reason' : '')}
FROM step
WHERE value > before + 1${
    explains &&
    sql`
UNION ALL
SELECT period, min(value), max(value), why, reason
FROM (
  -- numbers that follow one another, and have one reason, have one island
  SELECT step.*, value - row_number() OVER (PARTITION BY period, why, reason ORDER BY value) AS island
  FROM step
  WHERE why IS NOT NULL
) AS known
GROUP BY period, why, reason, island`
  }
ORDER BY period, ${raw(explains ? '"from"' : 'value')}`)
  return rows.map(({ why, reason, ...gap }) => ({ ...gap, ...(why && { why }), ...(reason && { reason }) }))
}
