import { Prisma } from '@prisma/client/extension'
import { type CheckClientMethods, checkClientMethods } from './doctor/extension.js'
import type { ContentionOptions } from './events/contention.js'
import { contentionOf, eventsOf } from './events/events.js'
import type { EventClientMethods } from './events/extension.js'
import {
  type IdempotentClientMethods,
  type IdempotentModelMethods,
  idempotentClientMethods,
  idempotentModelMethods,
} from './idempotency/extension.js'
import { InsertMethods } from './idempotency/insert-methods.js'
import { DEFAULT_KEY_MODEL } from './idempotency/key-store.js'
import { OperationMethods } from './idempotency/operation-methods.js'
import { type LockClientMethods, lockClientMethods, rowLockModelMethods } from './locking/extension.js'
import { LockMethods } from './locking/methods.js'
import type { RowLockModelMethods } from './locking/types.js'
import { type ConcurrencyOptions, checkOptions } from './options.js'
import { batchHook } from './prisma/batch-answers.js'
import type { PrismaClientLike } from './prisma/client.js'
import { readDataModel } from './prisma/data-model.js'
import type { Extension, Members } from './prisma/extension.js'
import { recordsOf } from './prisma/records.js'
import { setupMethod } from './prisma/setup.js'
import { inTouch, watchedClient } from './prisma/whole-client.js'
import { DEFAULT_POLICY, resolvePolicy } from './retry/policy.js'
import { Catalogue } from './sql/catalogue.js'
import {
  afterCommitMethod,
  fencedCalls,
  type TransactionClientMethods,
  transactionClientMethods,
  watchedTransaction,
} from './transactions/extension.js'
import { transactionMethod } from './transactions/method.js'
import { RetryingTransactions } from './transactions/with-retry.js'
import type { MovesFit, TransitionModelMethods } from './transitions/client-types.js'
import { transitionModelMethods } from './transitions/extension.js'
import { movesOf } from './transitions/options.js'
import { bumpHooks } from './versioning/bump.js'
import { type VersionedModelMethods, versionedModelMethods } from './versioning/extension.js'
import type { VersioningOf } from './versioning/types.js'
import { VersionedModels } from './versioning/versioned-models.js'
import { Versioning } from './versioning/versioning.js'

export type { CheckClientMethods, CheckConcurrency } from './doctor/extension.js'
export type { CheckConcurrencyOptions, DatabaseCapabilities, TriedCapabilities } from './doctor/types.js'
export * from './errors/index.js'
export type { ContentionOptions, ContentionSnapshot, HotSpot, OperationContention } from './events/contention.js'
export type { EventClientMethods, ReadContention } from './events/extension.js'
export type { Quantiles } from './events/sketches.js'
export type * from './events/types.js'
export type { CreateData, CreateIdempotentArgs } from './idempotency/client-types.js'
export type {
  CreateIdempotent,
  Idempotent,
  IdempotentClientMethods,
  IdempotentModelMethods,
  OncePer,
  PruneIdempotencyKeys,
} from './idempotency/extension.js'
export type { IdempotencyOptions } from './idempotency/options.js'
export type { AtLeastPeriod, GridPeriod, Period } from './idempotency/period.js'
export { idempotencyKeySchema, idempotencyKeySql } from './idempotency/schema.js'
export type {
  IdempotentOptions,
  OncePerOptions,
  OncePerResult,
  PruneOptions,
} from './idempotency/types.js'
export type {
  AdvisoryXactLock,
  LockClient,
  LockClientMethods,
  TryAdvisoryXactLock,
  WithAdvisoryLock,
} from './locking/extension.js'
export type { LockKey, LockKeyPart, LockKeys } from './locking/key.js'
export type {
  AdvisoryXactLockOptions,
  LockToken,
  TryAdvisoryXactLockOptions,
  WithAdvisoryLockOptions,
} from './locking/methods.js'
export type {
  FindManyForUpdate,
  FindManyForUpdateArgs,
  FindUniqueForUpdate,
  FindUniqueForUpdateArgs,
  RowLockModelMethods,
  RowLockOptions,
} from './locking/types.js'
export type { ConcurrencyOptions } from './options.js'
export type { Extension, Members } from './prisma/extension.js'
export type {
  Exactly,
  GivenArgs,
  RecordOf,
  Scalars,
  SelectionArgs,
  TransactionClient,
  UniqueWhere,
} from './prisma/types.js'
export type { CallOptions } from './retry/call-options.js'
export type { RetryPolicy } from './retry/policy.js'
export type { AfterCommit, TransactionClientMethods, TransactionWithRetry } from './transactions/extension.js'
export type { FenceOption, WriteFence } from './transactions/fence.js'
export type { TransactionWithRetryOptions } from './transactions/method.js'
export type { TransactionContext } from './transactions/with-retry.js'
export type {
  HistoryData,
  MoveMessage,
  MovesFit,
  ReachableState,
  StateField,
  StateOf,
  Transition,
  TransitionArgs,
  TransitionModelMethods,
  TransitionResult,
} from './transitions/client-types.js'
export type { TransitionOptions, TransitionSettings } from './transitions/options.js'
export {
  type DeleteVersioned,
  type TryUpdateVersioned,
  type UpdateManyVersioned,
  type UpdateVersioned,
  type VersionedModelMethods,
  versionTriggerSql,
} from './versioning/extension.js'
export type { VersionOptions, VersionSettings } from './versioning/options.js'
export type {
  Change,
  Data,
  DeleteVersionedArgs,
  Returned,
  ScalarData,
  TryUpdateResult,
  UpdateManyResult,
  UpdateManyVerdict,
  UpdateManyVersionedItem,
  UpdateVersionedArgs,
  VersionField,
  VersionFor,
  VersioningOf,
  VersionOf,
  WhereVersion,
} from './versioning/types.js'

/** Half of a pool of ten, which is what node-postgres has unless told otherwise. */
const DEFAULT_MAX_WAITING = 5

/** The methods that every model gets. O is the type of the options of `concurrency()`. */
export interface ConcurrencyModelMethods<O>
  extends VersionedModelMethods<O>,
    IdempotentModelMethods,
    RowLockModelMethods,
    TransitionModelMethods<O> {}

/** The methods that the client gets, and the `tx` of a transaction. */
export interface ConcurrencyClientMethods
  extends TransactionClientMethods,
    IdempotentClientMethods,
    LockClientMethods,
    EventClientMethods,
    CheckClientMethods {}

/** The type of `concurrency()`, applied to a client. */
export type ConcurrencyExtension<O> = Extension<
  { $allModels: Members<ConcurrencyModelMethods<O>> },
  Members<ConcurrencyClientMethods>
>

/** The extension for `$extends`. With moves it fits a client that has their models, fields and states. */
export type ConcurrencyOf<O> = O extends { readonly transitions: infer X }
  ? <C>(client: C & MovesFit<C, X>) => ConcurrencyExtension<VersioningOf<O>>
  : (client: object) => ConcurrencyExtension<VersioningOf<O>>

/**
 * The extension: versioned writes, retried transactions, once-only inserts and operations, and
 * advisory locks, for a PrismaClient on PostgreSQL.
 *
 * @param options the version columns, where they are not named `version`, the retry policy, and
 *   where keys and fingerprints are kept
 * @throws ConfigurationError when the client is extended, if the options do not fit its schema
 *
 * @example
 * const db = new PrismaClient({ adapter }).$extends(concurrency())
 * await db.product.updateVersioned({ where: { id }, data: (current) => ({ stock: current.stock - 1 }) })
 */
export function concurrency<const O extends ConcurrencyOptions>(options?: O): ConcurrencyOf<O> {
  const given = checkOptions(options ?? {})
  const extension = Prisma.defineExtension((below) => {
    const { transparent = [] } = given
    const client = watchedClient(below, transparent)
    const own = client as unknown as PrismaClientLike
    const touch = inTouch(own, transparent)
    const dataModel = readDataModel(own)
    const versions = new VersionedModels(dataModel, given.version)
    const records = recordsOf(touch.clients)
    const policy = resolvePolicy(DEFAULT_POLICY, given.retry)
    const transactions = new RetryingTransactions()
    const fencedCall = fencedCalls(transactions, policy)
    const catalogue = new Catalogue()
    const events = eventsOf(given)
    const moves = movesOf(dataModel, given.transitions ?? {})
    const versioning = new Versioning(versions, policy, catalogue, events)
    const locks = new LockMethods(transactions, policy, given.lock?.maxWaiting ?? DEFAULT_MAX_WAITING, events)
    const keepVersion = (model: string) => versions.keepVersion(model)
    const settings = given.idempotency ?? {}
    const inserts = new InsertMethods({ catalogue, dataModel, policy, settings, keepVersion, events })
    const operations = new OperationMethods({ dataModel, policy, transactions, settings, events })

    const extended = client.$extends({
      name: 'prisma-extension-concurrency',
      ...touch.note({ versions, models: [settings.model ?? DEFAULT_KEY_MODEL], events }),
      model: {
        $allModels: {
          ...versionedModelMethods(versioning, records, fencedCall),
          ...idempotentModelMethods(inserts, records, fencedCall),
          ...rowLockModelMethods({ catalogue, dataModel, policy, events }, records),
          ...transitionModelMethods({ moves, versions, keyCheck: versioning.keyCheck, policy, events }, records),
          ...touch.model,
        },
      },
      client: {
        ...transactionClientMethods(transactionMethod(transactions, policy, events)),
        ...afterCommitMethod(),
        ...idempotentClientMethods(operations),
        ...lockClientMethods(locks),
        $contention: (options?: ContentionOptions) => contentionOf(events, options),
        ...touch.client,
        ...checkClientMethods(),
        ...setupMethod(given),
        ...watchedTransaction(own, events),
      },
      query: { $allModels: bumpHooks(versions), ...batchHook },
    })
    touch.made(extended)
    return extended
  })
  return extension as unknown as ConcurrencyOf<O>
}
