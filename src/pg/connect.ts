import type { Pool } from 'pg'
import type { DataModel } from '../engine/data-model.js'
import type { RootSession } from '../engine/session.js'
import { eventsOf } from '../events/events.js'
import { OperationMethods } from '../idempotency/operation-methods.js'
import { LockMethods } from '../locking/methods.js'
import { DEFAULT_POLICY, resolvePolicy } from '../retry/policy.js'
import { RetryingTransactions } from '../transactions/with-retry.js'
import { clientOf } from './client.js'
import type { PgClient } from './methods.js'
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
  const reader = rootOf({ pool, policy, transactions, events })
  const dataModel = await modelsFor(reader, given)
  const settings = given.idempotency ?? {}
  const operations = new OperationMethods({ dataModel, policy, transactions, settings, events })
  return clientOf({ pool, dataModel, options: given, policy, transactions, locks, operations, events }, [])
}

/** A root session of a pool, for statements of our own: its clients are for nobody. */
export function rootOf(core: ConstructorParameters<typeof PgRoot>[0]): RootSession {
  const { pool } = core
  return new PgRoot(core, { root: () => pool, transaction: () => pool })
}

/** The same for a command, which has no client. */
export function sessionOfPool(pool: Pool): RootSession {
  return rootOf({ pool, policy: DEFAULT_POLICY, transactions: new RetryingTransactions(), events: eventsOf({}) })
}
