/**
 * The proof that a lease is held: plain data, which may go to another process. Elsewhere than in PostgreSQL the token alone
 * is the fence: refuse a write whose token is lower than one that was seen.
 */
export interface LeaseFence {
  readonly name: string
  /** Grows with every holder of the name. */
  readonly token: bigint
  /** The random id of this holder. */
  readonly holder: string
}

/** A lease, as the body of `$withLease` has it. */
export interface Lease extends LeaseFence {
  /**
   * Aborted as soon as the lease cannot be proved to be held any more, with a LeaseLostError; by the caller's own signal,
   * with its reason; and when the body is over.
   */
  readonly signal: AbortSignal
  /** Whether it can be proved to be held now, by this process's own time since the last confirmed heartbeat was sent. */
  readonly isHeld: boolean
  /** The progress that the holder before left, whose process ended or whose body threw; else `undefined`. */
  readonly lastProgress: unknown
  /**
   * Notes how far the work is, for the holder after a crash. It is a heartbeat, too. It is no part of a transaction: it may
   * lag behind what was committed.
   *
   * @throws LeaseLostError if the lease is lost
   */
  progress(value: unknown): Promise<void>
}

/** The options of `$withLease`. */
export interface LeaseOptions {
  /**
   * How long the lease lasts after the last heartbeat, in ms: so long nobody else takes it when its process has ended, or
   * is cut off. Heartbeats come three times as often. At least 100; for a job of hours, 30,000 or more.
   */
  ttl: number
  /**
   * How long to wait for the lease, in ms. Default 0: a caller that does not get it at once is refused. A new holder waits as long for
   * the fenced transactions of the one before, and a second in any case.
   */
  wait?: number | undefined
  /** Ends the wait, and aborts the signal of the lease. */
  signal?: AbortSignal | undefined
}

/** The options of `$assertLease`. */
export interface AssertLeaseOptions {
  /**
   * The longest pause between two statements of the transaction, and the longest statement, in ms, where the transaction has
   * no such limits: a new holder waits for its end. Default 60,000.
   */
  limit?: number | undefined
}

/** The type of `$withLease`. */
export type WithLease = <R>(name: string, options: LeaseOptions, body: (lease: Lease) => Promise<R>) => Promise<R>

/** The type of `$assertLease`. */
export type AssertLease = (lease: LeaseFence, options?: AssertLeaseOptions) => Promise<void>

/** The methods of leases that the client has. */
export interface LeaseClientMethods {
  /**
   * Runs the body while this process has the lease of that name, and nobody else has: for work of hours, or outside of the
   * database. No transaction is open and no connection is held meanwhile; heartbeats are short statements, and all time is
   * that of the database's clock.
   *
   * The body is told by `lease.signal` when the lease cannot be proved to be held any more. A process that is stopped
   * for longer than the `ttl` hears of it when it runs again, perhaps in the middle of a write: `tx.$assertLease(lease)` in
   * the transaction that writes keeps it from being committed.
   *
   * The lease is given back when the body is over, also when it throws. When the process ends, the next one gets it after the
   * `ttl`, with `lease.lastProgress`.
   *
   * @throws LeaseHeldError if somebody else has it, for as long as `wait`; the body has not run
   * @throws LeaseLostError if it was lost before the body was over. An error of the body is its cause
   * @throws InvalidArgumentError on the `tx` of a transaction, which the body of hours would keep open
   *
   * @example
   * await db.$withLease('search-index', { ttl: 30_000 }, async (lease) => {
   *   for await (const page of pages(lease.lastProgress)) {
   *     lease.signal.throwIfAborted()
   *     await db.$transactionWithRetry(async (tx) => {
   *       await tx.$assertLease(lease)
   *       await write(tx, page)
   *     })
   *     await lease.progress(page.number)
   *   }
   * })
   */
  $withLease: WithLease

  /**
   * The fence, in the transaction that writes: it commits only if nobody else has taken the lease before. Locks the lease's
   * row until the transaction ends, so that a new holder waits for it; heartbeats pass. Call it in the body whose writes it
   * is for: in a nested body that fails it is undone.
   *
   * Where the transaction has no `idle_in_transaction_session_timeout` or no `statement_timeout`, it sets them, since a new
   * holder waits for its end: `$transactionWithRetry` has both.
   *
   * @throws LeaseLostError if it is lost: the transaction is ended, and cannot commit
   * @throws TransactionRequiredError outside a transaction
   *
   * @example
   * await db.$transactionWithRetry(async (tx) => {
   *   await tx.$assertLease(lease)
   *   await tx.note.create({ data: { text: 'rebuilt' } })
   * })
   */
  $assertLease: AssertLease
}
