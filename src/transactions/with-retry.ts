import {
  isConnectionLost,
  isDeadlock,
  isTransactionTimeout,
  isUnreachable,
  isUnsupported,
  sqlState,
} from '../engine/error-facts.js'
import { madeOnce } from '../engine/made-once.js'
import {
  type IsolationLevel,
  type RootSession,
  rowOf,
  type Session,
  type TransactionSession,
} from '../engine/session.js'
import {
  DeadlineExceededError,
  InvalidArgumentError,
  isConcurrencyError,
  OutcomeUnknownError,
} from '../errors/index.js'
import { type AmbiguousOutcome, noteLostAnswer } from '../retry/ambiguous-outcome.js'
import { withAttempts } from '../retry/attempts.js'
import { confirm } from '../retry/confirm.js'
import { retry } from '../retry/loop.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import { isRetryable, type Retryable } from '../retry/retryable.js'
import { systemClock } from '../sync/clock.js'
import type { Deadline } from '../sync/deadline.js'
import { canonical } from '../values/canonical.js'
import { type BodyEnd, boundedBody, timeoutBehind, untilOver } from './bounded-body.js'
import { Deadlocks, type Run, Runs } from './deadlocks.js'
import type { Committed } from './effects.js'
import { type Limits, limitsColumn, wholeMilliseconds } from './limits.js'
import { inNestedBody, seenBy } from './serialize.js'
import { NOTE, outcomeOf, type TransactionNote } from './verify-commit.js'

export interface TransactionCall {
  /** For the functions of `$afterCommit`, which the method that was called runs, once the last run is committed. */
  readonly committed?: Committed
  readonly policy: ResolvedPolicy
  readonly deadline: Deadline
  readonly isolationLevel: IsolationLevel | undefined
  readonly maxWait: number | undefined
  readonly timeout: number | undefined
  readonly readOnly: boolean
  /**
   * Of a caller that finds out by running again whether a COMMIT went through whose answer was lost: the
   * loss is noted here, and the transaction is neither recorded nor verified.
   */
  readonly outcome?: AmbiguousOutcome | undefined
  /** Sends the first statement of each run, in the place of one that only notes the transaction and limits it. */
  readonly open?: Open | undefined
}

/** The tasks of a transaction's first statement, besides its own purpose. */
export interface Opening {
  /** The columns that note the transaction, where it is to be noted. */
  readonly note: string | undefined
  /** How long each statement may take, and wait for a lock. */
  readonly limits: Limits
}

export type Open = (tx: TransactionSession, opening: Opening) => Promise<TransactionNote | undefined>

/** The context that the body of a transaction is given besides its client. */
export interface TransactionContext {
  /** 1 in the first run, 2 in the second, … */
  readonly attempt: number
  /** Aborted when the transaction is over: committed, out of time, or given up by the caller. */
  readonly signal: AbortSignal
}

export type Body<R> = (tx: TransactionSession, context: TransactionContext) => Promise<R>

/** Transactions that run again after a conflict, and find out what became of a lost COMMIT. */
export class RetryingTransactions {
  /** Whether this database lets a transaction be noted; found out by trying. */
  #canNote = true
  readonly #deadlocks = new Deadlocks(systemClock)

  async run<R>(session: Session, body: Body<R>, call: TransactionCall): Promise<R> {
    if (session.inTransaction) return runInside(session, body, call)
    const runs = new Runs(this.#deadlocks, call.deadline, call.policy.attempts > 1)
    const work = () => runs.next((run) => this.#once(session, body, call, run))
    try {
      return await retry(work, call.policy, call.deadline, retriesOf(runs, call.policy))
    } catch (error) {
      throw deadlockAtDeadline(error, call) ?? error
    } finally {
      runs.end()
    }
  }

  async #once<R>(session: RootSession, body: Body<R>, call: TransactionCall, run: Run): Promise<R> {
    const { deadline, open = openPlainly(call) } = call
    const limit = Math.min(wholeMilliseconds(deadline), call.timeout ?? Number.POSITIVE_INFINITY)
    let finished: { readonly result: R; readonly note: TransactionNote | undefined } | undefined
    const note = this.#canNote && !call.readOnly && !call.outcome ? NOTE : undefined
    let isNoteRefused = false
    let hasBegun = false

    const { events } = deadline
    const since = events?.age ?? 0
    const inside = async (tx: TransactionSession) => {
      hasBegun = true
      if (call.committed) call.committed.scope = seenBy(tx, 'a call')
      events?.waitedFor('connection', events.age - since)
      deadline.signal?.throwIfAborted() // while it waited for a connection
      const told = limit === call.timeout ? limit : deadline.duration
      const bounds = deadline.lasting(limit, told)
      const done = await boundedBody(tx, bounds, 'the body of the transaction', async (end) => {
        // Waited for: Prisma sends the calls of one tick together, and where the first of them fails,
        // it answers the others with undefined.
        await run.takeTurn?.(tx)
        const opening = { note, limits: limitsOf(limit, run.lockLimit ?? limit) }
        const noted = await open(tx, opening).catch((error: unknown) => {
          isNoteRefused = note !== undefined && isUnsupported(error)
          throw error
        })
        if (noted) tx.noted?.(noted)
        end.check()
        return { result: await body(tx, contextOf(run.begins(), end)), note: noted }
      })
      deadline.signal?.throwIfAborted()
      finished = done
      return done.result
    }
    try {
      const options = {
        isolationLevel: call.isolationLevel,
        maxWait: Math.min(wholeMilliseconds(deadline), call.maxWait ?? Number.POSITIVE_INFINITY),
        timeout: timeoutBehind(limit),
      }
      return await deadline.committed(
        (body: (tx: TransactionSession) => Promise<R>) => session.transaction(options, body),
        (tx) => this.#deadlocks.track(tx, run, () => inside(tx)),
      )
    } catch (error) {
      if (isNoteRefused) return this.#onceUnnoted(session, body, call, run)
      if (!hasBegun && isTransactionTimeout(error) && (call.maxWait ?? limit) >= limit) {
        throw new DeadlineExceededError(deadline.duration, 'a connection', { cause: error })
      }
      if (hasBegun && finished === undefined && isUnreachable(error)) elsewhere.add(Object(error))
      // COMMIT was not sent, or the server has said no to it.
      if (finished === undefined || isRefusal(error)) throw error
      if (call.outcome === undefined) return settle(finished, error, session, call)
      call.outcome.lose(error)
      throw error
    }
  }

  async #onceUnnoted<R>(session: RootSession, body: Body<R>, call: TransactionCall, run: Run): Promise<R> {
    this.#canNote = false
    try {
      return await this.#once(session, body, call, run)
    } catch (error) {
      this.#canNote = isUnsupported(error) // then it was perhaps not the note that was refused
      throw error
    }
  }
}

/** Tells whether a call may run again after an error, which is noted. */
function retriesOf(runs: Runs, policy: ResolvedPolicy): (error: unknown) => Retryable {
  const conflicts = new Set<string>()
  return function isWorthAnother(error) {
    runs.note(error)
    if (isConcurrencyError(error, 'TRANSACTION_ABORTED')) return isWorthAnother(error.cause)
    const conflict = conflictOf(error)
    if (conflict !== undefined) {
      // The same row and the same expected version again: the version comes from outside the
      // body, and no number of runs can make it right.
      const isHopeless = conflicts.has(conflict)
      conflicts.add(conflict)
      return !isHopeless
    }
    return elsewhere.has(Object(error)) ? policy.retryOn(error) : isRetryable(error, policy)
  }
}

/** Errors of bodies about a server that they cannot reach: it is another one, since the transaction has its connection. */
const elsewhere = new WeakSet<object>()

/** The texts of first statements that have nothing else to do, by their tasks. */
const openings = new Map<string, string>()

/** The first statement of a transaction that has nothing else to do: it notes the transaction, and limits it. */
function openPlainly({ readOnly }: TransactionCall): Open {
  return async (tx, { note, limits }) => {
    const text = madeOnce(openings, `${note === undefined} ${readOnly}`, () => {
      const refuseWrites = readOnly ? `set_config('transaction_read_only', 'on', true)` : undefined
      const columns = [note, refuseWrites, limits.column(1)].filter((column) => column !== undefined)
      return `SELECT ${columns.join(',\n  ')}`
    })
    const row = await rowOf<TransactionNote>(tx, { text, values: limits.values })
    return note === undefined ? undefined : row
  }
}

const limitsOfRun = (n: number) => limitsColumn({ statement: `$${n}::int`, lock: `$${n + 1}::int` })

function limitsOf(statement: number, lock: number): Limits {
  return { column: limitsOfRun, values: [statement, Math.min(statement, lock)] }
}

function contextOf(attempt: number, end: BodyEnd): TransactionContext {
  return {
    attempt,
    get signal() {
      return end.signal
    },
  }
}

/**
 * A deadlock that was the last error when the time was up, and not when the attempts were: it was the
 * waiting that took the time.
 */
function deadlockAtDeadline(error: unknown, { policy, deadline }: TransactionCall): unknown {
  if (!isDeadlock(error)) return undefined
  const { attempts = policy.attempts } = error as { readonly attempts?: number }
  if (attempts >= policy.attempts) return undefined
  return withAttempts(
    new DeadlineExceededError(deadline.duration, 'the end of its deadlocks', { cause: error }),
    attempts,
  )
}

/** COMMIT was sent, and its answer did not come. */
async function settle<R>(
  finished: { readonly result: R; readonly note: TransactionNote | undefined },
  error: unknown,
  session: RootSession,
  { readOnly, deadline }: TransactionCall,
): Promise<R> {
  if (readOnly) return finished.result // there is nothing that could have been lost
  noteLostAnswer()
  if (finished.note === undefined) {
    throw new OutcomeUnknownError(
      'the answer to COMMIT was lost, and this database does not tell the id of a transaction',
      {
        cause: error,
      },
    )
  }
  const { events } = deadline
  const since = events?.age ?? 0
  const outcome = await outcomeOf(finished.note, session, deadline)
  if (outcome !== 'unknown') events?.tell({ type: 'commit-verified', outcome, ms: events.age - since })
  if (outcome === 'committed') {
    await confirm(session.until(deadline), { deadline, hadBody: true, server: finished.note.server })
    return finished.result
  }
  if (outcome === 'aborted') throw error
  throw new OutcomeUnknownError('the answer to COMMIT was lost, and the server can no longer tell what became of it', {
    cause: error,
  })
}

/** Whether the error says for certain that nothing was committed. */
function isRefusal(error: unknown): boolean {
  // Found out at the end of the body, before COMMIT.
  if (isConcurrencyError(error, 'TRANSACTION_ABORTED') || isConcurrencyError(error, 'TRANSACTION_SCOPE')) return true
  if (isTransactionTimeout(error)) return true // Prisma rolled back instead of sending COMMIT
  const state = sqlState(error)
  return state !== undefined && state !== '40003' && !isConnectionLost(error)
}

/** Names a version conflict by its row and expected version; `undefined` for any other error. */
function conflictOf(error: unknown): string | undefined {
  if (isConcurrencyError(error, 'VERSION_CONFLICT')) return canonical([error.model, error.where, error.expected])
  if (isConcurrencyError(error, 'BATCH_VERSION_CONFLICT')) {
    return canonical([error.model, ...error.conflicts.map(({ where, expected }) => [where, expected])])
  }
  return undefined
}

/**
 * Inside a transaction the body runs once, under a savepoint: a conflict there can only be
 * resolved by running the whole transaction again, which is for the outermost call to do.
 */
async function runInside<R>(tx: TransactionSession, body: Body<R>, call: TransactionCall): Promise<R> {
  call.deadline.signal?.throwIfAborted()
  if (call.isolationLevel !== undefined) await checkIsolation(tx, call.isolationLevel)
  return inNestedBody(tx, call.deadline, async (inner) => {
    // It lasts until the savepoint is released.
    if (call.readOnly) await inner.rows({ text: `SELECT set_config('transaction_read_only', 'on', true)`, values: [] })
    return untilOver(call.deadline.signal, (end) => inner.keepingCalls(() => body(inner, contextOf(1, end))))
  })
}

const STRENGTHS: Readonly<Record<string, number>> = {
  readuncommitted: 0,
  readcommitted: 0, // to PostgreSQL the two are one
  repeatableread: 1,
  serializable: 2,
}

async function checkIsolation(tx: TransactionSession, wanted: IsolationLevel): Promise<void> {
  const text = `SELECT current_setting('transaction_isolation') AS level`
  const { level: current } = await rowOf<{ level: string }>(tx, { text, values: [] })
  const strength = (level: string) => STRENGTHS[level.toLowerCase().replaceAll(' ', '')] ?? 0
  if (strength(current) >= strength(wanted)) return
  throw new InvalidArgumentError(
    'isolationLevel',
    `is ${wanted}, but the transaction around this call runs at ${current}. Give it to the outermost transaction.`,
  )
}
