import type { Field } from '../engine/data-model.js'
import { columnOf, literal, momentOf } from '../sql/sql.js'
import { join, raw, type SqlText } from '../sql/statement.js'

/** The type under which a field's values are sent as a parameter, or `undefined` where this package knows none. */
export function sqlTypeOf({ type, kind, nativeType }: Field): string | undefined {
  if (kind !== 'scalar') return undefined
  const native = nativeType?.replace(/\(.*/, '')
  switch (type) {
    case 'Int':
      return native === 'Oid' ? undefined : 'int4'
    case 'BigInt':
      return 'int8'
    case 'Decimal':
      return native === 'Money' ? undefined : 'numeric'
    case 'String':
      if (native === 'Uuid') return 'uuid'
      // Others compare in ways of their own: "a" is "A" to citext, and "a " is "a" to char(n).
      return native === undefined || native === 'Text' || native === 'VarChar' ? 'text' : undefined
    default:
      return undefined
  }
}

/** `t."a" = item.k0 AND t."b" = item.k1` */
export function keysEqual(fields: readonly Field[], left: string, right: string): SqlText {
  return join(
    fields.map((field, i) => raw(`${left}.${columnOf(field)} = ${right}.k${i}`)),
    ' AND ',
  )
}

/** `t."a", t."b"` */
export function columnsOf(fields: readonly Field[], alias: string): SqlText {
  return join(fields.map((field) => raw(`${alias}.${columnOf(field)}`)))
}

/** `t."a" AS k0, t."b" AS k1` */
export function columnsAsKeys(fields: readonly Field[], alias: string): SqlText {
  return join(fields.map((field, i) => raw(`${alias}.${columnOf(field)} AS k${i}`)))
}

/** `k0, k1` */
export function keyNames(fields: readonly Field[], alias = ''): SqlText {
  return join(fields.map((_, i) => raw(`${alias}k${i}`)))
}

/** The order of these columns that begins with the last one. Column by column: Citus reads a CTE wrongly that is sorted by a row. */
export function lastFirst(fields: readonly Field[], prefix = ''): SqlText {
  return raw(fields.map((_, i) => `${prefix}k${i} DESC`).join(', '))
}

/** `, "updatedAt"`: the columns that an INSERT sets to now, behind others. */
export function stampColumns(fields: readonly Field[]): SqlText {
  return raw(fields.map((field) => `, ${columnOf(field)}`).join(''))
}

/** Their values. */
export function stamps(fields: readonly Field[]): SqlText {
  return raw(fields.map((field) => `, ${momentOf(field)}`).join(''))
}

/** A name of a state, as SQL writes the value of its field: that of an enum may have another name in the database. */
export function stateIn({ enumValues }: Pick<Field, 'enumValues'>, state: string): SqlText {
  return literal(enumValues?.get(state) ?? state)
}

/** The fields that tell that a row was changed. */
export interface Marks {
  readonly version: Field | undefined
  readonly updatedAt: readonly Field[]
}

/** The last assignments of every UPDATE of `alias`: its version goes up, and `@updatedAt` is now. */
export function touches({ version, updatedAt }: Marks, alias: string): SqlText {
  const bump = version ? `, ${columnOf(version)} = ${alias}.${columnOf(version)} + 1` : ''
  return raw(bump + updatedAt.map((field) => `, ${columnOf(field)} = ${momentOf(field)}`).join(''))
}
