import { Prisma } from '@prisma/client/extension'
import type { ITXClientDenyList } from '@prisma/client/runtime/client'
import { IdempotentMethods } from './idempotent/methods.js'
import type { OncePerResult } from './idempotent/once-per.js'
import type {
  CreateIdempotentArgs,
  IdempotentOptions,
  OncePerOptions,
  PruneOptions,
  UniqueWhere,
} from './idempotent/types.js'
import { lazily } from './lazy.js'
import type { LockKeys } from './lock/key.js'
import {
  type AdvisoryXactLockOptions,
  LockMethods,
  type TryAdvisoryXactLockOptions,
  type WithAdvisoryLockOptions,
} from './lock/methods.js'
import { type ConcurrencyOptions, checkOptions } from './options.js'
import type { ActionArgs, ModelContext, PrismaClientLike } from './prisma/client.js'
import { readDataModel } from './prisma/data-model.js'
import type { CallOptions } from './retry/call-options.js'
import { DEFAULT_POLICY, resolvePolicy } from './retry/policy.js'
import { type TransactionWithRetryOptions, transactionMethod } from './transaction/method.js'
import { RetryingTransactions, type TransactionContext } from './transaction/with-retry.js'
import { bumpPlainWrite, KEEP_VERSION, type PlainWrite } from './versioned/bump.js'
import { VersionedMethods } from './versioned/methods.js'
import type {
  DeleteVersionedArgs,
  Exactly,
  RecordOf,
  SelectionArgs,
  TryUpdateResult,
  UpdateManyResult,
  UpdateManyVersionedItem,
  UpdateVersionedArgs,
  Versioned,
} from './versioned/types.js'
import { Versions } from './versioned/versions.js'

export * from './errors.js'
export type { OncePerResult, Period } from './idempotent/once-per.js'
export { idempotencyKeySchema, idempotencyKeySql } from './idempotent/schema.js'
export type { IdempotentOptions, OncePerOptions, PruneOptions } from './idempotent/types.js'
export type { LockKey, LockKeyPart, LockKeys } from './lock/key.js'
export type { AdvisoryXactLockOptions, TryAdvisoryXactLockOptions, WithAdvisoryLockOptions } from './lock/methods.js'
export type { ConcurrencyOptions, IdempotencyOptions, VersionOptions } from './options.js'
export type { CallOptions } from './retry/call-options.js'
export type { RetryPolicy } from './retry/policy.js'
export type { TransactionWithRetryOptions } from './transaction/method.js'
export type { TransactionContext } from './transaction/with-retry.js'
export { versionTriggerSql } from './versioned/trigger.js'
export type { Change, TryUpdateResult, UpdateManyVerdict } from './versioned/types.js'

/** Half of a pool of ten, which is what node-postgres has unless told otherwise. */
const DEFAULT_MAX_WAITING = 5

/** The client that the body of a transaction gets: the same that `$transaction` gives. */
export type TransactionClient<T> = Omit<T, ITXClientDenyList>

/**
 * The extension: versioned writes and retried transactions for a PrismaClient on PostgreSQL.
 *
 * @param options the version columns, where they are not named `version`, and the retry policy
 * @throws ConfigurationError when the client is extended, if the options do not fit its schema
 *
 * @example
 * const db = new PrismaClient({ adapter }).$extends(concurrency())
 * await db.product.updateVersioned({ where: { id }, data: (current) => ({ stock: current.stock - 1 }) })
 */
export function concurrency<const O extends ConcurrencyOptions = Record<never, never>>(options?: O) {
  checkOptions(options ?? {})
  return Prisma.defineExtension((client) => {
    const own = client as unknown as PrismaClientLike
    const dataModel = readDataModel(own)
    const versions = new Versions(dataModel, options?.version)
    const policy = resolvePolicy(DEFAULT_POLICY, options?.retry)
    const transactions = new RetryingTransactions()
    const transactionWithRetry = transactionMethod(transactions, policy)
    const versioned = new VersionedMethods(own, versions, policy)
    const locks = new LockMethods(transactions, policy, options?.lock?.maxWaiting ?? DEFAULT_MAX_WAITING)
    const keepVersion = (model: string) => {
      const found = versions.get(model)
      return found?.bumpsPlainWrites ? { [found.version.name]: KEEP_VERSION } : {}
    }
    const settings = options?.idempotency ?? {}
    const idempotent = new IdempotentMethods({ own, dataModel, policy, transactions, settings, keepVersion })

    const bump = (operation: PlainWrite) => (call: { model: string; args: object; query: (args: never) => unknown }) =>
      call.query(bumpPlainWrite(versions, call.model, operation, call.args as ActionArgs) as never)

    return client.$extends({
      name: 'prisma-extension-concurrency',
      model: {
        $allModels: {
          /**
           * Updates one record if nobody else has written it meanwhile, and adds 1 to its version.
           *
           * With `data` as a function the record is read, given to the function, and written under
           * the version that was read; on a conflict all of it is done again, until it wins. The
           * function may run several times, and must not use the root client. What it returns is
           * written; `undefined` writes nothing.
           *
           * With `data` as an object, `where` holds the version that the caller has read, and the
           * write is tried once.
           *
           * @throws VersionConflictError if the record has another version than expected
           * @throws P2025 of Prisma's if there is no such record
           * @throws OutcomeUnknownError if the connection was lost and the record has moved on
           *
           * @example
           * await db.product.updateVersioned({ where: { id }, data: (current) => ({ stock: current.stock - 1 }) })
           * @example
           * await db.product.updateVersioned({ where: { id, version: 7 }, data: { name: 'Chai' } })
           */
          updateVersioned<T, const S extends SelectionArgs<T>>(
            this: T & Versioned<T, O>,
            args: UpdateVersionedArgs<T, O> & Exactly<T, S>,
          ): Promise<RecordOf<T, S>> {
            const context = Prisma.getExtensionContext(this) as unknown as ModelContext
            return lazily('updateVersioned', () => versioned.update(context, args) as Promise<RecordOf<T, S>>)
          },

          /**
           * Like `updateVersioned`, with a stale or missing record as a value instead of an error.
           *
           * @returns `{ status: 'updated', record }`, `{ status: 'stale', expected, actual, current }`
           *   with the record as it is now, `{ status: 'missing' }`, or `{ status: 'unchanged', record }`
           *   if the function returned `undefined`
           *
           * @example
           * const result = await db.product.tryUpdateVersioned({ where: { id, version: 7 }, data: { name: 'Chai' } })
           * if (result.status === 'stale') return reply.code(412).send(result.current)
           */
          tryUpdateVersioned<T, const S extends SelectionArgs<T>>(
            this: T & Versioned<T, O>,
            args: UpdateVersionedArgs<T, O> & Exactly<T, S>,
          ): Promise<TryUpdateResult<T, S, O>> {
            const context = Prisma.getExtensionContext(this) as unknown as ModelContext
            return lazily(
              'tryUpdateVersioned',
              () => versioned.tryUpdate(context, args) as unknown as Promise<TryUpdateResult<T, S, O>>,
            )
          },

          /**
           * Deletes one record if it still has the version that the caller has read.
           *
           * @throws VersionConflictError if it has another version
           * @throws P2025 of Prisma's if there is no such record
           * @throws OutcomeUnknownError if the connection was lost, and the record is gone or has moved on
           *
           * @example
           * await db.product.deleteVersioned({ where: { id, version: 7 } })
           */
          deleteVersioned<T, const S extends SelectionArgs<T>>(
            this: T & Versioned<T, O>,
            args: DeleteVersionedArgs<T, O> & Exactly<T, S>,
          ): Promise<RecordOf<T, S>> {
            const context = Prisma.getExtensionContext(this) as unknown as ModelContext
            return lazily('deleteVersioned', () => versioned.delete(context, args) as Promise<RecordOf<T, S>>)
          },

          /**
           * Updates many records, each if it still has its own expected version, in one statement.
           * Rows are locked in the order of the primary key, so that batches never deadlock.
           *
           * @param items `{ where, data }` each; `data` takes scalar values, `set`, `increment` and `decrement`
           * @param options `mode: 'all'` (the default) writes all or, with an error, none; `mode: 'each'`
           *   writes those that are fresh
           * @returns a verdict per item, in the order given
           * @throws BatchVersionConflictError in mode `all`, with every record that is stale or missing
           *
           * @example
           * await db.product.updateManyVersioned([
           *   { where: { id: 1, version: 3 }, data: { stock: { decrement: 2 } } },
           *   { where: { id: 2, version: 0 }, data: { stock: 4 } },
           * ])
           */
          updateManyVersioned<T, const M extends 'all' | 'each' = 'all'>(
            this: T & Versioned<T, O>,
            items: readonly UpdateManyVersionedItem<T, O>[],
            options?: { mode?: M } & CallOptions,
          ): Promise<UpdateManyResult<T, O, M>> {
            const context = Prisma.getExtensionContext(this) as unknown as ModelContext
            return lazily(
              'updateManyVersioned',
              () => versioned.updateMany(context, items, options) as unknown as Promise<UpdateManyResult<T, O, M>>,
            )
          },

          /**
           * Inserts a record once, however often the call arrives: `where` names a unique key, such
           * as a transaction id, and its values go into the row. A duplicate gets the record of the
           * first, with `replayed: true`; two at once are settled by the database.
           *
           * In a transaction a duplicate raises no error that would end it.
           *
           * @throws IdempotencyMismatchError if the payload differs, in the fields of `match` or by
           *   the model's fingerprint column
           * @throws P2002 of Prisma's if another unique key is in the way
           *
           * @example
           * const { record, replayed } = await db.payment.createIdempotent({
           *   where: { transactionId },
           *   data: { amount, currency },
           * })
           *
           * Source: PostgreSQL manual, INSERT, "ON CONFLICT Clause".
           */
          createIdempotent<T, const W extends UniqueWhere<T>, const S extends SelectionArgs<T>>(
            this: T,
            args: CreateIdempotentArgs<T, W> & Exactly<T, S>,
          ): Promise<{ record: RecordOf<T, S>; replayed: boolean }> {
            const context = Prisma.getExtensionContext(this) as unknown as ModelContext
            return lazily(
              'createIdempotent',
              () => idempotent.create(context, args) as Promise<{ record: RecordOf<T, S>; replayed: boolean }>,
            )
          },
        },
      },
      client: {
        /**
         * An interactive transaction that runs again, from the start and on a fresh snapshot, after
         * a version conflict, a serialization failure (40001) or a deadlock (40P01), and that finds
         * out what became of it if the answer to COMMIT is lost.
         *
         * The body may run several times: what it does outside the database, such as sending a mail
         * or charging a card, belongs after the commit. Inside a transaction it runs once, in a
         * savepoint, and conflicts go up to the outermost transaction.
         *
         * @throws OutcomeUnknownError if the connection was lost at COMMIT and the server can no
         *   longer tell what became of the transaction
         *
         * @example
         * const order = await db.$transactionWithRetry(async (tx) => {
         *   await tx.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock - 1 }) })
         *   return tx.order.create({ data: { productId: id } })
         * })
         * await sendMail(order)
         *
         * Source: PostgreSQL manual, "13.5. Serialization Failure Handling".
         */
        $transactionWithRetry<T extends object, R>(
          this: T,
          body: (tx: TransactionClient<T>, context: TransactionContext) => Promise<R>,
          options?: TransactionWithRetryOptions,
        ): Promise<R> {
          const context = Prisma.getExtensionContext(this) as unknown as PrismaClientLike
          return transactionWithRetry(context, body as never, options)
        },

        /**
         * Runs a whole operation once: its effects and its answer are committed together under a
         * key, and a duplicate gets the stored answer. Needs a model of yours in which the keys are
         * noted; `idempotencyKeySchema()` prints it.
         *
         * The scope must tell tenants and users apart, or one of them gets another's answer. The
         * answer must be plain data (Date, bigint, Decimal, bytes and undefined included). A body
         * that throws leaves nothing behind, not even the key.
         *
         * @throws IdempotencyMismatchError if the key came with another `request` before
         * @throws IdempotencyInProgressError if the same operation is running, and `whileRunning` is
         *   `refuse` or it takes longer than the deadline
         * @throws InvalidArgumentError if the answer could not come back as it is, or is too long
         *
         * @example
         * const { result, replayed } = await db.$idempotent(
         *   { key, scope: `tenant ${tenantId}: checkout`, request: body },
         *   async (tx) => tx.order.create({ data: body }),
         * )
         */
        $idempotent<T extends object, R>(
          this: T,
          options: IdempotentOptions,
          body: (tx: TransactionClient<T>, context: TransactionContext) => Promise<R>,
        ): Promise<{ result: R; replayed: boolean }> {
          return idempotent.run(Prisma.getExtensionContext(this) as unknown as PrismaClientLike, options, body as never)
        },

        /**
         * Runs a job's body once per period across all machines, in one transaction; set its
         * `timeout`. Who comes second is answered `{ ran: false }` at once, with the time `since`
         * when it has run, or `undefined` while it is still running. If the body throws, or its
         * process dies, the next one may run it.
         *
         * @example
         * const outcome = await db.$oncePer(
         *   { job: 'daily-report', period: { every: '1d' }, timeout: 60_000 },
         *   async (tx) => writeReport(tx),
         * )
         */
        $oncePer<T extends object, R>(
          this: T,
          options: OncePerOptions,
          body: (tx: TransactionClient<T>, context: TransactionContext) => Promise<R>,
        ): Promise<OncePerResult<R>> {
          return idempotent.oncePer(
            Prisma.getExtensionContext(this) as unknown as PrismaClientLike,
            options,
            body as never,
          )
        },

        /**
         * Deletes the keys of `$idempotent` and `$oncePer` that are older than so many ms, in batches.
         * A duplicate that arrives after its key was deleted runs again.
         *
         * @example
         * await db.$pruneIdempotencyKeys({ olderThan: 30 * 24 * 3_600_000 })
         */
        $pruneIdempotencyKeys(options: PruneOptions): Promise<{ count: number }> {
          return idempotent.prune(Prisma.getExtensionContext(this) as unknown as PrismaClientLike, options)
        },

        /**
         * Runs the body in a READ COMMITTED transaction that holds an advisory lock. The database
         * itself releases it with the transaction, also when this process dies.
         *
         * Callers of this process queue before they take a connection. The body's signal is aborted
         * when the transaction ends or `bodyTimeout` has passed; from that moment the lock is gone.
         * What the body does outside the transaction, the lock does not protect.
         *
         * @throws LockTimeoutError if the lock is not free within `timeout`
         * @throws DeadlineExceededError if the body takes longer than `bodyTimeout`; nothing is written
         *
         * @example
         * await db.$withAdvisoryLock(['stock', sku], async (tx) => { … }, { timeout: 2_000 })
         * @example
         * await db.$withAdvisoryLock({ keys: [['stock', a], ['stock', b]] }, async (tx) => { … })
         *
         * Source: PostgreSQL manual, "13.3.5. Advisory Locks".
         */
        $withAdvisoryLock<T extends object, R>(
          this: T,
          keys: LockKeys,
          body: (tx: TransactionClient<T>, signal: AbortSignal) => Promise<R>,
          options?: WithAdvisoryLockOptions,
        ): Promise<R> {
          const context = Prisma.getExtensionContext(this) as unknown as PrismaClientLike
          return locks.hold(context, keys, body as never, options)
        },

        /**
         * Takes an advisory lock in the transaction that you have, until it ends.
         *
         * @throws TransactionRequiredError outside a transaction
         * @throws LockTimeoutError if it is not free in time; the transaction stays usable
         * @throws InvalidArgumentError at REPEATABLE READ and above, unless `snapshot: 'accept'`
         *
         * @example
         * await tx.$advisoryXactLock(['serial', productId])
         */
        $advisoryXactLock(keys: LockKeys, options?: AdvisoryXactLockOptions): Promise<void> {
          return locks.take(Prisma.getExtensionContext(this) as unknown as PrismaClientLike, keys, options)
        },

        /**
         * Takes an advisory lock in the transaction that you have, if it is free now.
         *
         * @returns whether it was taken
         * @throws TransactionRequiredError outside a transaction
         *
         * @example
         * if (!(await tx.$tryAdvisoryXactLock(['report', day]))) return
         */
        $tryAdvisoryXactLock(keys: LockKeys, options?: TryAdvisoryXactLockOptions): Promise<boolean> {
          return locks.tryTake(Prisma.getExtensionContext(this) as unknown as PrismaClientLike, keys, options)
        },
      },
      query: {
        $allModels: {
          update: bump('update'),
          updateMany: bump('updateMany'),
          updateManyAndReturn: bump('updateManyAndReturn'),
          upsert: bump('upsert'),
        } as Record<never, never>,
      },
    })
  })
}
