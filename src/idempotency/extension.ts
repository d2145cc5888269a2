import type { ModelContext } from '../prisma/client.js'
import { sessionOf } from '../prisma/client-session.js'
import { clientContext, type Implementation, modelContext } from '../prisma/extension.js'
import { lazyPromise } from '../prisma/lazy-promise.js'
import type { RecordsOf } from '../prisma/records.js'
import type { Exactly, GivenArgs, RecordOf, TransactionClient, UniqueWhere } from '../prisma/types.js'
import type { FencedCalls } from '../transactions/extension.js'
import { takeFence } from '../transactions/fence.js'
import type { TransactionContext } from '../transactions/with-retry.js'
import { argumentsOf } from '../values/snapshot.js'
import type { CreateIdempotentArgs } from './client-types.js'
import type { InsertMethods } from './insert-methods.js'
import type { OperationMethods } from './operation-methods.js'
import type { IdempotentOptions, OncePerOptions, OncePerResult, PruneOptions } from './types.js'

/** The type of `createIdempotent`. */
export type CreateIdempotent = <T, const W extends UniqueWhere<T>, const S extends GivenArgs>(
  this: T,
  args: CreateIdempotentArgs<T, W> & Exactly<T, S>,
) => Promise<{ record: RecordOf<T, S>; replayed: boolean }>

/** The type of `$idempotent`. */
export type Idempotent = <T extends object, R>(
  this: T,
  options: IdempotentOptions,
  body: (tx: TransactionClient<T>, context: TransactionContext) => Promise<R>,
) => Promise<{ result: R; replayed: boolean }>

/** The type of `$oncePer`. */
export type OncePer = <T extends object, R>(
  this: T,
  options: OncePerOptions,
  body: (tx: TransactionClient<T>, context: TransactionContext) => Promise<R>,
) => Promise<OncePerResult<R>>

/** The type of `$pruneIdempotencyKeys`. */
export type PruneIdempotencyKeys = (options: PruneOptions) => Promise<{ count: number }>

/** The method of once-only inserts that every model has. */
export interface IdempotentModelMethods {
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
  createIdempotent: CreateIdempotent
}

/** The method as it is run. */
export function idempotentModelMethods(
  inserts: InsertMethods,
  recordsOf: RecordsOf,
  fencedCall: FencedCalls,
): Implementation<IdempotentModelMethods> {
  return {
    createIdempotent(args) {
      const context = modelContext(this)
      return lazyPromise(
        'createIdempotent',
        () => argumentsOf(args),
        async (given) => {
          const taken = takeFence(given)
          const send = (on: ModelContext) => inserts.create(recordsOf(on), given)
          return taken ? fencedCall(context, taken, send) : send(context)
        },
      )
    },
  }
}

/** The methods of once-only operations that the client has. */
export interface IdempotentClientMethods {
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
  $idempotent: Idempotent

  /**
   * Runs a job's body once per period across all machines, in one transaction; set its
   * `timeout`. The second caller is answered `{ ran: false }` at once, with the time `since`
   * when it has run, or `undefined` while it is still running. If the body throws, or its
   * process dies, the next one may run it.
   *
   * For a cron take `{ atLeast: '23h' }`, a pause after the last success that is shorter than the
   * cron's interval: a cron that fires where a period of `{ every: '1d' }` begins can run twice.
   *
   * @throws InvalidArgumentError for a period or a time zone that cannot be right, before the job runs
   *
   * @example
   * const outcome = await db.$oncePer(
   *   { job: 'daily-report', period: { atLeast: '23h' }, timeout: 60_000 },
   *   async (tx) => writeReport(tx),
   * )
   */
  $oncePer: OncePer

  /**
   * Deletes the keys of `$idempotent` and `$oncePer` that are older than so many ms, in batches.
   * A duplicate that arrives after its key was deleted runs again. The last success of a job with
   * `atLeast` is kept, a row per job.
   *
   * @example
   * await db.$pruneIdempotencyKeys({ olderThan: 30 * 24 * 3_600_000 })
   */
  $pruneIdempotencyKeys: PruneIdempotencyKeys
}

/** The methods as they are run. */
export function idempotentClientMethods(operations: OperationMethods): Implementation<IdempotentClientMethods> {
  return {
    $idempotent(options, body) {
      return operations.run(sessionOf(clientContext(this)), options, body)
    },
    $oncePer(options, body) {
      return operations.oncePer(sessionOf(clientContext(this)), options, body)
    },
    $pruneIdempotencyKeys(options) {
      return operations.prune(sessionOf(clientContext(this)), options)
    },
  }
}
