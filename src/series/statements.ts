import { stamps, touches } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import { join, type Parameter, type Piece, param, type SqlText, type Statement, sql } from '../sql/statement.js'
import type { Format, Unit } from './format.js'
import type { Series, SeriesMap } from './mapping.js'

/** Parts that the statements of this feature have in common. */

/** A series, and the moment whose period the number belongs to. Default: the transaction's start. */
export interface Wanted {
  readonly series: Series
  readonly at: Date | undefined
}

const PATTERNS: Readonly<Record<Unit, string>> = { year: 'YYYY', month: 'YYYY-MM', day: 'YYYY-MM-DD' }

/** The period that the moment `local` is in, and what stands around a number in it. */
export function labelParts({ unit, before, after }: Format): Statement {
  const pattern = param(unit === undefined ? '' : PATTERNS[unit], 'text')
  return sql`coalesce(to_char(local, ${pattern}), '') AS period,
    coalesce(to_char(local, ${param(before, 'text')}), '') AS before,
    coalesce(to_char(local, ${param(after, 'text')}), '') AS after`
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
  series: Parameter,
  { size, more, source }: Take,
): Statement {
  const [name, period, last] = [columnOf(counter.name), columnOf(counter.period), columnOf(counter.last)]
  const columns = join([counter.name, counter.period, counter.last, ...counter.updatedAt].map(columnOf))
  return sql`INSERT INTO ${counter.table} AS s (${columns})
  SELECT ${series}, label.period, ${param(start, 'int8')} + ${size} - 1${stamps(counter.updatedAt)} FROM ${source}
  ON CONFLICT (${name}, ${period}) DO UPDATE SET ${last} = s.${last} + ${more}${touches(counter, 's')}
  WHERE s.${last} <= ${param(highest, 'int8')} - ${more}
  RETURNING s.${period} AS period, s.${last} AS last`
}
