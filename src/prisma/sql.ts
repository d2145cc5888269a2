import type { Field, Model } from './data-model.js'

/** A quoted identifier: `stock"x` becomes `"stock""x"`. */
export function quoted(name: string): string {
  if (name.includes('\0')) throw new TypeError('An SQL identifier cannot contain a NUL character.')
  return `"${name.replaceAll('"', '""')}"`
}

/** A model's table, with its schema: `"public"."Product"`. */
export function tableOf(model: Pick<Model, 'schema' | 'table'>): string {
  return `${quoted(model.schema)}.${quoted(model.table)}`
}

/** A quoted string literal, for SQL that takes no parameters, such as the text of a migration. */
export function literal(text: string): string {
  const escaped = text.replaceAll("'", "''")
  return text.includes('\\') ? `E'${escaped.replaceAll('\\', '\\\\')}'` : `'${escaped}'`
}

/** A field's column, quoted. */
export function columnOf(field: Pick<Field, 'column'>): string {
  return quoted(field.column)
}
