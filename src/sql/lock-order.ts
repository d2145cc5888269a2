import type { Model } from '../engine/data-model.js'
import { ConfigurationError } from '../errors/index.js'
import type { Table, UniqueKey } from './catalogue.js'
import { tableOf } from './sql.js'

/**
 * The columns of the key in whose order the rows of a table are locked: the primary key, or the
 * shortest unique key without NULL. Every call must come to the same one, whatever order the
 * catalogue has them in; two orders would be a deadlock.
 *
 * @throws ConfigurationError if the table has no such key
 */
export function lockOrder(model: Model, { uniqueKeys, columns }: Table): readonly string[] {
  const keys = uniqueKeys.filter((key) => key.columns.every((column) => columns.get(column)?.isRequired))
  const [first] = keys.sort((a, b) => rank(a) - rank(b) || compare(nameOf(a), nameOf(b)))
  if (first) return first.columns
  const message = `the table ${tableOf(model)} of the model ${model.name} has no primary key, and no unique index of columns that are NOT NULL; several rows are locked in the order of such a key`
  throw new ConfigurationError([{ path: '', message }])
}

function rank({ isPrimary, columns }: UniqueKey): number {
  return isPrimary ? 0 : columns.length
}

function nameOf({ columns }: UniqueKey): string {
  return JSON.stringify(columns)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
