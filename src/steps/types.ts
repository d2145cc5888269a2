import type { TransactionWithRetryOptions } from '../transactions/method.js'

/** The options of `$steps`. Those of a transaction count for each step. */
export interface StepsCallOptions extends Omit<TransactionWithRetryOptions, 'readOnly'> {
  /** The name of the operation, as the client sends it, such as an `Idempotency-Key` header. */
  key: string
  /** The owner and the purpose of the key: must tell tenants, users and endpoints apart. */
  scope: string
  /** The request of the operation; a call with the same key and another request is refused. */
  request?: unknown
}

/** The outcome of `$steps`. */
export interface StepsResult<R> {
  readonly result: R
  /** Whether the operation was done before, and this is its stored result. */
  readonly replayed: boolean
}

/** A step that can be undone. */
export interface Step<Tx, R> {
  readonly run: (tx: Tx) => Promise<R>
  /** Takes its effects back in a transaction of its own, once, when the operation is refused behind it. */
  readonly undo: (tx: Tx, answer: R) => Promise<unknown>
}

/** A call to another system that can be undone. */
export interface ExternalStep<R> {
  readonly run: (key: string) => Promise<R>
  /**
   * Takes the call back when the operation is refused behind it: at least once, always with the same key, which is another
   * one than that of the call.
   */
  readonly undo: (key: string, answer: R) => Promise<unknown>
}

/** An operation, as the body of `$steps` has it. `Tx` is the `tx` of a step. */
export interface Operation<Tx> {
  readonly scope: string
  readonly key: string

  /**
   * A step in the database. Its writes and its answer are committed together, once. Where that has been done, by a run
   * before or on another machine, the function does not run, and the stored answer comes back.
   *
   * The answer is plain data (Date, bigint, Decimal, bytes and undefined included). A step that throws leaves nothing, and ends
   * the run: the next call goes on with it. After a conflict the function runs again, as in `$transactionWithRetry`.
   *
   * @param name the step's own name in this operation
   * @throws StepMismatchError if another step is stored in its place
   */
  step<R>(name: string, run: ((tx: Tx) => Promise<R>) | Step<Tx, R>): Promise<R>

  /**
   * A call to another system, outside of any transaction. It is noted before that it begins, and its answer after it, so it
   * comes at least once, and every time with the same `key`: the SHA-256, as 64 hexadecimal digits, of the JSON text
   * `["scope","key","name"]`. Give it to the other side as the idempotency key. Of several answers the first that is stored
   * is that of all runs.
   *
   * A refusal of the other side is best returned as an answer. A call that throws ends the run, and the next call goes on
   * with it.
   *
   * @param name the step's own name in this operation
   * @throws StepMismatchError if another step is stored in its place
   */
  external<R>(name: string, run: ((key: string) => Promise<R>) | ExternalStep<R>): Promise<R>

  /**
   * Refuses the operation for good, by a throw: steps that have an `undo` are undone, the last one first, and this call and
   * every later one with that key get an `OperationRefusedError` with the answer. In a step it also rolls that one back.
   *
   * @throws InvalidArgumentError while the answer of an external call is not known: nobody could tell whether it is to be
   *   undone
   */
  refuse(answer: unknown): never
}

export interface PruneStepsOptions {
  /** The age in ms from which operations that are done or refused are deleted, by the database's clock. */
  readonly olderThan: number
  /** How many rows each statement deletes at most. Default 1,000. */
  readonly batchSize?: number | undefined
}
