import { type Field, type Model, uniqueKeyOf } from '../engine/data-model.js'
import { isRecord } from '../values/validation.js'
import { type ColumnValue, columnValue } from './column-value.js'
import type { NeededKey } from './unique-keys.js'

/** A unique `where`, read: the row that it names. */
export interface RowKey {
  /** The unique keys that are in it; each of them is enough to name the row. */
  readonly keys: readonly NeededKey[]
  /** Columns and their values, in the order of the fields' names: one key has one form, however it is written. */
  readonly parts: readonly { readonly field: Field; readonly value: ColumnValue }[]
  /** Where there are filters that are no part of a key, such as `NOT` or `stock`. */
  readonly filters: readonly string[]
  /** Where there are values that only Prisma can read, such as an unusual text of a BigInt. */
  readonly unclear: readonly { readonly field: Field; readonly path: string }[]
}

/** Reads a unique `where`. A field that is `undefined` is not there, as for Prisma. */
export function rowKeyOf(where: Readonly<Record<string, unknown>>, model: Model): RowKey {
  const keys: NeededKey[] = []
  const parts: { field: Field; value: ColumnValue }[] = []
  const filters: string[] = []
  const unclear: { field: Field; path: string }[] = []
  const add = (name: string, given: unknown, path: string) => {
    if (given === undefined) return
    const field = model.fields.get(name)
    const value = field && columnValue(given, field)
    if (field === undefined || !isKeyValue(given)) filters.push(path)
    else if (value === undefined) unclear.push({ field, path })
    else parts.push({ field, value })
  }
  for (const [name, given] of Object.entries(where)) {
    if (given === undefined) continue
    const key = uniqueKeyOf(model, name)
    if (key) keys.push({ model, fields: key.flatMap((part) => model.fields.get(part) ?? []) })
    if (key === undefined || model.fields.has(name) || !isRecord(given)) add(name, given, name)
    else {
      for (const [part, item] of Object.entries(given)) {
        if (key.includes(part)) add(part, item, `${name}.${part}`)
        else filters.push(`${name}.${part}`)
      }
    }
  }
  parts.sort((a, b) => (a.field.name < b.field.name ? -1 : 1))
  return { keys, parts, filters, unclear }
}

/** The columns and their values, as a statement takes them in JSON. */
export function keyJson({ parts }: Pick<RowKey, 'parts'>): Record<string, ColumnValue> {
  return Object.fromEntries(parts.map(({ field, value }) => [field.column, value]))
}

/**
 * Whether a statement of our own finds the row exactly as Prisma would: by one key, of plain types,
 * with nothing beside it that the write itself may change.
 */
export function isDirect({ keys, parts, filters, unclear }: RowKey): boolean {
  const [key, ...others] = keys
  if (key === undefined || others.length + filters.length + unclear.length > 0) return false
  return parts.length === key.fields.length && parts.every(({ field }) => isDirectKeyType(field))
}

function isDirectKeyType({ kind, type, nativeType }: Field): boolean {
  if (kind !== 'scalar') return false
  if (type === 'String') return nativeType === undefined || nativeType === 'Text' || nativeType === 'Uuid'
  return type === 'Int' || type === 'BigInt'
}

/** Whether it is a value that a unique key can have, rather than a filter such as `{ gt: 3 }`. */
function isKeyValue(value: unknown): boolean {
  if (value === null) return false
  return typeof value !== 'object' || value instanceof Date || ArrayBuffer.isView(value) || 'toFixed' in value
}
