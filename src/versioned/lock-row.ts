import { InvalidArgumentError } from '../errors.js'
import type { Field } from '../prisma/data-model.js'
import { toJsonValue } from '../prisma/row-json.js'
import type { Scope } from '../prisma/scope.js'
import { columnOf, tableOf } from '../prisma/sql.js'
import { isRecord } from '../validation.js'
import type { Where } from './arguments.js'
import type { VersionedModel } from './versions.js'

/**
 * Locks the row until the transaction ends, waiting for whoever has it now. A lock for an update
 * is FOR NO KEY UPDATE, which lets foreign keys to the row be checked meanwhile; a delete needs
 * FOR UPDATE (PostgreSQL manual, "13.3.2. Row-Level Locks").
 */
export async function lockRow(
  scope: Scope,
  versioned: VersionedModel,
  where: Where,
  strength: 'NO KEY UPDATE' | 'UPDATE',
): Promise<void> {
  const table = tableOf(versioned.model)
  const key = keyOf(where, versioned)
  requireKey(key, versioned, 'where')
  const conditions = key.fields.map((field) => `t.${columnOf(field)} = k.${columnOf(field)}`)
  await scope.query(
    `SELECT 1
FROM ${table} AS t, jsonb_populate_record(NULL::${table}, $1::jsonb) AS k
WHERE ${conditions.join(' AND ')}
FOR ${strength} OF t`,
    JSON.stringify(key.json),
  )
}

/** The columns by which a unique `where` names its row, and their values as JSON. */
export interface RowKey {
  readonly fields: readonly Field[]
  readonly json: Readonly<Record<string, unknown>>
  /** Where in `where` there are filters that are no part of it, such as `NOT` or `stock`. */
  readonly filters: readonly string[]
}

export function keyOf(where: Where, { model }: VersionedModel): RowKey {
  const fields: Field[] = []
  const json: Record<string, unknown> = {}
  const filters: string[] = []
  const add = (name: string, value: unknown, path: string) => {
    if (value === undefined) return // to Prisma too it is as good as not there
    const field = model.fields.get(name)
    if (field === undefined || !isPlainValue(value)) {
      filters.push(path)
      return
    }
    fields.push(field)
    json[field.column] = toJsonValue(value, field)
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
  return { fields, json, filters }
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
