import type { Field } from '../engine/data-model.js'
import { InvalidArgumentError } from '../errors/index.js'
import { isRecordNotFound } from '../prisma/errors.js'
import type { Session } from '../prisma/session.js'
import type { Catalogue } from '../sql/catalogue.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'
import { GivenColumns } from '../sql/given-columns.js'
import { columnOf, tableOf } from '../sql/sql.js'
import { isRecord } from '../values/validation.js'
import type { Where } from './arguments.js'
import type { VersionedModel } from './versioned-models.js'

/**
 * Locks the row until the transaction ends, waiting for whoever has it now. A lock for an update
 * is FOR NO KEY UPDATE, which lets foreign keys to the row be checked meanwhile; a delete needs
 * FOR UPDATE (PostgreSQL manual, "13.3.2. Row-Level Locks").
 */
export async function lockRow(
  scope: Session,
  { versioned, row, catalogue }: { versioned: VersionedModel; row: Where; catalogue: Catalogue },
  strength: 'NO KEY UPDATE' | 'UPDATE',
): Promise<void> {
  const { model } = versioned
  const key = await storedKey(scope, versioned, row)
  if (key === undefined) return
  requireKey(key, versioned, 'where')
  const columns = GivenColumns.of(key.fields, await catalogue.of(model, scope.query))
  const conditions = key.fields.map((field) => `t.${columnOf(field)} = k.${columnOf(field)}`)
  await scope.query(
    `SELECT 1
FROM ${tableOf(model)} AS t, ${columns.record('$1', 'k')}
WHERE ${conditions.join(' AND ')}
FOR ${strength} OF t`,
    JSON.stringify(Object.fromEntries(key.fields.map(({ column }, i) => [column, key.values[i]]))),
  )
}

/**
 * The key in `where`. A spelling of a value that only Prisma can read, such as the text of a BigInt
 * in an unusual form, Prisma is asked for. `undefined` if there is no such row.
 */
async function storedKey(scope: Session, versioned: VersionedModel, where: Where): Promise<RowKey | undefined> {
  const key = keyOf(where, versioned)
  if (key.unclear.length === 0) return key
  const select = Object.fromEntries(key.unclear.map(({ field }) => [field.name, true]))
  try {
    const found = keyOf(await scope.read({ where, select }), versioned)
    return { ...key, fields: [...key.fields, ...found.fields], values: [...key.values, ...found.values] }
  } catch (error) {
    if (isRecordNotFound(error)) return undefined // the write itself will tell
    throw error
  }
}

/** The columns by which a unique `where` names its row, and their values. */
export interface RowKey {
  readonly fields: readonly Field[]
  readonly values: readonly ColumnValue[]
  /** Where in `where` there are filters that are no part of it, such as `NOT` or `stock`. */
  readonly filters: readonly string[]
  /** Values that a statement of ours cannot be sure of. */
  readonly unclear: readonly { readonly field: Field; readonly path: string }[]
}

export function keyOf(where: Where, { model }: VersionedModel): RowKey {
  const parts: { field: Field; stored: ColumnValue }[] = []
  const filters: string[] = []
  const unclear: { field: Field; path: string }[] = []
  const add = (name: string, value: unknown, path: string) => {
    if (value === undefined) return // to Prisma too it is as good as not there
    const field = model.fields.get(name)
    if (field === undefined || !isPlainValue(value)) {
      filters.push(path)
      return
    }
    const stored = columnValue(value, field)
    if (stored === undefined) {
      unclear.push({ field, path })
      return
    }
    parts.push({ field, stored })
  }
  for (const [name, value] of Object.entries(where)) {
    const parts = model.compoundKeys.get(name)
    if (parts === undefined || !isRecord(value)) add(name, value, name)
    else {
      for (const [part, item] of Object.entries(value)) {
        if (parts.includes(part)) add(part, item, `${name}.${part}`)
        else filters.push(`${name}.${part}`)
      }
    }
  }
  // The same key in the same order, however it was written down.
  parts.sort((a, b) => (a.field.name < b.field.name ? -1 : 1))
  return { fields: parts.map(({ field }) => field), values: parts.map(({ stored }) => stored), filters, unclear }
}

export function requireKey({ fields }: RowKey, { model }: VersionedModel, path: string): void {
  if (fields.length > 0) return
  throw new InvalidArgumentError(path, `of ${model.name} must name one record by a unique key.`)
}

/** Whether it is a value that a unique key can have, rather than a filter such as `{ gt: 3 }`. */
function isPlainValue(value: unknown): boolean {
  if (value === null) return false
  return typeof value !== 'object' || value instanceof Date || ArrayBuffer.isView(value) || 'toFixed' in value
}
