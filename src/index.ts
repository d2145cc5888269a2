import { Prisma } from '@prisma/client/extension'
import type { ITXClientDenyList } from '@prisma/client/runtime/client'
import { lazily } from './lazy.js'
import { type ConcurrencyOptions, checkOptions } from './options.js'
import type { ActionArgs, ModelContext, PrismaClientLike } from './prisma/client.js'
import { readDataModel } from './prisma/data-model.js'
import type { CallOptions } from './retry/call-options.js'
import { DEFAULT_POLICY, resolvePolicy } from './retry/policy.js'
import { type TransactionWithRetryOptions, transactionMethod } from './transaction/method.js'
import type { TransactionContext } from './transaction/with-retry.js'
import { bumpPlainWrite, type PlainWrite } from './versioned/bump.js'
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
export type { ConcurrencyOptions, VersionOptions } from './options.js'
export type { CallOptions } from './retry/call-options.js'
export type { RetryPolicy } from './retry/policy.js'
export type { TransactionWithRetryOptions } from './transaction/method.js'
export type { TransactionContext } from './transaction/with-retry.js'
export { versionTriggerSql } from './versioned/trigger.js'
export type { Change, TryUpdateResult, UpdateManyVerdict } from './versioned/types.js'

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
    const versions = new Versions(readDataModel(own), options?.version)
    const policy = resolvePolicy(DEFAULT_POLICY, options?.retry)
    const methods = new VersionedMethods(own, versions, policy)
    const transactionWithRetry = transactionMethod(policy)

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
            return lazily('updateVersioned', () => methods.update(context, args) as Promise<RecordOf<T, S>>)
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
              () => methods.tryUpdate(context, args) as unknown as Promise<TryUpdateResult<T, S, O>>,
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
            return lazily('deleteVersioned', () => methods.delete(context, args) as Promise<RecordOf<T, S>>)
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
              () => methods.updateMany(context, items, options) as unknown as Promise<UpdateManyResult<T, O, M>>,
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
