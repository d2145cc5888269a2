import type { Pool } from 'pg'
import { connect } from './pg/connect.js'
import type { PgClient } from './pg/methods.js'
import { readModels } from './pg/models.js'
import type { PgOptions } from './pg/options.js'

export * from './errors/index.js'
export type { ContentionOptions, ContentionSnapshot, HotSpot, OperationContention } from './events/contention.js'
export type { EventClientMethods, ReadContention } from './events/extension.js'
export type { Quantiles } from './events/sketches.js'
export type * from './events/types.js'

/**
 * Retried transactions, once-only operations and advisory locks on a pool of node-postgres, for a program without
 * Prisma. With `stock()`, `serials()` and `series()` on top, it works on the same tables, locks and keys as
 * programs on Prisma do.
 *
 * The models are the tables of the search path, read once, here: apply your migrations before.
 *
 * @throws ConfigurationError if the options do not fit the tables of the database
 *
 * @example
 * const db = await concurrency(new Pool({ connectionString }))
 * await db.$transactionWithRetry(async (tx) => {
 *   await tx.query('UPDATE accounts SET balance = balance - $1 WHERE id = $2', [amount, from])
 *   await tx.query('UPDATE accounts SET balance = balance + $1 WHERE id = $2', [amount, to])
 * }, { isolationLevel: 'Serializable' })
 */
export function concurrency(pool: Pool, options: PgOptions = {}): Promise<PgClient> {
  return connect(pool, options, readModels)
}
export type { CheckConcurrencyOptions, DatabaseCapabilities, TriedCapabilities } from './doctor/types.js'
export { idempotencyKeySql } from './idempotency/schema.js'
export type { InboxOptions } from './inbox/options.js'
export { inboxSql } from './inbox/schema.js'
export type { InboxBatchResult, InboxMessage, InboxResult, PruneInboxOptions } from './inbox/types.js'
export type { JobRunMapping, JobsOptions } from './jobs/options.js'
export { jobSql } from './jobs/schema.js'
export type {
  AtLeastOptions,
  CronOptions,
  EveryOptions,
  JobCallOptions,
  JobClientMethods,
  JobHistoryOptions,
  JobOptions,
  JobResult,
  JobRun,
  JobState,
  PruneJobHistoryOptions,
  RunningJob,
} from './jobs/types.js'
export type { LeasesOptions } from './leases/options.js'
export { leaseSql } from './leases/schema.js'
export { type LeaseFenceOptions, leaseFenceTriggerSql } from './leases/trigger.js'
export type {
  AssertLease,
  AssertLeaseOptions,
  Lease,
  LeaseClientMethods,
  LeaseFence,
  LeaseOptions,
  WithLease,
} from './leases/types.js'
export type { ScopeBinding, Scoped } from './mapping/scoped.js'
export type { OutboxOptions } from './outbox/options.js'
export { outboxSql } from './outbox/schema.js'
export type { Handler, JsonValue, Outbox, OutboxMessage, TopicsOf } from './outbox/types.js'
export type { PgExtension } from './pg/extension.js'
export {
  leases,
  type PgItem,
  type PgScoped,
  type PgScopeOption,
  type PgSerials,
  serials,
  series,
  stock,
} from './pg/features.js'
export { inbox, type PgInbox } from './pg/inbox.js'
export { jobs } from './pg/jobs.js'
export type { PgClient, PgClientMethods, PgLockClient, PgRootMethods, PgTransactionClient } from './pg/methods.js'
export type { ModelMapping } from './pg/models.js'
export { Numeric } from './pg/numeric.js'
export type { PgOptions } from './pg/options.js'
export { outbox } from './pg/outbox.js'
export { replicas } from './pg/replicas.js'
export { type PgSteps, steps } from './pg/steps.js'
export type { ReplicasOptions } from './replicas/options.js'
export type { After, AfterOptions, ReplicaMethods } from './replicas/types.js'
export type { SerialsOptions } from './serials/options.js'
export { type SerialsSchemaOptions, serialsSql } from './serials/schema.js'
export type { ScopedSerials, Serials, SerialsHistory } from './serials/types.js'
export type { RowDocumentsOf } from './series/documents-of.js'
export type { SeriesOptions } from './series/options.js'
export { seriesSql } from './series/schema.js'
export type { CreatedDocument, NumberSeries, ScopedSeries } from './series/types.js'
export type { StepsOptions } from './steps/options.js'
export { stepsSql } from './steps/schema.js'
export type {
  ExternalStep,
  Operation,
  PruneStepsOptions,
  Step,
  StepsCallOptions,
  StepsResult,
} from './steps/types.js'
export type { StockOptions } from './stock/options.js'
export { stockSql } from './stock/schema.js'
export type { LedgerName, Stock, WriteOptions } from './stock/types.js'
export type { FenceOption, WriteFence } from './transactions/fence.js'
