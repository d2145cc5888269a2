import type { Field } from '../engine/data-model.js'
import { stamps, touches } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import { join, type Parameter, type Piece, param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import type { DatePattern, Format, Unit } from './format.js'
import type { Series, SeriesMap } from './mapping.js'

/** Parts that the statements of this feature have in common. */

/** A series, and the moment whose period the number belongs to. Default: the transaction's start. */
export interface Wanted {
  readonly series: Series
  readonly at: Date | undefined
}

/** The values of the key of a series: those of its scope, and its name. */
export function keyOf({ scope, name }: Pick<Series, 'scope' | 'name'>): readonly Parameter[] {
  return [...scope, param(name, 'text')]
}

/** `"companyId" = $1::int4 AND "name" = $2::text` */
export function areEqual(fields: readonly Field[], values: readonly Piece[], alias = ''): Statement {
  return sql`${join(
    fields.map((field, i) => sql`${raw(alias + columnOf(field))} = ${values[i]}`),
    ' AND ',
  )}`
}

const PATTERNS: Readonly<Record<Unit, string>> = { year: 'YYYY', month: 'YYYY-MM', day: 'YYYY-MM-DD' }

/** The period that the moment `local` is in, and what stands around a number in it. */
export function labelParts({ unit, before, after, shift }: Format): Statement {
  // A fiscal year is called by its first month, so that no calendar year has its name.
  const pattern = param(unit === undefined ? '' : PATTERNS[shift === 0 ? unit : 'month'], 'text')
  const moment = shift === 0 ? raw('local') : periodStart(raw("'year'"), shift)
  return sql`coalesce(to_char(${moment}, ${pattern}), '') AS period,
    ${dateText(before)} AS before,
    ${dateText(after)} AS after`
}

function dateText(patterns: readonly DatePattern[]): Statement {
  const parts = patterns.map(
    ({ pattern, months }) => sql`coalesce(to_char(${moved('local', months)}, ${param(pattern, 'text')}), '')`,
  )
  return sql`${join(parts, ' || ')}`
}

/** The beginning of the period that the moment `local` is in, by the series' own clock. */
export function periodStart(unit: Piece, shift: number): Statement {
  const start = sql`date_trunc(${unit}, ${moved('local', -shift)})`
  return shift === 0 ? start : sql`(${start} + interval '${raw(String(shift))} months')`
}

function moved(moment: string, months: number): SqlText {
  return raw(months === 0 ? moment : `${moment} + interval '${months} months'`)
}

/** A moment by the series' own time zone. Default: the transaction's start. */
export function localMoment(at: Piece, zone: Parameter): Statement {
  return sql`coalesce(${at}, now()) AT TIME ZONE ${zone} AS local`
}

/** A number as the format writes it, with what stands around it. */
export function numberText(
  { before, value, after }: Readonly<Record<'before' | 'value' | 'after', SqlText>>,
  width: Parameter,
): Statement {
  return sql`${before} || lpad(${value}::text, greatest(${width}, length(${value}::text)), '0') || ${after}`
}

/** How many numbers are taken: `size` by a counter that is new, and `more` by one that is there. */
export interface Take {
  readonly size: Piece
  readonly more: Piece
  /** Where `label.period` comes from. */
  readonly source: Piece
}

/** The row lock of a series: a call for a number of the same period waits for this transaction's end. */
export function bump(
  { counter }: SeriesMap,
  { start, highest }: Pick<Series, 'start' | 'highest'>,
  key: readonly Parameter[],
  { size, more, source }: Take,
): Statement {
  const [period, last] = [columnOf(counter.period), columnOf(counter.last)]
  const columns = join([...counter.key, counter.period, counter.last, ...counter.updatedAt].map(columnOf))
  return sql`INSERT INTO ${counter.table} AS s (${columns})
  SELECT ${join(key)}, label.period, ${param(start, 'int8')} + ${size} - 1${stamps(counter.updatedAt)} FROM ${source}
  ON CONFLICT (${join([...counter.key, counter.period].map(columnOf))}) DO UPDATE SET ${last} = s.${last} + ${more}${touches(counter, 's')}
  WHERE s.${last} <= ${param(highest, 'int8')} - ${more}
  RETURNING s.${period} AS period, s.${last} AS last`
}
