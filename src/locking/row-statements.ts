import type { Field, Model } from '../engine/data-model.js'
import type { Row } from '../engine/session.js'
import { ConfigurationError } from '../errors/index.js'
import type { Table } from '../sql/catalogue.js'
import { columnValue } from '../sql/column-value.js'
import { GivenColumns, givenType } from '../sql/given-columns.js'
import { columnOf, tableOf } from '../sql/sql.js'
import { join, param, raw, type Statement, sql } from '../sql/statement.js'

/** How rows of a table are locked. */
export interface RowLock {
  readonly model: Model
  /** Those of the key, in whose order rows are locked. */
  readonly fields: readonly Field[]
  readonly table: Table
  readonly mode: 'noKeyUpdate' | 'update' | 'share'
  readonly wait: 'block' | 'skip' | 'refuse'
}

const MODES = { noKeyUpdate: 'NO KEY UPDATE', update: 'UPDATE', share: 'SHARE' } as const
const WAITS = { block: '', skip: ' SKIP LOCKED', refuse: ' NOWAIT' } as const

/**
 * Locks the rows of these keys, and tells the number of each in the list, from 1 on: all of them in the order of the
 * key, or, where nobody waits, the first ones of the list, no more than are wanted. The rows are sorted before they
 * are locked, and LIMIT ends it (PostgreSQL manual, SELECT, "The Locking Clause").
 */
export function lockStatement(
  { model, fields, table, mode, wait }: RowLock,
  keys: readonly Row[],
  wanted: number,
): Statement {
  const given = new GivenColumns(fields.map((field, i) => [`k${i}`, givenType(field, table)]))
  const json = JSON.stringify(keys.map((key) => valuesOf(fields, key)))
  const isRow = fields.map((field, i) => raw(`t.${columnOf(field)} = k.k${i}`))
  const inOrder = fields.map((field) => raw(`t.${columnOf(field)}`))
  return sql`SELECT k.number::int
FROM ${given.numbered(param(json), 'k', 'number')}, ${tableOf(model)} AS t
WHERE ${join(isRow, ' AND ')}
ORDER BY ${
    wait === 'block'
      ? join(inOrder)
      : sql`k.number
LIMIT ${param(wanted, 'int')}`
  }
FOR ${raw(MODES[mode])} OF t${raw(WAITS[wait])}`
}

/** The text by which a key is told from others. */
export function jsonOfKey(fields: readonly Field[], key: Row): string {
  return JSON.stringify(valuesOf(fields, key))
}

function valuesOf(fields: readonly Field[], key: Row): Row {
  return Object.fromEntries(
    fields.map((field, i) => {
      const value = columnValue(key[field.name], field)
      if (value !== undefined) return [`k${i}`, value]
      const message = `the key ${field.name} is not what the database has: another extension puts something else in its place`
      throw new ConfigurationError([{ path: '', message }])
    }),
  )
}
