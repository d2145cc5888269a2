import type { Field, Model } from '../engine/data-model.js'
import type { Row } from '../engine/session.js'
import { ConfigurationError } from '../errors/index.js'
import type { Table } from '../sql/catalogue.js'
import { columnValue } from '../sql/column-value.js'
import { GivenColumns, givenType } from '../sql/given-columns.js'
import { columnOf, tableOf } from '../sql/sql.js'
import { join, type Piece, param, raw, type Statement, sql } from '../sql/statement.js'

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
export function lockStatement(lock: RowLock, keys: readonly Row[], wanted: number): Statement {
  const { model, fields, table, mode, wait } = lock
  const given = new GivenColumns(fields.map((field, i) => [`k${i}`, givenType(field, table)]))
  const json = JSON.stringify(keys.map((key) => valuesOf(fields, key)))
  const isRow = fields.map((field, i) => raw(`t.${columnOf(field)} = k.k${i}`))
  const inOrder = fields.map((field) => raw(`t.${columnOf(field)}`))
  return sql`SELECT k.number::int
FROM ${given.numbered(param(json), 'k', 'number')}, ${tableOf(model)} AS t
WHERE ${join(isRow, ' AND ')}${isOnShard(lock, keys)}
ORDER BY ${
    wait === 'block'
      ? join(inOrder)
      : sql`k.number
LIMIT ${param(wanted, 'int')}`
  }
FOR ${raw(MODES[mode])} OF t${raw(WAITS[wait])}`
}

/**
 * Citus locks rows of one shard alone in a statement, and learns of it by a constant.
 *
 * @throws ConfigurationError if the rows are not of one value of the column by which the table is distributed
 */
function isOnShard({ model, fields, table }: RowLock, keys: readonly Row[]): Piece {
  const field = fields.find(({ column }) => column === table.shardedBy)
  if (field === undefined) return undefined
  const [value, ...others] = new Set(keys.map((key) => columnValue(key[field.name], field)))
  if (others.length === 0) return sql` AND t.${columnOf(field)} = ${param(value, givenType(field, table))}`
  const message = `the rows of ${model.name} are of several values of ${field.name}, and Citus can lock those of one alone in a statement: name one in \`where\`, and lock those of others by calls of their own`
  throw new ConfigurationError([{ path: '', message }])
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
