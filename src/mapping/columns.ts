import type { Field } from '../engine/data-model.js'
import { columnOf, momentOf } from '../sql/sql.js'

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
export function keysEqual(fields: readonly Field[], left: string, right: string): string {
  return fields.map((field, i) => `${left}.${columnOf(field)} = ${right}.k${i}`).join(' AND ')
}

/** `t."a", t."b"` */
export function columnsOf(fields: readonly Field[], alias: string): string {
  return fields.map((field) => `${alias}.${columnOf(field)}`).join(', ')
}

/** `k0, k1` */
export function keyNames(fields: readonly Field[], alias = ''): string {
  return fields.map((_, i) => `${alias}k${i}`).join(', ')
}

/** `, "updatedAt"`: the columns that an INSERT sets to now, behind others. */
export function stampColumns(fields: readonly Field[]): string {
  return fields.map((field) => `, ${columnOf(field)}`).join('')
}

/** Their values. */
export function stamps(fields: readonly Field[]): string {
  return fields.map((field) => `, ${momentOf(field)}`).join('')
}

/** What notes that a row was changed. */
export interface Marks {
  readonly version: Field | undefined
  readonly updatedAt: readonly Field[]
}

/** Whatever an UPDATE of `alias` sets, these follow: its version goes up, and `@updatedAt` is now. */
export function touches({ version, updatedAt }: Marks, alias: string): string {
  const bump = version ? `, ${columnOf(version)} = ${alias}.${columnOf(version)} + 1` : ''
  return bump + updatedAt.map((field) => `, ${columnOf(field)} = ${momentOf(field)}`).join('')
}
