import { decimalMaker } from '../engine/decimal.js'
import { isStatementTimeout } from '../engine/error-facts.js'
import { type RootSession, rowOf, type Session, type TransactionSession } from '../engine/session.js'
import {
  IdempotencyInProgressError,
  IdempotencyMismatchError,
  InvalidArgumentError,
  isConcurrencyError,
} from '../errors/index.js'
import { AmbiguousOutcome } from '../retry/ambiguous-outcome.js'
import { KeyedLock } from '../sync/keyed-lock.js'
import { LOCK_LIMIT, wholeMilliseconds } from '../transactions/limits.js'
import type { Body, RetryingTransactions, TransactionCall, TransactionContext } from '../transactions/with-retry.js'
import { decodeAnswer, encodeAnswer, hasDecimal } from './answer.js'
import { fingerprint } from './fingerprint.js'
import type { KeyStore, StoredKey } from './key-store.js'
import { comparable } from './request.js'

export interface OperationCall {
  readonly scope: string
  readonly key: string
  readonly request: unknown
  readonly whileRunning: 'wait' | 'refuse'
  readonly transaction: Omit<TransactionCall, 'outcome'>
  /** The longest answer that is stored, in characters of its JSON text. */
  readonly answerLimit: number
  /** Whether the answer is kept for a replay. */
  readonly keepsAnswer: boolean
  /** So many seconds after its last success the operation may be done again under the same key. */
  readonly pause?: number | undefined
}

export type OperationResult<R> =
  | { readonly replayed: false; readonly result: R }
  | { readonly replayed: true; readonly result: R; readonly since: Date }

/** Whole operations that happen once. */
export class Operations {
  readonly #transactions: RetryingTransactions
  readonly #queue = new KeyedLock()
  /** The operations whose bodies run in this process now. */
  readonly #running = new Set<string>()

  constructor(transactions: RetryingTransactions) {
    this.#transactions = transactions
  }

  /**
   * The key is claimed before the body runs, in the same transaction as its effects: they commit
   * together or not at all. Duplicates of one process take turns without a connection; those of
   * other processes wait in the database for the first one's end.
   */
  async run<R>(session: Session, store: KeyStore, call: OperationCall, body: Body<R>): Promise<OperationResult<R>> {
    const turn = JSON.stringify([call.scope, call.key])
    const tracked: Body<R> = async (tx, context) => {
      this.#running.add(turn)
      try {
        return await body(tx, context)
      } finally {
        this.#running.delete(turn)
      }
    }
    const once = new OnceInTransaction(store, call, await fingerprint(comparable(call.request)), tracked)
    if (session.inTransaction) {
      // In a savepoint: a body that fails does not leave its claim behind.
      return this.#transactions.run(session, (tx, context) => once.runInside(tx, context), call.transaction)
    }
    if (call.whileRunning === 'refuse') {
      if (this.#running.has(turn)) throw new IdempotencyInProgressError(call.scope, call.key)
      // Others may only be looking an answer up, or wait for another process: the database tells.
      if (this.#queue.isBusy(turn)) return this.#runOnRoot(session, call, once)
    }
    const leave = await this.#enter(turn, call)
    try {
      return await this.#runOnRoot(session, call, once)
    } finally {
      leave()
    }
  }

  async #enter(turn: string, { scope, key, transaction }: OperationCall): Promise<() => void> {
    try {
      return await this.#queue.acquire(turn, transaction.deadline, 'the same operation in this process')
    } catch (error) {
      throw isConcurrencyError(error, 'DEADLINE_EXCEEDED')
        ? new IdempotencyInProgressError(scope, key, { cause: error })
        : error
    }
  }

  /** A lost COMMIT needs no verification here: run again, the key itself tells whether it was committed. */
  async #runOnRoot<R>(
    session: RootSession,
    call: OperationCall,
    once: OnceInTransaction<R>,
  ): Promise<OperationResult<R>> {
    const { outcome } = once
    try {
      return await this.#transactions.run(session, (tx, context) => once.run(tx, context), {
        ...call.transaction,
        outcome,
      })
    } catch (error) {
      if (outcome.isAmbiguous) throw outcome.lastError(error, NOT_LOOKED_UP)
      if (once.isWaiting && (isConcurrencyError(error, 'DEADLINE_EXCEEDED') || isStatementTimeout(error))) {
        throw new IdempotencyInProgressError(call.scope, call.key, { cause: error })
      }
      throw error
    }
  }
}

const NOT_LOOKED_UP =
  'the answer to COMMIT was lost, and the key could not be looked up since; the same call again does so'

/**
 * What `refuse` waits for a key, in ms. Not less: any lock that the statement needs, such as the one
 * on a table that grows, would then pass for a running operation.
 */
const REFUSAL_DELAY = 50

class OnceInTransaction<R> {
  readonly #store: KeyStore
  readonly #call: OperationCall
  readonly #request: string
  readonly #body: Body<R>
  /** Tells this call's own answer from another's, should it find one after a lost COMMIT. */
  readonly #author = crypto.randomUUID()
  /** What the body came to in its last run here. */
  #own: { readonly result: R } | undefined
  /** Of the COMMIT of the last run: only the key tells what became of it. */
  readonly outcome = new AmbiguousOutcome()
  #isWaiting = false
  #hasClaimed = false

  constructor(store: KeyStore, call: OperationCall, request: string, body: Body<R>) {
    this.#store = store
    this.#call = call
    this.#request = request
    this.#body = body
  }

  /** Whether the claim of the key was sent, and has not been answered. */
  get isWaiting(): boolean {
    return this.#isWaiting
  }

  /** In a transaction of ours, whose statements are limited to what is left of the deadline. */
  run(tx: TransactionSession, context: TransactionContext): Promise<OperationResult<R>> {
    // Who would be refused by a transaction of its own, still under way in the server after its
    // connection was lost, waits for that to end.
    const refuses = this.#call.whileRunning === 'refuse' && !this.outcome.isAmbiguous && !this.#hasClaimed
    return this.#run(tx, context, refuses ? REFUSAL_DELAY : undefined)
  }

  /** In a transaction of the caller's, whose statements are limited by the caller alone. */
  runInside(tx: TransactionSession, context: TransactionContext): Promise<OperationResult<R>> {
    const { whileRunning, transaction } = this.#call
    return this.#run(tx, context, whileRunning === 'refuse' ? REFUSAL_DELAY : wholeMilliseconds(transaction.deadline))
  }

  async #run(
    tx: TransactionSession,
    context: TransactionContext,
    lockTimeout: number | undefined,
  ): Promise<OperationResult<R>> {
    const { scope, key } = this.#call
    // A claim that was refused, and yet no key to be found: it was pruned in between.
    for (let again = 0; again < 3; again++) {
      this.#isWaiting = true
      const isClaimed = await this.#claim(tx, lockTimeout)
      this.#isWaiting = false
      const stored = isClaimed ? undefined : await this.#store.read(tx, scope, key)
      this.outcome.settle() // either way, what was sent before has come to its end
      this.#hasClaimed ||= isClaimed
      if (isClaimed) return this.#execute(tx, context)
      if (stored) return this.#replay(tx, stored)
    }
    throw new IdempotencyInProgressError(scope, key)
  }

  async #claim(tx: TransactionSession, lockTimeout: number | undefined): Promise<boolean> {
    const { scope, key, pause } = this.#call
    try {
      if (lockTimeout === undefined) return await this.#store.claim(tx, scope, key, this.#request, pause)
      const { previous } = await rowOf<{ previous: string }>(tx, {
        text: `SELECT current_setting('lock_timeout') AS previous, ${LOCK_LIMIT}`,
        values: [lockTimeout],
      })
      const isClaimed = await this.#store.claim(tx, scope, key, this.#request, pause)
      await tx.rows({ text: `SELECT set_config('lock_timeout', $1, true)`, values: [previous] })
      return isClaimed
    } catch (error) {
      // Without a limit of its own it has the transaction's, which may run again until the deadline.
      const isOver = lockTimeout !== undefined && isStatementTimeout(error)
      throw isOver ? new IdempotencyInProgressError(scope, key, { cause: error }) : error
    }
  }

  async #execute(tx: TransactionSession, context: TransactionContext): Promise<OperationResult<R>> {
    const { scope, key, keepsAnswer, answerLimit, pause } = this.#call
    const result = await this.#body(tx, context)
    const answer = encodeAnswer(keepsAnswer ? result : undefined)
    if (answer.length > answerLimit) {
      throw new InvalidArgumentError(
        'result',
        `takes ${answer.length} characters as JSON, more than the ${answerLimit} that are stored. Return less, or raise \`idempotency.answerLimit\`; nothing was written.`,
      )
    }
    await this.#store.store(tx, scope, key, `${this.#author} ${answer}`, pause)
    this.#own = { result }
    return { replayed: false, result }
  }

  async #replay(tx: TransactionSession, stored: StoredKey): Promise<OperationResult<R>> {
    const { scope, key } = this.#call
    if (stored.request !== this.#request) {
      throw new IdempotencyMismatchError(this.#store.model, { scope, key }, ['request'])
    }
    // Nobody else's key is seen before its answer: the operation runs further up in this very transaction.
    if (stored.answer === null) throw new IdempotencyInProgressError(scope, key)
    const [author, text] = splitOnce(stored.answer, ' ')
    if (author === this.#author && this.#own) return { replayed: false, result: this.#own.result }
    const makeDecimal = hasDecimal(text) ? await decimalMaker(tx) : String
    return { replayed: true, result: decodeAnswer(text, makeDecimal) as R, since: stored.createdAt }
  }
}

function splitOnce(text: string, separator: string): [string, string] {
  const index = text.indexOf(separator)
  return [text.slice(0, index), text.slice(index + separator.length)]
}
