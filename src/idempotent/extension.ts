import { Prisma } from '@prisma/client/extension'
import { lazily } from '../lazy.js'
import type { ModelContext, PrismaClientLike } from '../prisma/client.js'
import type { Exactly, GivenArgs, RecordOf, TransactionClient, UniqueWhere } from '../prisma/types.js'
import { argumentsOf } from '../snapshot.js'
import type { TransactionContext } from '../transaction/with-retry.js'
import type { IdempotentMethods } from './methods.js'
import type { OncePerResult } from './once-per.js'
import type { CreateIdempotentArgs, IdempotentOptions, OncePerOptions, PruneOptions } from './types.js'

/** The method of every model, with the types that users see. */
export function idempotentModelMethods(idempotent: IdempotentMethods) {
  return {
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
    createIdempotent<T, const W extends UniqueWhere<T>, const S extends GivenArgs>(
      this: T,
      args: CreateIdempotentArgs<T, W> & Exactly<T, S>,
    ): Promise<{ record: RecordOf<T, S>; replayed: boolean }> {
      const context = Prisma.getExtensionContext(this) as unknown as ModelContext
      return lazily(
        'createIdempotent',
        () => argumentsOf(args),
        (given) => idempotent.create(context, given) as Promise<{ record: RecordOf<T, S>; replayed: boolean }>,
      )
    },
  }
}

/** The methods of the client, with the types that users see. */
export function idempotentClientMethods(idempotent: IdempotentMethods) {
  return {
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
    $oncePer<T extends object, R>(
      this: T,
      options: OncePerOptions,
      body: (tx: TransactionClient<T>, context: TransactionContext) => Promise<R>,
    ): Promise<OncePerResult<R>> {
      return idempotent.oncePer(Prisma.getExtensionContext(this) as unknown as PrismaClientLike, options, body as never)
    },

    /**
     * Deletes the keys of `$idempotent` and `$oncePer` that are older than so many ms, in batches.
     * A duplicate that arrives after its key was deleted runs again. The last success of a job with
     * `atLeast` is kept, a row per job.
     *
     * @example
     * await db.$pruneIdempotencyKeys({ olderThan: 30 * 24 * 3_600_000 })
     */
    $pruneIdempotencyKeys(options: PruneOptions): Promise<{ count: number }> {
      return idempotent.prune(Prisma.getExtensionContext(this) as unknown as PrismaClientLike, options)
    },
  }
}
