import type { ConcurrencyErrorCode } from '../errors/index.js'

/** The facts that every event has. */
export interface CallFacts {
  /** The number of the call in this process: the same in all events of one call. */
  readonly call: number
  /** The method that was called, such as `updateVersioned` or `$stock.move`. */
  readonly operation: string
  /** The Prisma model, of a method of a model. */
  readonly model?: string | undefined
  /**
   * The row, lock, item, series or idempotency key that it is about: a hash, unless `events: { keys: 'plain' }`.
   * It is left out where there is none to name, and a hash also where there is no `node:crypto`.
   */
  readonly key?: string | undefined
}

/** Somebody else wrote in between: the version has moved, or the database ended the transaction (40001). */
export interface ConflictEvent extends CallFacts {
  readonly type: 'conflict'
  readonly reason: 'version' | 'serialization'
  readonly attempt: number
}

/** PostgreSQL ended the transaction since it was in a deadlock (40P01). */
export interface DeadlockEvent extends CallFacts {
  readonly type: 'deadlock'
  readonly attempt: number
}

/** The call is tried again. A transaction that only gave way to another one, since deadlocks are expected, has not failed. */
export interface RetryEvent extends CallFacts {
  readonly type: 'retry'
  readonly reason: 'version' | 'serialization' | 'deadlock' | 'gave way' | 'connection' | 'other'
  /** The attempt that is over. */
  readonly attempt: number
  /** The pause before the next one. */
  readonly ms: number
}

/**
 * The call has waited for a millisecond or longer.
 *
 * - `queue`: for other calls in this process, without a connection
 * - `connection`: for a transaction to begin: for a connection of the pool, and for the answer to BEGIN
 * - `row`, `advisory`: for the answer of a statement whose purpose is to lock rows, to claim a key, or to take an
 *   advisory lock. It is the time of the whole statement: a client cannot tell how much of it the lock took. The wait
 *   of a statement that writes at once is not told, nor how long a lone statement waited for its connection.
 */
export interface WaitEvent extends CallFacts {
  readonly type: 'wait'
  readonly kind: 'queue' | 'connection' | 'row' | 'advisory'
  readonly ms: number
}

/** Calls that came together are sent as one. A call that goes alone is no batch. The facts are those of the first one. */
export interface BatchEvent extends CallFacts {
  readonly type: 'batch'
  readonly size: number
  /** How long the one of them has waited that has waited the longest. */
  readonly ms: number
  /** Their numbers. */
  readonly calls: readonly number[]
}

/** The call was carried out before, and its answer is that of the first time; or a job has run in its period already. */
export interface ReplayEvent extends CallFacts {
  readonly type: 'replay'
}

/** The call was refused for what the data says, or since too many wait. */
export interface RefusalEvent extends CallFacts {
  readonly type: 'refusal'
  /** Of the error. */
  readonly code: ConcurrencyErrorCode
}

/** A lock, or the lease of `$withLease`, is held. */
export interface LockAcquiredEvent extends CallFacts {
  readonly type: 'lock-acquired'
  /** From the call on. */
  readonly ms: number
}

/**
 * The transaction that held the lock of `$withAdvisoryLock` ended under its body: out of time, aborted, or cut off. Or the
 * lease of `$withLease` could not be proved to be held any more.
 */
export interface LockLostEvent extends CallFacts {
  readonly type: 'lock-lost'
  /** How long it was held. */
  readonly ms: number
}

/** The answer to a COMMIT was lost, and the server has told what became of it. */
export interface CommitVerifiedEvent extends CallFacts {
  readonly type: 'commit-verified'
  readonly outcome: 'committed' | 'aborted'
  /** How long it took to find out. */
  readonly ms: number
}

/** The call ends in an `OutcomeUnknownError`: somebody has to look at the data. */
export interface OutcomeUnknownEvent extends CallFacts {
  readonly type: 'outcome-unknown'
}

/** The deadline of the call, or the timeout of its lock, has passed. */
export interface DeadlineEvent extends CallFacts {
  readonly type: 'deadline'
  /** As the caller gave it. */
  readonly ms: number
  readonly waitedFor: string
}

/** A function of `$afterCommit` has failed. The transaction that it was given in is committed. */
export interface AfterCommitFailedEvent extends CallFacts {
  readonly type: 'after-commit-failed'
  /** The error that it has thrown. */
  readonly error: unknown
}

/**
 * `$after` has read on the primary: the replica was `behind` for as long as it was waited for, is on another `timeline` than
 * the place, or does not show its timeline to this user (`timeline-hidden`), is `no-replica`, could not be asked
 * (`unreachable`), or has ended the body in the middle (`interrupted`).
 */
export interface ReadOnPrimaryEvent extends CallFacts {
  readonly type: 'read-on-primary'
  readonly why: WhyPrimary
  /** Of the replica, where it has ended the read. */
  readonly error?: unknown
}

/**
 * The number of slots of an item has changed by itself, since calls waited for the row of a slot (`waiting`), since so little
 * was left that nearly every call borrowed (`borrowing`), since most slots were not used (`unused`), or since the item had fewer
 * or more than it may have (`bounds`). With an `error` it could not be changed, and it is tried again later.
 */
export interface SlotsEvent extends CallFacts {
  readonly type: 'slots'
  readonly before: number
  readonly count: number
  readonly why: 'waiting' | 'borrowing' | 'unused' | 'bounds'
  readonly error?: unknown
}

export type WhyPrimary = 'behind' | 'timeline' | 'timeline-hidden' | 'no-replica' | 'unreachable' | 'interrupted'

/** Something that an operator wants to know of. */
export type ConcurrencyEvent =
  | ConflictEvent
  | DeadlockEvent
  | RetryEvent
  | WaitEvent
  | BatchEvent
  | ReplayEvent
  | RefusalEvent
  | LockAcquiredEvent
  | LockLostEvent
  | CommitVerifiedEvent
  | OutcomeUnknownEvent
  | DeadlineEvent
  | AfterCommitFailedEvent
  | ReadOnPrimaryEvent
  | SlotsEvent

/** A public call that is under way, or calls that are sent as one. */
export interface ObservedWork {
  readonly kind: 'call' | 'batch'
  /** The number of the call; of a batch, that of its first call. */
  readonly id: number
  readonly operation: string
  readonly model?: string | undefined
  /** Of a batch: the numbers of its calls. */
  readonly calls?: readonly number[]
  /** Whether a call waits in the queue of this process now. */
  readonly isWaiting: boolean
}

/** The options for those that watch. */
export interface EventOptions {
  /**
   * Is told of conflicts, retries, waits, batches, replays, refusals, locks and lost answers, at once: it has to be
   * quick. An error of its own changes nothing, and is reported once, by `process.emitWarning`.
   */
  readonly onEvent?: (event: ConcurrencyEvent) => unknown
  /** How much the events tell. */
  readonly events?: {
    /** `plain` tells the keys as they are, which may be personal data. Default `hash`: 16 digits of their SHA-256. */
    readonly keys?: 'hash' | 'plain'
  }
  /**
   * Counts conflicts, waits, batches and the hottest keys, for `$contention()`, in some hundred kB. Default `false`.
   */
  readonly contention?: boolean
  /**
   * For instrumentation, such as that of `prisma-extension-concurrency/otel`: runs each public call, and each batch, by
   * calling `run`, so that it can give it a context. It is called at once, and what it returns is not looked at.
   */
  readonly around?: (work: ObservedWork, run: () => Promise<unknown>) => unknown
}
