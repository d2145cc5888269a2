import { sqlState } from '../engine/error-facts.js'
import type { TransactionSession } from '../engine/session.js'
import { ConfigurationError } from '../errors/index.js'
import { param, sql } from '../sql/statement.js'
import type { KeyStore, OperationKey } from './key-store.js'

/** For claims where Citus may have distributed the table of keys: loaded with the first of them. */

/**
 * Limits the waits for locks where the key is, too: a statement of the coordinator's limits no wait on a worker. A shard has
 * one connection in a transaction, so that is where the claim waits.
 */
export async function limitLocksOnShard(
  tx: TransactionSession,
  { table, columns: c }: KeyStore,
  { scope, key }: OperationKey,
  limit: string,
): Promise<void> {
  await tx.rows(sql`SELECT set_config('lock_timeout', ${param(limit)}, true)
FROM (SELECT count(*) FROM ${table} AS t WHERE t.${c.scope} = ${param(scope)} AND t.${c.key} = ${param(key)}) AS found`)
}

/** The error of a claim with a pause, which compares with the clock: Citus lets no INSERT do that which may be an UPDATE. */
export function ofPauseOnShard({ model }: KeyStore, { pause }: OperationKey, error: unknown): unknown {
  if (pause === undefined || sqlState(error) !== NOT_SUPPORTED) return error
  const message =
    `the table of ${model} is distributed by Citus, where \`period: { atLeast }\` cannot be kept: its claim compares the last success ` +
    'with the clock in an INSERT that may be an UPDATE, and Citus takes none like that. Leave the table off the shards ' +
    '(undistribute_table), or give a period of another kind, such as { every }.'
  return new ConfigurationError([{ path: 'period.atLeast', message }], { cause: error })
}

const NOT_SUPPORTED = '0A000'
