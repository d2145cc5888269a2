import type { Session } from '../engine/session.js'
import { columnsAsKeys, sqlTypeOf } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import { join, type Parameter, param, raw, type Statement, sql } from '../sql/statement.js'
import { inScope, type Series, type SeriesMap, seriesOf } from './mapping.js'
import { areEqual, keyOf } from './statements.js'

/** A flaw in the numbers of a series. */
export type SeriesFlaw =
  /** Numbers that were taken, but that no transaction id has, and that are neither void nor free. Only of a series without `blocks`, where gaps are allowed. */
  | {
      readonly kind: 'gap'
      readonly series: string
      readonly period: string
      readonly from: bigint
      readonly to: bigint
    }
  /** A number that the counter is still to give: it cannot be given again, so the series stops there. */
  | { readonly kind: 'ahead of the counter'; readonly series: string; readonly period: string; readonly value: bigint }
  /** A number that is two of these at once: used by a transaction id, void, free. */
  | { readonly kind: 'twice'; readonly series: string; readonly period: string; readonly value: bigint }
  /** A number whose record is gone, or has another number. */
  | {
      readonly kind: 'other record'
      readonly series: string
      readonly transactionId: string
      readonly number: string
      readonly recorded: string | null
    }

/** How many numbers, and how many names of series, one statement reads. */
const PAGE = 10_000

/** Where a page ends. */
interface Place {
  readonly period: string
  readonly value: string
}

interface PageRow {
  readonly next: Place | null
  readonly gaps: readonly { readonly period: string; readonly from: string; readonly to: string }[]
  readonly ahead: readonly Place[]
  readonly twice: readonly Place[]
  readonly others: readonly {
    readonly transactionId: string
    readonly number: string
    readonly recorded: string | null
  }[]
}

/** Series by series, those too that only the tables know. */
export async function* seriesFlaws(session: Session, map: SeriesMap): AsyncGenerator<SeriesFlaw> {
  for await (const key of keysOf(session, map)) {
    const [name = '', scope] = [key.at(-1), key.slice(0, -1)]
    const series = inScope(seriesOf(map, name), map.scope, scope)
    yield* flawsOf(session, map, series)
  }
}

/** The keys of all series, as texts. */
async function* keysOf(session: Session, { counter, number, scope }: SeriesMap): AsyncGenerator<readonly string[]> {
  const columns = counter.key.map((_, i) => raw(`k${i}`))
  for (let after: readonly string[] | undefined = []; after !== undefined; ) {
    const last: readonly string[] = after
    const values = last.map((text, i) => param(text, scope[i] ? sqlTypeOf(scope[i]) : 'text'))
    const behind = values.length > 0 && sql`WHERE (${join(columns)}) > (${join(values)})\n`
    const rows: readonly { readonly key: readonly string[] }[] = await session.rows<{
      key: string[]
    }>(sql`SELECT ARRAY[${join(columns.map((column) => raw(`${column}::text`)))}] AS key
FROM (
  SELECT ${columnsAsKeys(counter.key, 'c')} FROM ${counter.table} AS c UNION SELECT ${columnsAsKeys(number.key, 'n')} FROM ${number.table} AS n
) AS known
${behind}ORDER BY ${join(columns)}
LIMIT ${raw(String(PAGE))}`)
    for (const { key } of rows) yield key
    after = rows.length < PAGE ? undefined : rows.at(-1)?.key
  }
}

/**
 * Page by page, in the order of the numbers. A page is one statement. A gapless number is used up by the transaction
 * that notes it, so what is missing between two that are noted was missing at that moment.
 */
async function* flawsOf(session: Session, map: SeriesMap, series: Series): AsyncGenerator<SeriesFlaw> {
  const name = series.id
  for (let after: Place | null | undefined; after !== null; ) {
    const [page]: readonly PageRow[] = await session.rows<PageRow>(pageOf(map, series, after))
    for (const { period, from, to } of page?.gaps ?? []) {
      yield { kind: 'gap', series: name, period, from: BigInt(from), to: BigInt(to) }
    }
    for (const { period, value } of page?.ahead ?? []) {
      yield { kind: 'ahead of the counter', series: name, period, value: BigInt(value) }
    }
    for (const { period, value } of page?.twice ?? []) {
      yield { kind: 'twice', series: name, period, value: BigInt(value) }
    }
    for (const other of page?.others ?? []) yield { kind: 'other record', series: name, ...other }
    after = page?.next ?? null
  }
}

type Behind = (period: string, value: string) => Statement | undefined

/** A page of the numbers that are void or free, as a part of the list. */
function explained(
  { table, key, period, value }: NonNullable<SeriesMap['free']>,
  own: readonly Parameter[],
  behind: Behind,
): Statement {
  const [ofPeriod, number] = [`e.${columnOf(period)}`, `e.${columnOf(value)}`]
  return sql`
    UNION ALL
    (
      SELECT ${raw(ofPeriod)}, ${raw(number)}::int8, true, NULL, NULL
      FROM ${table} AS e
      WHERE ${areEqual(key, own, 'e.')}${behind(ofPeriod, number)}
      ORDER BY ${raw(ofPeriod)}, ${raw(number)}
      LIMIT ${raw(String(PAGE))}
    )`
}

/** Each counter stands in the list as the number behind its last one, which ends a gap, and is itself none. */
function pageOf({ counter, number, voids, free }: SeriesMap, series: Series, after: Place | undefined): Statement {
  const { start, blocks, document } = series
  const own = keyOf(series)
  const before = after && { period: param(after.period, 'text'), value: param(after.value, 'int8') }
  const behind: Behind = (period, value) =>
    before && sql` AND (${raw(period)}, ${raw(value)}) > (${before.period}, ${before.value})`
  const [period, value] = [`n.${columnOf(number.period)}`, `n.${columnOf(number.value)}`]
  const next = `c.${columnOf(counter.last)}::int8 + 1`
  const first = sql`${param(start, 'int8')} - 1`
  const carried = before ? sql`CASE WHEN period = ${before.period} THEN ${before.value} ELSE ${first} END` : first
  const id = columnOf(number.transactionId)
  const recorded = document && raw(`d.${columnOf(document.number)}::text`)
  const noted = raw(`page.${document?.number.type === 'String' ? 'text' : 'value::text'}`)
  return sql`WITH page AS MATERIALIZED (
  SELECT *
  FROM (
    (
      SELECT ${raw(period)} AS period, ${raw(value)}::int8 AS value, true AS counts, n.${id} AS id, n.${columnOf(number.text)} AS text
      FROM ${number.table} AS n
      WHERE ${areEqual(number.key, own, 'n.')}${behind(period, value)}
      ORDER BY ${raw(period)}, ${raw(value)}
      LIMIT ${raw(String(PAGE))}
    )${join(
      [voids, free].map((place) => place && explained(place, own, behind)),
      '',
    )}
    UNION ALL
    SELECT c.${columnOf(counter.period)}, ${raw(next)}, false, NULL, NULL
    FROM ${counter.table} AS c
    WHERE ${areEqual(counter.key, own, 'c.')}${behind(`c.${columnOf(counter.period)}`, next)}
  ) AS listed
  ORDER BY period, value
  -- with all rows of the last number: a page begins behind a number
  FETCH FIRST ${raw(String(PAGE))} ROWS WITH TIES
), step AS MATERIALIZED (
  SELECT page.*, lag(value, 1, ${carried}) OVER (PARTITION BY period ORDER BY value) AS before, (
    SELECT c.${columnOf(counter.last)}::int8 FROM ${counter.table} AS c
    WHERE ${areEqual(counter.key, own, 'c.')} AND c.${columnOf(counter.period)} = page.period
  ) AS last
  FROM page
)
SELECT (
  SELECT json_build_object('period', period, 'value', value::text) FROM page ORDER BY page.period DESC, page.value DESC LIMIT 1
) AS next, (
  SELECT coalesce(json_agg(json_build_object('period', period, 'from', (before + 1)::text, 'to', (value - 1)::text) ORDER BY period, value), '[]')
  FROM step
  WHERE value > before + 1 AND value <= last + 1 AND ${raw(blocks === undefined ? 'true' : 'false')}
) AS gaps, (
  SELECT coalesce(json_agg(json_build_object('period', period, 'value', value::text) ORDER BY period, value), '[]')
  FROM step
  WHERE counts AND value > coalesce(last, value - 1)
) AS ahead, (
  SELECT coalesce(json_agg(json_build_object('period', period, 'value', value::text) ORDER BY period, value), '[]')
  FROM (SELECT period, value FROM page WHERE counts GROUP BY 1, 2 HAVING count(*) > 1) AS doubled
) AS twice, (
  ${
    document && recorded
      ? sql`SELECT coalesce(json_agg(json_build_object('transactionId', page.id::text, 'number', page.text, 'recorded', ${recorded}) ORDER BY period, value), '[]')
  FROM page
  LEFT JOIN ${document.table} AS d ON ${areEqual([...document.scope, document.transactionId], [...series.scope, raw('page.id')], 'd.')}
  WHERE page.id IS NOT NULL AND ${recorded} IS DISTINCT FROM ${noted}`
      : raw("SELECT '[]'::json")
  }
) AS others`
}
