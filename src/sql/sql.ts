import type { Field, Model } from '../engine/data-model.js'
import { raw, type SqlText, type Statement, sql } from './statement.js'

/** A quoted identifier: `stock"x` becomes `"stock""x"`. */
export function quoted(name: string): SqlText {
  if (name.includes('\0')) throw new TypeError('An SQL identifier cannot contain a NUL character.')
  return raw(`"${name.replaceAll('"', '""')}"`)
}

/** A model's table, with its schema: `"public"."Product"`. */
export function tableOf(model: Pick<Model, 'schema' | 'table'>): SqlText {
  return raw(`${quoted(model.schema)}.${quoted(model.table)}`)
}

/** A quoted string literal, for SQL that takes no parameters, such as the text of a migration. */
export function literal(text: string): SqlText {
  const escaped = text.replaceAll("'", "''")
  return raw(text.includes('\\') ? `E'${escaped.replaceAll('\\', '\\\\')}'` : `'${escaped}'`)
}

/** A field's column, quoted. */
export function columnOf(field: Pick<Field, 'column'>): SqlText {
  return quoted(field.column)
}

/** A moment as the field's column has it: without a time zone it is that of UTC, as everywhere in Prisma. */
export function momentOf(field: Pick<Field, 'nativeType'>, moment?: string): SqlText
export function momentOf(field: Pick<Field, 'nativeType'>, moment: SqlText | Statement): SqlText | Statement
export function momentOf(field: Pick<Field, 'nativeType'>, moment: string | Statement = 'now()'): SqlText | Statement {
  const piece = typeof moment === 'string' ? raw(moment) : moment
  if (hasTimeZone(field)) return piece
  return typeof piece === 'string' ? raw(`((${piece}) AT TIME ZONE 'UTC')`) : sql`((${piece}) AT TIME ZONE 'UTC')`
}

/** The same of a moment with parameters. */
export function momentIn(field: Pick<Field, 'nativeType'>, moment: Statement): Statement {
  return hasTimeZone(field) ? moment : sql`((${moment}) AT TIME ZONE 'UTC')`
}

/**
 * The moment in a field's column, in ms from 1970. A driver may drop the time zone of a moment that it
 * reads; a number has none. The cast says how the column is meant, should it be of the other type.
 */
export function epochOf(field: Pick<Field, 'column' | 'nativeType'>, alias = ''): SqlText {
  const type = hasTimeZone(field) ? 'timestamptz' : 'timestamp'
  return raw(`(extract(epoch FROM ${alias}${columnOf(field)}::${type}) * 1000)::float8`)
}

function hasTimeZone({ nativeType }: Pick<Field, 'nativeType'>): boolean {
  return nativeType?.startsWith('Timestamptz') ?? false
}
