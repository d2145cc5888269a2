import { decimalMaker } from '../engine/decimal.js'
import { isStatementTimeout } from '../engine/error-facts.js'
import { rowOf, type Session, type TransactionSession } from '../engine/session.js'
import {
  IdempotencyInProgressError,
  IdempotencyMismatchError,
  InvalidArgumentError,
  isConcurrencyError,
} from '../errors/index.js'
import { timed } from '../events/call-events.js'
import { AmbiguousOutcome } from '../retry/ambiguous-outcome.js'
import { confirm } from '../retry/confirm.js'
import { claimOrFind } from '../sql/claim.js'
import { param, sql } from '../sql/statement.js'
import { KeyedLock } from '../sync/keyed-lock.js'
import { type Effect, effectsOf } from '../transactions/effects.js'
import { LOCK_LIMIT, wholeMilliseconds } from '../transactions/limits.js'
import type { Body, RetryingTransactions, TransactionCall, TransactionContext } from '../transactions/with-retry.js'
import { decodeAnswer, encodeAnswer, hasDecimal, type MakeDecimal } from './answer.js'
import { fingerprint } from './fingerprint.js'
import type { KeyStore, OperationKey, StoredKey } from './key-store.js'
import { comparable } from './request.js'

export interface OperationCall extends OperationKey {
  readonly request: unknown
  readonly whileRunning: 'wait' | 'refuse'
  readonly transaction: Omit<TransactionCall, 'outcome'>
  /** The longest answer that is stored, in characters of its JSON text. */
  readonly answerLimit: number
  /** Whether the answer is kept for a replay. */
  readonly keepsAnswer: boolean
}

export type OperationResult<R> =
  | { readonly replayed: false; readonly result: R }
  | { readonly replayed: true; readonly result: R; readonly since?: Date }

/** Calls of one operation that wait for each other in this process. */
interface Waiting {
  calls: number
  /** Committed while all of them waited: their answer without a transaction of their own. */
  answer?: Answer | undefined
}

/** An answer as it is stored. */
interface Answer {
  /** Of the call that it was read or written by. Another client may see other keys, such as those of another tenant. */
  readonly client: object
  /** The fingerprint of the request. */
  readonly request: string
  readonly text: string
  /** How the Decimals in it are made; not known before it was read once. */
  readonly makeDecimal: MakeDecimal | undefined
}

/** Whole operations that happen once. */
export class Operations {
  readonly #transactions: RetryingTransactions
  readonly #turns = new KeyedLock()
  readonly #waiting = new Map<string, Waiting>()
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
    const request = fingerprint(comparable(call.request))
    const { inTransaction: isInside, client } = session
    const once = new OnceInTransaction(store, { ...call, request, isInside, client }, tracked)
    const run: Body<OperationResult<R>> = (tx, context) => once.run(tx, context)
    // In a savepoint: a body that fails does not leave its claim behind.
    if (session.inTransaction) return this.#transactions.run(session, run, call.transaction)
    const refuses = call.whileRunning === 'refuse'
    if (refuses && this.#running.has(turn)) throw inProgress(call)
    const { outcome } = once
    // A lost COMMIT needs no verification: run again, the key itself tells whether it was committed.
    const begin = () => this.#transactions.run(session, run, { ...call.transaction, outcome })
    try {
      // A call that refuses does not wait for others that look an answer up, or wait for another process.
      return await (refuses && this.#turns.isBusy(turn) ? begin() : this.#inTurn(turn, once, begin))
    } catch (error) {
      if (outcome.isAmbiguous) throw outcome.lastError(error, NOT_LOOKED_UP)
      const isLate = isConcurrencyError(error, 'DEADLINE_EXCEEDED') ? !error.isUnanswered : isStatementTimeout(error)
      throw once.isWaiting && isLate ? inProgress(call, error) : error
    }
  }

  /**
   * Runs the call after those that came before it. An answer that was committed, or read, while this call
   * waited is the answer to it as well, so 8,000 duplicates need one transaction or two, and not 8,000.
   */
  async #inTurn<R>(
    turn: string,
    once: OnceInTransaction<R>,
    begin: () => Promise<OperationResult<R>>,
  ): Promise<OperationResult<R>> {
    const waiting = this.#waiting.get(turn) ?? { calls: 0 }
    this.#waiting.set(turn, waiting)
    waiting.calls++
    let release = () => {}
    try {
      once.isWaiting = true
      release = await this.#turns.acquire(turn, once.deadline, 'the same operation in this process')
      once.isWaiting = false
      const { answer } = waiting
      if (answer?.makeDecimal && answer.request === once.request && answer.client === once.client) {
        return { replayed: true, result: decodeAnswer(answer.text, answer.makeDecimal) as R }
      }
      const result = await begin()
      waiting.answer = once.answer
      // Calls that come from now on have not waited for it.
      if (this.#waiting.get(turn) === waiting) this.#waiting.delete(turn)
      return result
    } finally {
      waiting.calls--
      if (waiting.calls === 0 && this.#waiting.get(turn) === waiting) this.#waiting.delete(turn)
      release()
    }
  }
}

const NOT_LOOKED_UP =
  'the answer to COMMIT was lost, and the key could not be looked up since; the same call again does so'

/**
 * How long `refuse` waits for a key, in ms. Not less: any lock that the statement needs, such as the one
 * on a table that grows, would then pass for a running operation.
 */
const REFUSAL_DELAY = 50

interface OnceCall extends OperationCall {
  /** The fingerprint of the request. */
  readonly request: string
  /** Whether it came in a transaction of the caller's. */
  readonly isInside: boolean
  /** The one that it was made on. */
  readonly client: object
}

/** One call of an operation, in all its attempts. */
class OnceInTransaction<R> {
  readonly #store: KeyStore
  readonly #call: OnceCall
  readonly #body: Body<R>
  /** Tells this call's own answer from another's, should it find one after a lost COMMIT. */
  readonly #author = crypto.randomUUID()
  /** The body's result in its last run here. */
  #own: { readonly result: R; readonly effects: readonly Effect[] } | undefined
  #hasClaimed = false
  /** Of the COMMIT of the last run: only the key tells what became of it. */
  readonly outcome = new AmbiguousOutcome()
  /** The answer that the last run has stored or found. It counts when that is committed. */
  answer: Answer | undefined
  /** Whether it waits for another call of the same key, in this process or in the database. */
  isWaiting = false

  constructor(store: KeyStore, call: OnceCall, body: Body<R>) {
    this.#store = store
    this.#call = call
    this.#body = body
  }

  get deadline() {
    return this.#call.transaction.deadline
  }

  get request() {
    return this.#call.request
  }

  get client() {
    return this.#call.client
  }

  async run(tx: TransactionSession, context: TransactionContext): Promise<OperationResult<R>> {
    const key = await claimOrFind<StoredKey | 'claimed'>(
      () => this.#claim(tx),
      () => this.#store.read(tx, this.#call),
    )
    this.outcome.settle() // either way, what was sent before has come to its end
    if (key === undefined) throw inProgress(this.#call)
    if (key !== 'claimed') return this.#replay(tx, key)
    this.#hasClaimed = true
    return this.#execute(tx, context)
  }

  async #claim(tx: TransactionSession): Promise<'claimed' | undefined> {
    this.isWaiting = true
    const limit = this.#lockLimit()
    const before = limit === undefined ? undefined : await limitLocks(tx, limit)
    const shards = before?.isCitus ? await import('./on-shards.js') : undefined
    if (before) await shards?.limitLocksOnShard(tx, this.#store, this.#call, before.limit)
    const claim = () => this.#store.claim(tx, this.#call, this.#call.request)
    const isClaimed = await timed(this.deadline.events, 'row', claim).catch((error: unknown) => {
      if (before && isStatementTimeout(error)) throw inProgress(this.#call, error)
      throw shards?.ofPauseOnShard(this.#store, this.#call, error) ?? error
    })
    if (before) await restoreLocks(tx, before.previous)
    if (before) await shards?.limitLocksOnShard(tx, this.#store, this.#call, before.previous)
    this.isWaiting = false
    return isClaimed ? 'claimed' : undefined
  }

  /**
   * How long the claim waits for the key, in ms. In a transaction of ours it is limited as every statement is, to
   * what is left of the deadline; in the caller's transaction, by the caller alone.
   */
  #lockLimit(): number | undefined {
    // A transaction of this call's own may be under way in the server after its connection was lost: it is waited for.
    const hasBegun = this.outcome.isAmbiguous || this.#hasClaimed
    if (this.#call.whileRunning === 'refuse' && !hasBegun) return REFUSAL_DELAY
    return this.#call.isInside ? wholeMilliseconds(this.deadline) : undefined
  }

  async #execute(tx: TransactionSession, context: TransactionContext): Promise<OperationResult<R>> {
    const { keepsAnswer, answerLimit } = this.#call
    const result = await this.#body(tx, context)
    const answer = encodeAnswer(keepsAnswer ? result : undefined)
    if (answer.length > answerLimit) {
      throw new InvalidArgumentError(
        'result',
        `takes ${answer.length} characters as JSON, more than the ${answerLimit} that are stored. Return less, or raise \`idempotency.answerLimit\`; nothing was written.`,
      )
    }
    await this.#store.store(tx, this.#call, `${this.#author} ${answer}`)
    this.#own = { result, effects: effectsOf(tx) }
    const { request, client } = this.#call
    this.answer = { client, request, text: answer, makeDecimal: hasDecimal(answer) ? undefined : String }
    return { replayed: false, result }
  }

  async #replay(tx: TransactionSession, { request, answer, createdAt }: StoredKey): Promise<OperationResult<R>> {
    const { scope, key } = this.#call
    if (request !== this.#call.request)
      throw new IdempotencyMismatchError(this.#store.model, { scope, key }, ['request'])
    // A key of another transaction is not seen before its answer: this one runs further up in this very transaction.
    if (answer === null) throw inProgress(this.#call)
    await confirm(tx, { deadline: this.deadline, hadBody: !this.#call.isInside })
    const text = answer.slice(answer.indexOf(' ') + 1)
    const makeDecimal = hasDecimal(text) ? await decimalMaker(tx) : String
    this.answer = { client: this.#call.client, request, text, makeDecimal }
    if (this.#own && answer.startsWith(`${this.#author} `)) {
      effectsOf(tx).push(...this.#own.effects)
      return { replayed: false, result: this.#own.result }
    }
    return { replayed: true, result: decodeAnswer(text, makeDecimal) as R, since: createdAt }
  }
}

interface LockLimit {
  /** The limit of now, and the one before. */
  readonly limit: string
  readonly previous: string
  readonly isCitus: boolean
}

/** Limits the waits for locks to so many ms. */
function limitLocks(tx: TransactionSession, limit: number): Promise<LockLimit> {
  const text = `SELECT current_setting('lock_timeout') AS previous, ${LOCK_LIMIT} AS limit,
  to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL AS "isCitus"`
  return rowOf<LockLimit>(tx, { text, values: [limit] })
}

async function restoreLocks(tx: TransactionSession, limit: string): Promise<void> {
  await tx.rows(sql`SELECT set_config('lock_timeout', ${param(limit)}, true)`)
}

function inProgress({ scope, key }: OperationKey, cause?: unknown): IdempotencyInProgressError {
  return new IdempotencyInProgressError(scope, key, cause === undefined ? undefined : { cause })
}
