import type { Pool } from 'pg'
import type { DataModel } from '../engine/data-model.js'
import type { RootSession } from '../engine/session.js'
import { eventsOf } from '../events/events.js'
import { OperationMethods } from '../idempotency/operation-methods.js'
import { LockMethods } from '../locking/methods.js'
import { DEFAULT_POLICY, resolvePolicy } from '../retry/policy.js'
import { RetryingTransactions } from '../transactions/with-retry.js'
import { clientOf, type PgClient } from './client.js'
import { checkPgOptions, type PgOptions } from './options.js'
import { PgRoot } from './session.js'

/** Half of a pool of ten, which is what node-postgres has unless told otherwise. */
const DEFAULT_MAX_WAITING = 5

/**
 * The client of a pool, for the models that `modelsFor` gives: those of the database, or those of a Prisma schema.
 *
 * @throws ConfigurationError if the options do not fit the models
 */
export async function connect(
  pool: Pool,
  options: PgOptions,
  modelsFor: (reader: RootSession, options: PgOptions) => Promise<DataModel>,
): Promise<PgClient> {
  const given = checkPgOptions(options)
  const policy = resolvePolicy(DEFAULT_POLICY, given.retry)
  const transactions = new RetryingTransactions()
  const events = eventsOf(given)
  const locks = new LockMethods(transactions, policy, given.lock?.maxWaiting ?? DEFAULT_MAX_WAITING, events)
  const reader = new PgRoot({ pool, policy, transactions, events }, { root: () => pool, transaction: () => pool })
  const dataModel = await modelsFor(reader, given)
  const settings = given.idempotency ?? {}
  const operations = new OperationMethods({ dataModel, policy, transactions, settings, events })
  return clientOf({ pool, dataModel, options: given, policy, transactions, locks, operations, events }, [])
}
