import { rowOf, type Session } from '../engine/session.js'
import { SeriesOverflowError } from '../errors/index.js'
import { columnOf } from '../sql/sql.js'
import { param, raw, sql } from '../sql/statement.js'
import type { SeriesMap } from './mapping.js'
import { areEqual, keyOf, numberText, type Wanted } from './statements.js'
import { label } from './store.js'
import type { PeekedNumber } from './types.js'

/**
 * The number that would be next, and that anybody may take meanwhile.
 *
 * @throws SeriesOverflowError
 */
export async function peekNumber(
  session: Session,
  { counter, free }: SeriesMap,
  wanted: Wanted,
): Promise<PeekedNumber> {
  const { series } = wanted
  const key = keyOf(series)
  const lowest =
    free &&
    series.parallel &&
    sql`(
  SELECT min(f.${columnOf(free.value)}) FROM ${free.table} AS f WHERE ${areEqual(free.key, key, 'f.')} AND f.${columnOf(free.period)} = label.period
), `
  const text = numberText(
    { before: raw('before'), value: raw('value'), after: raw('after') },
    param(series.format.width, 'int4'),
  )
  const found = await rowOf<PeekedNumber>(
    session,
    sql`WITH ${label(wanted)}
SELECT period, value, ${text} AS text
FROM (
  SELECT label.*, coalesce(${lowest}(
    SELECT c.${columnOf(counter.last)} + 1::int8 FROM ${counter.table} AS c WHERE ${areEqual(counter.key, key, 'c.')} AND c.${columnOf(counter.period)} = label.period
  ), ${param(series.start, 'int8')}) AS value
  FROM label
) AS next`,
  )
  if (found.value > series.highest) throw new SeriesOverflowError(series.name, series.highest)
  return found
}
