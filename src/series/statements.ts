import { sqlTypeOf, stamps, touches } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import type { SeriesMap } from './mapping.js'

/** `$1` to `$8`: name, moment, time zone, patterns of the period, before and after, unit, first number. */
const LABEL = `moment AS (
  -- the transaction's own moment, as in all its CURRENT_TIMESTAMPs
  SELECT coalesce($2::timestamptz, now()) AT TIME ZONE $3::text AS local
), label AS (
  SELECT coalesce(to_char(local, $4::text), '') AS period,
    coalesce(to_char(local, $5::text), '') AS before,
    coalesce(to_char(local, $6::text), '') AS after,
    date_trunc($7::text, local) AT TIME ZONE $3::text AS begins,
    (date_trunc($7::text, local) + ('1 ' || $7::text)::interval) AT TIME ZONE $3::text AS ends
  FROM moment
)`

/**
 * Takes the next `$9` numbers, up to `$10`: `last` is the last of them, or NULL if there are not so
 * many. The counter's row is locked from here to the end of the transaction.
 */
export function takeSql(map: SeriesMap): string {
  return `WITH ${LABEL}, taken AS (
  ${bump(map, 'label')}
)
SELECT label.period, label.before, label.after, taken.last::int8 AS last,
  extract(epoch FROM clock_timestamp())::float8 * 1000 AS now,
  extract(epoch FROM label.begins)::float8 * 1000 AS begins,
  extract(epoch FROM label.ends)::float8 * 1000 AS ends
FROM label LEFT JOIN taken ON true`
}

/**
 * Takes the next number for the transaction id `$11`, of at least `$12` digits, unless it has one:
 * in one statement, so that the counter's row is held no longer than the rest of the caller's
 * transaction. A number of the same id that was committed meanwhile is not in the snapshot; it is
 * met by the unique key, and the number that was `taken` for nothing is to be given back.
 */
export function takeOnceSql(map: SeriesMap): string {
  const { number } = map
  return `WITH ${LABEL}, known AS (
  ${known(map, '$11')}
), taken AS (
  ${bump(map, 'label WHERE NOT EXISTS (SELECT FROM known)')}
), given AS (
  INSERT INTO ${number.table} (${numberColumns(map)})
  SELECT $1::text, $11::${sqlTypeOf(number.transactionId)}, taken.period, taken.last,
    label.before || lpad(taken.last::text, greatest($12::int4, length(taken.last::text)), '0') || label.after${stamps(number.updatedAt)}
  FROM taken CROSS JOIN label
  ON CONFLICT (${columnOf(number.series)}, ${columnOf(number.transactionId)}) DO NOTHING
  RETURNING ${columnOf(number.period)} AS period, ${columnOf(number.value)}::int8 AS value, ${columnOf(number.text)} AS text
)
SELECT 'known' AS outcome, period, value, text FROM known
UNION ALL
SELECT 'given', period, value, text FROM given
UNION ALL
SELECT 'taken for nothing', period, last::int8, NULL FROM taken WHERE NOT EXISTS (SELECT FROM given)`
}

/** Gives back the number that this transaction took last: it still holds the row, and nobody has seen it. */
export function giveBackSql({ counter }: SeriesMap): string {
  const last = columnOf(counter.last)
  return `UPDATE ${counter.table} AS s SET ${last} = s.${last} - 1${touches(counter, 's')}
WHERE ${columnOf(counter.name)} = $1 AND ${columnOf(counter.period)} = $2`
}

/** The number that the transaction id `$2` has. */
export function readSql(map: SeriesMap): string {
  return known(map, '$2')
}

/** Notes the number `$4` for the transaction id `$2`, unless it has one. */
export function recordSql(map: SeriesMap): string {
  const { number } = map
  return `INSERT INTO ${number.table} (${numberColumns(map)})
SELECT $1::text, $2::${sqlTypeOf(number.transactionId)}, $3::text, $4::int8, $5::text${stamps(number.updatedAt)}
ON CONFLICT (${columnOf(number.series)}, ${columnOf(number.transactionId)}) DO NOTHING
RETURNING 1 AS recorded`
}

/** How far the series is in a period. */
export function lastSql({ counter }: SeriesMap): string {
  return `SELECT ${columnOf(counter.last)}::int8 AS last FROM ${counter.table}
WHERE ${columnOf(counter.name)} = $1 AND ${columnOf(counter.period)} = $2`
}

/** The numbers from `$2` on that were taken, but that no transaction id has; of period `$3`, or of all. */
export function gapsSql({ counter, number }: SeriesMap): string {
  return `WITH value AS (
  SELECT ${columnOf(number.period)} AS period, ${columnOf(number.value)}::int8 AS value
  FROM ${number.table}
  WHERE ${columnOf(number.series)} = $1
  UNION ALL
  SELECT ${columnOf(counter.period)}, ${columnOf(counter.last)}::int8 + 1
  FROM ${counter.table}
  WHERE ${columnOf(counter.name)} = $1
), step AS (
  SELECT period, value, lag(value, 1, $2::int8 - 1) OVER (PARTITION BY period ORDER BY value) AS before
  FROM value
  WHERE $3::text IS NULL OR period = $3::text
)
SELECT period, before + 1 AS "from", value - 1 AS "to"
FROM step
WHERE value > before + 1
ORDER BY period, value`
}

/** The row lock of a series: whoever wants a number of the same period waits for this transaction's end. */
function bump({ counter }: SeriesMap, source: string): string {
  const [name, period, last] = [counter.name, counter.period, counter.last].map(columnOf)
  const columns = [counter.name, counter.period, counter.last, ...counter.updatedAt].map(columnOf).join(', ')
  return `INSERT INTO ${counter.table} AS s (${columns})
  SELECT $1::text, label.period, $8::int8 + $9::int8 - 1${stamps(counter.updatedAt)} FROM ${source}
  ON CONFLICT (${name}, ${period}) DO UPDATE SET ${last} = s.${last} + $9::int8${touches(counter, 's')}
  WHERE s.${last} <= $10::int8 - $9::int8
  RETURNING s.${period} AS period, s.${last} AS last`
}

function known({ number }: SeriesMap, transactionId: string): string {
  return `SELECT ${columnOf(number.period)} AS period, ${columnOf(number.value)}::int8 AS value, ${columnOf(number.text)} AS text
  FROM ${number.table}
  WHERE ${columnOf(number.series)} = $1 AND ${columnOf(number.transactionId)} = ${transactionId}::${sqlTypeOf(number.transactionId)}`
}

function numberColumns({ number }: SeriesMap): string {
  return [number.series, number.transactionId, number.period, number.value, number.text, ...number.updatedAt]
    .map(columnOf)
    .join(', ')
}
