import type { Model } from '../engine/data-model.js'
import { ConfigurationError } from '../errors/index.js'
import type { Catalogue, Table, UnfitIndex } from './catalogue.js'
import { columnOf, quoted, tableOf } from './sql.js'
import { isKey, type NeededKey, type RequiredKeys } from './unique-keys.js'

/** Errors about keys and tables that are not as calls need them: loaded with the first of these. */

const REASONS: Readonly<Record<UnfitIndex['reason'], string>> = {
  partial: 'is partial: it does not hold for all rows',
  deferrable: 'is deferrable: it does not hold before the commit',
  invalid: 'is not valid: it could not be built, and must be dropped first',
  expression: 'is one of expressions, not of the columns themselves',
}

/** For tables that are not in the database. */
export function missingTables(missing: readonly Model[]): ConfigurationError {
  return new ConfigurationError(
    missing.map((model) => ({
      path: '',
      message: `the table ${tableOf(model)} of the model ${model.name} is not in the database. Apply your migrations.`,
    })),
  )
}

/** For a key that is not in the database, or only in a form that does not keep every two rows apart. */
export function missingKeyError(key: NeededKey, table: Table | undefined, options?: ErrorOptions): ConfigurationError {
  const { model, fields } = key
  const { columns, seen, sql } = describeMissingKey(key, table)
  const names = fields.map(({ name }) => name).join(', ')
  const message =
    `the table ${tableOf(model)} has no unique index of (${columns}), on which this call relies for the key (${names}) of ${model.name}: ` +
    `a duplicate would be written a second time. Nothing was written.${seen} Apply your migrations, or create it, and call again: ${sql}`
  return new ConfigurationError([{ path: '', message }], options)
}

/** The columns of the key, sentences about indexes that are there and do not do, and the SQL that creates the right one. */
export function describeMissingKey({ model, fields }: NeededKey, table: Table | undefined) {
  const found = table?.unfitIndexes ?? []
  const columns = fields.map(columnOf).join(', ')
  const unfit = found.filter((index) => isKey(index.columns, fields))
  const seen = unfit.map(({ name, reason }) => ` There is ${quoted(name)}, but it ${REASONS[reason]}.`)
  const shardedBy = table?.shardedBy
  if (shardedBy !== undefined && !fields.some(({ column }) => column === shardedBy)) {
    seen.push(
      ` Citus keeps the table on shards, by ${quoted(shardedBy)}, and can keep no two rows apart by a key without that column: add it to the key, as \`scope\` in ERP features, or leave the table off the shards (undistribute_table).`,
    )
  }
  const name = `${model.table}_${fields.map(({ column }) => column).join('_')}_key`
  const isFree = name.length <= LONGEST_NAME && !found.some((index) => index.name === name)
  const sql = `CREATE UNIQUE INDEX ${isFree ? `${quoted(name)} ` : ''}ON ${tableOf(model)} (${columns});`
  return { columns, seen: seen.join(''), sql }
}

const LONGEST_NAME = 63

/**
 * A statement of the feature locks rows of one table and writes others, which Citus can do on one shard alone: all of them
 * must be distributed by one column that all of their keys have.
 *
 * @throws ConfigurationError if they are not
 */
export function requireOneShard({ feature, all }: RequiredKeys, catalogue: Catalogue): void {
  const [fault] = feature === undefined ? [] : shardFaults(feature, all, (model) => catalogue.known(model))
  if (fault) throw new ConfigurationError([{ path: '', message: `${fault.what}. ${fault.wayOut}` }])
}

/** The tables of a feature that are not on the shards of the others. */
export function shardFaults(
  feature: string,
  keys: readonly NeededKey[],
  tableFor: (model: Model) => Table | undefined,
) {
  if (!keys.some(({ model }) => tableFor(model)?.shardedBy !== undefined)) return []
  const [first] = keys
  const common = first?.fields
    .map(({ column }) => column)
    .filter((column) => keys.every(({ fields }) => fields.some((field) => field.column === column)))
  const column = common?.find((one) => keys.some(({ model }) => tableFor(model)?.shardedBy === one))
  return keys.flatMap(({ model }) => {
    const own = tableFor(model)?.shardedBy
    if (column !== undefined && own === column) return []
    const state =
      own === undefined ? 'is on no shard, and others of' : `is distributed by ${quoted(own)}, and not as all of`
    const distribute = `SELECT create_distributed_table('${tableOf(model)}', '${column ?? common?.[0]}');`
    return [
      {
        model,
        what: `The table ${tableOf(model)} ${state} ${feature} are distributed by Citus: a statement of ${feature} locks and writes rows of several tables, which must be on one shard`,
        wayOut:
          common === undefined || common.length === 0
            ? `Nothing that all keys of ${feature} have in common could distribute them: give ${feature} a \`scope\`, such as the company, or leave its tables off the shards (undistribute_table).`
            : `Distribute all of them by one field of the scope: ${distribute}`,
      },
    ]
  })
}
