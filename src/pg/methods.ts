import type { QueryResult, QueryResultRow } from 'pg'
import type { CheckConcurrencyOptions, DatabaseCapabilities } from '../doctor/types.js'
import type { TransactionOptions } from '../engine/session.js'
import type { Finding } from '../errors/index.js'
import type { EventClientMethods } from '../events/extension.js'
import type { IdempotentOptions, OncePerOptions, OncePerResult, PruneOptions } from '../idempotency/types.js'
import type { LockKeys } from '../locking/key.js'
import type {
  AdvisoryXactLockOptions,
  LockToken,
  TryAdvisoryXactLockOptions,
  WithAdvisoryLockOptions,
} from '../locking/methods.js'
import type { TransactionWithRetryOptions } from '../transactions/method.js'
import type { TransactionContext } from '../transactions/with-retry.js'
import type { PgExtension } from './extension.js'

type Nothing = Record<never, never>

/** The `tx` of a transaction: its statements are in the transaction. `X` is the type of the extensions' additions. */
export type PgTransactionClient<X = Nothing> = PgClientMethods<X> & PgTransactionMethods & X

/** The client that `concurrency(pool)` returns. `X` is the type of the extensions' additions. */
export type PgClient<X = Nothing> = PgClientMethods<X> & PgRootMethods<X> & X

/** Has what a `tx` has not: the transaction of a lock with a token begins with it. */
export type PgLockClient<Token extends boolean> = Token extends true
  ? Pick<PgRootMethods<Nothing>, '$checkConcurrency'>
  : unknown

/** The methods of a `tx` alone. */
export interface PgTransactionMethods {
  /**
   * Runs the function in this process once the transaction of this `tx` is committed: for a mail, a message, a cache.
   * Functions run in their order, one after the other, and the call that opened the transaction waits for them. They
   * never run after a rollback. An error of the function does not fail the call: it is told as the event
   * `after-commit-failed`, or, without a listener, by `process.emitWarning`. A process that ends between the commit
   * and the function loses it: a message that must not be lost goes into the outbox.
   *
   * @throws TransactionScopeError if the body of this `tx` is over, or a nested one is open on it
   *
   * @example
   * await db.$transaction(async (tx) => {
   *   await tx.query('INSERT INTO orders (id) VALUES ($1)', [id])
   *   tx.$afterCommit(() => sendMail(id))
   * })
   */
  $afterCommit(fn: () => unknown): void
}

export interface PgRootMethods<X> {
  /**
   * The same, with an extension on it: `stock()`, `serials()` or `series()` of this entry point. The `tx` of
   * a transaction has it, too.
   *
   * @throws ConfigurationError if its options do not fit the tables: every mistake, with its path
   *
   * @example
   * const shop = db.$extends(
   *   stock({ item: { model: 'Product', key: 'id', onHand: 'stock' }, movement: { model: 'ProductMovement', item: 'productId' } }),
   * )
   */
  $extends<N extends object>(extension: PgExtension<N>): PgClient<X & N>

  /**
   * Looks for what would break promises of the package: keys that are no full unique index, version columns, triggers,
   * privileges, settings of the server, the size of the pool, and whether the database behaves as PostgreSQL does. It
   * changes nothing, and is meant for the start of a program.
   *
   * @returns the findings, the worst first; each with the damage that it can do, and the SQL that mends it
   * @throws ConcurrencyCheckError with `throw: true`, if a finding is an error
   *
   * @example
   * await db.$checkConcurrency({ throw: true })
   */
  $checkConcurrency(options?: CheckConcurrencyOptions): Promise<readonly Finding[]>

  /**
   * Tells how the database behaves, and its kind: whether locks keep others out, whether it is a standby, whether it has
   * Citus. Each behaviour is tried, once for a client, by the first call, on two connections at once.
   *
   * @example
   * const { advisoryLocks } = await db.$capabilities()
   * if (!advisoryLocks) throw new Error('Jobs would run twice here.')
   */
  $capabilities(): Promise<DatabaseCapabilities>
}

/** The methods of the client, and of the `tx` of a transaction. */
export interface PgClientMethods<X> extends EventClientMethods {
  /**
   * Sends a statement, as the `query` of the pool does; on a `tx` in its transaction.
   *
   * @throws TransactionScopeError on a `tx` whose transaction is over
   *
   * @example
   * const { rows } = await tx.query<{ total: string }>('SELECT total FROM orders WHERE id = $1', [id])
   */
  query<R extends QueryResultRow = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<QueryResult<R>>

  /**
   * A transaction that runs once, and is rolled back if its body rejects. On a `tx` it is a savepoint.
   *
   * @throws DeadlineExceededError if there is no connection within `maxWait` (2 s unless given), or the body takes
   *   longer than `timeout` (5 s unless given)
   * @throws TransactionAbortedError if a statement has failed, and the body has caught its error
   *
   * @example
   * await db.$transaction(async (tx) => {
   *   await tx.query('INSERT INTO orders (id) VALUES ($1)', [id])
   * })
   */
  $transaction<R>(body: (tx: PgTransactionClient<X>) => Promise<R>, options?: TransactionOptions): Promise<R>

  /**
   * A transaction that runs again, from the start and on a fresh snapshot, after a serialization failure
   * (40001) or a deadlock (40P01), and that finds out its outcome if the answer to COMMIT is lost.
   *
   * The body may run several times: work outside the database, such as sending a mail, belongs after
   * the commit. On a `tx` it runs once, in a savepoint, and conflicts go up to the outermost transaction.
   *
   * @throws OutcomeUnknownError if the connection was lost at COMMIT and the server can no longer tell what
   *   became of the transaction
   *
   * @example
   * await db.$transactionWithRetry(async (tx) => transfer(tx, from, to), { isolationLevel: 'Serializable' })
   *
   * Source: PostgreSQL manual, "13.5. Serialization Failure Handling".
   */
  $transactionWithRetry<R>(
    body: (tx: PgTransactionClient<X>, context: TransactionContext) => Promise<R>,
    options?: TransactionWithRetryOptions,
  ): Promise<R>

  /**
   * Runs the body in a READ COMMITTED transaction that holds an advisory lock. The database itself releases
   * it with the transaction, also when this process dies. Programs on Prisma take the same locks by the same
   * keys.
   *
   * Callers of this process queue before they take a connection. The body's signal is aborted when the
   * transaction ends or `bodyTimeout` has passed; from that moment the lock is gone. For storage outside the
   * database that can refuse an old one, `token: true` hands the body a token, which grows with every holder.
   *
   * @throws LockTimeoutError if the lock is not free within `timeout`
   * @throws DeadlineExceededError if the body takes longer than `bodyTimeout`; nothing is written
   * @throws ConfigurationError if there can be no token on this database, or for this role
   *
   * @example
   * await db.$withAdvisoryLock(['stock', sku], (tx) => transfer(tx, from, to), { timeout: 2_000 })
   * @example
   * await db.$withAdvisoryLock('prices', async (tx, signal, token) => token, { token: true })
   *
   * Source: PostgreSQL manual, "13.3.5. Advisory Locks".
   */
  $withAdvisoryLock<R, Token extends boolean = false>(
    this: PgLockClient<Token>,
    keys: LockKeys,
    body: (tx: PgTransactionClient<X>, signal: AbortSignal, ...token: LockToken<Token>) => Promise<R>,
    options?: WithAdvisoryLockOptions<Token>,
  ): Promise<R>

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
  $advisoryXactLock(keys: LockKeys, options?: AdvisoryXactLockOptions): Promise<void>

  /**
   * Takes an advisory lock in the transaction that you have, if it is free now.
   *
   * @returns whether it was taken
   * @throws TransactionRequiredError outside a transaction
   *
   * @example
   * if (!(await tx.$tryAdvisoryXactLock(['report', day]))) return
   */
  $tryAdvisoryXactLock(keys: LockKeys, options?: TryAdvisoryXactLockOptions): Promise<boolean>

  /**
   * Runs a whole operation once: its effects and its answer are committed together under a key, and a
   * duplicate gets the stored answer. Needs a table in which the keys are noted: `idempotencyKeySql()` prints
   * it.
   *
   * The scope must tell tenants and users apart, or one of them gets another's answer. The answer must be plain
   * data (Date, bigint, bytes and undefined included). A body that throws leaves nothing behind, not even
   * the key.
   *
   * @throws IdempotencyMismatchError if the key came with another `request` before
   * @throws IdempotencyInProgressError if the same operation is running, and `whileRunning` is `refuse` or it
   *   takes longer than the deadline
   *
   * @example
   * const { result, replayed } = await db.$idempotent(
   *   { key, scope: `tenant ${tenantId}: checkout`, request: body },
   *   async (tx) => placeOrder(tx, body),
   * )
   */
  $idempotent<R>(
    options: IdempotentOptions,
    body: (tx: PgTransactionClient<X>, context: TransactionContext) => Promise<R>,
  ): Promise<{ result: R; replayed: boolean }>

  /**
   * Runs a job's body once per period across all machines, in one transaction; set its `timeout`. The second
   * caller is answered `{ ran: false }` at once.
   *
   * @throws InvalidArgumentError for a period or a time zone that cannot be right, before the job runs
   *
   * @example
   * await db.$oncePer({ job: 'daily-report', period: { atLeast: '23h' }, timeout: 60_000 }, (tx) => writeReport(tx))
   */
  $oncePer<R>(
    options: OncePerOptions,
    body: (tx: PgTransactionClient<X>, context: TransactionContext) => Promise<R>,
  ): Promise<OncePerResult<R>>

  /**
   * Deletes the keys of `$idempotent` and `$oncePer` that are older than so many ms, in batches. A duplicate
   * that arrives after its key was deleted runs again.
   *
   * @example
   * await db.$pruneIdempotencyKeys({ olderThan: 30 * 24 * 3_600_000 })
   */
  $pruneIdempotencyKeys(options: PruneOptions): Promise<{ count: number }>
}
