import type { Field } from '../engine/data-model.js'
import type { Table } from '../sql/catalogue.js'
import type { ColumnValue } from '../sql/column-value.js'
import { GivenColumns } from '../sql/given-columns.js'
import { returning } from '../sql/raw-record.js'
import { keyJson } from '../sql/row-key.js'
import { columnOf, quoted, tableOf } from '../sql/sql.js'
import { join, type Piece, param, raw, type Statement, sql } from '../sql/statement.js'
import type { Operation } from './direct-data.js'
import type { DirectRow, DirectUpdate } from './direct-rows.js'

/** One row by its key. With a lock it waits for the writer that has it now, and reads what that one leaves. */
export function readRow({ versioned: { model }, key, scalars, isLocking = false }: DirectRow): Statement {
  return sql`SELECT ${returning(scalars, quoted(model.table))} FROM ${tableOf(model)} WHERE ${isKey(key)}${isLocking && raw(' FOR NO KEY UPDATE')}`
}

/** Rows by their keys, with the numbers of their calls. */
export function readRows(rows: readonly DirectRow[], { versioned, key, scalars }: DirectRow, table: Table): Statement {
  const fields = key.parts.map(({ field }) => field)
  const given = GivenColumns.of(fields, table)
  return sql`SELECT v."#", ${returning(scalars, 't')}
FROM ${given.numbered(param(JSON.stringify(rows.map(({ key }) => keyJson(key)))), 'v', '"#"')}
JOIN ${tableOf(versioned.model)} AS t ON ${isRow(fields, 'v')}`
}

/** As Prisma's own: it waits for a writer in flight, and then looks again. The types of the values are those of their columns. */
export function updateRow({ versioned: { model, version }, key, expected, data, selected }: DirectUpdate): Statement {
  const row = quoted(model.table)
  const assignments = Array.from(data, ([field, { operation, stored }]) =>
    assignment(field, row, operation, param(stored)),
  )
  const bump = raw(`${columnOf(version)} = ${row}.${columnOf(version)} + 1`)
  return sql`UPDATE ${tableOf(model)} SET ${join([...assignments, bump])} WHERE ${isKey(key)} AND ${columnOf(version)} = ${param(String(expected))} RETURNING ${returning(selected, row)}`
}

/**
 * Each row is written if it still has its expected version, and if nobody else has it: a row that
 * is locked is skipped, so that no caller waits for the row of another, and batches that meet do
 * not deadlock. `free` returns a row as it is when it is locked, so what it has let through cannot
 * be stale in the UPDATE (PostgreSQL manual, SELECT, "The Locking Clause").
 */
export function updateRows(
  updates: readonly DirectUpdate[],
  { versioned, key, data, selected }: DirectUpdate,
  table: Table,
): Statement {
  const fields = [...key.parts.map(({ field }) => field), versioned.version]
  const given = GivenColumns.of([...new Set([...fields, ...data.keys()])], table)
  const name = tableOf(versioned.model)
  const version = columnOf(versioned.version)
  const assignments = Array.from(data, ([field, { operation }]) =>
    assignment(field, 't', operation, raw(`free.${columnOf(field)}`)),
  )
  return sql`WITH free AS MATERIALIZED (
  SELECT v.*
  FROM ${given.numbered(param(JSON.stringify(updates.map(toJson))), 'v', '"#"')}
  JOIN ${name} AS t ON ${isRow(fields, 'v')}
  FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE ${name} AS t
SET ${join([...assignments, raw(`${version} = t.${version} + 1`)])}
FROM free
WHERE ${isRow(fields, 'free')}
RETURNING free."#", ${returning(selected, 't')}`
}

function isKey({ parts }: DirectRow['key']): Statement {
  return join(
    parts.map(({ field, value }) => sql`${columnOf(field)} = ${param(value)}`),
    ' AND ',
  )
}

function isRow(fields: readonly Field[], other: string) {
  return join(
    fields.map(columnOf).map((column) => raw(`t.${column} = ${other}.${column}`)),
    ' AND ',
  )
}

function assignment(field: Field, row: string, operation: Operation, value: Piece): Statement {
  const column = columnOf(field)
  if (operation === 'set') return sql`${column} = ${value}`
  return sql`${column} = ${raw(`${row}.${column}`)} ${raw(operation === 'increment' ? '+' : '-')} ${value}`
}

function toJson({ versioned, key, expected, data }: DirectUpdate): Record<string, ColumnValue> {
  const json: Record<string, ColumnValue> = { ...keyJson(key), [versioned.version.column]: String(expected) }
  for (const [field, { stored }] of data) json[field.column] = stored
  return json
}
