import { sqlState } from '../engine/error-facts.js'
import type { TransactionSession } from '../engine/session.js'
import { TransactionAbortedError, TransactionScopeError } from '../errors/index.js'
import type { Deadline } from '../sync/deadline.js'
import { Semaphore } from '../sync/semaphore.js'

/** A statement of the transaction has failed, and PostgreSQL takes no other. */
const ABORTED = '25P02'

export type Body<R> = (tx: TransactionSession) => Promise<R>

/** A nested body, asked for or open. */
interface Nested {
  readonly isOurs: boolean
  /** It waits for a call of this package, whose further statements come as plain calls. */
  isWaiting: boolean
  /** It was sent to Prisma. */
  isSent: boolean
  scope: TransactionScope | undefined
  /** Resolves when its body has begun, or will not. */
  begun?: Promise<unknown>
  /** Resolves when its savepoint is closed. */
  closed?: Promise<unknown>
}

/**
 * The calls on one client of a transaction: the `tx` of a body, or the client that a nested body
 * was given. A transaction has one connection, so two calls at once can mix their statements.
 *
 * - Calls of this package take turns. A turn covers statements, never code of the user's: a body or
 *   a data function may call its own `tx`, and would wait for itself.
 * - A savepoint of ours undoes everything that runs beside it. So it is opened when no plain call is under
 *   way, and plain calls wait until it is closed.
 * - A nested body is code of the user's. While it is asked for or open, calls on the outer client
 *   are refused: they would be undone with it, or wait for each other.
 * - When a body ends, nothing more may begin, and calls under way come to their end before Prisma
 *   sends COMMIT or ROLLBACK. Prisma counts its savepoints at that moment, and one that opens later
 *   would take the ROLLBACK for itself, so that the whole transaction is committed.
 */
export class TransactionScope {
  readonly #turns = new Semaphore(1)
  readonly #plainCalls = new Set<Promise<unknown>>()
  /** Closed savepoints of ours let plain calls go on. */
  #savepoint: Promise<void> | undefined
  #nested: Nested | undefined
  #isOver = false
  /** The body, which may still have calls under way. */
  #hasReturned = false
  /** The functions of `$afterCommit`, in their order: of this body, and of nested ones that have ended well. */
  readonly effects: (() => unknown)[] = []
  /** Sees the COMMIT of its transaction, and runs these then: a call of this package, or a plain `$transaction`. */
  commitSeenBy: 'a call' | '$transaction' | undefined
  /** The first that may have ended the transaction. */
  #failure: { readonly error: unknown } | undefined

  /** A call of this package: its statements, one after the other. */
  async turn<R>(deadline: Deadline, run: () => Promise<R>): Promise<R> {
    this.check()
    deadline.signal?.throwIfAborted()
    const leave = await this.#turns.acquire(deadline, 'other calls in this transaction')
    try {
      if (this.#isOver) throw new TransactionScopeError('over')
      return await run()
    } catch (error) {
      const reason = this.#reasonOf(error)
      this.#failure ??= { error } // also an error of ours may come from one of the database
      throw reason
    } finally {
      leave()
    }
  }

  /** In a turn: statements of ours under a savepoint, with nobody beside them. */
  async savepoint<R>(deadline: Deadline, open: () => Promise<R>): Promise<R> {
    let close = () => {}
    this.#savepoint = new Promise((resolve) => {
      close = resolve
    })
    try {
      await deadline.race(settled(this.#plainCalls), 'a call of Prisma in this transaction')
      return await open()
    } finally {
      this.#savepoint = undefined
      close()
    }
  }

  /** A nested body of the user's. Calls that were made before it come to their end first. */
  async nest<R>(run: (enter: (inner: TransactionScope) => void) => Promise<R>, deadline?: Deadline): Promise<R> {
    this.check()
    const isOurs = deadline !== undefined
    const nested: Nested = { isOurs, isWaiting: !this.#turns.isIdle, isSent: false, scope: undefined }
    this.#nested = nested
    try {
      const leave = await this.#turns.acquire(deadline, 'other calls in this transaction')
      nested.isWaiting = false
      leave() // the flag keeps others out, and a turn covers no code of the user's
      if (deadline) await deadline.race(settled(this.#plainCalls), 'a call of Prisma in this transaction')
      if (this.#isOver) throw new TransactionScopeError('over')
      const result = await this.#send(nested, run)
      if (nested.scope) this.effects.push(...nested.scope.effects)
      return result
    } catch (error) {
      throw isOurs && nested.scope === undefined ? this.#reasonOf(error) : error // else it is the body's
    } finally {
      this.#nested = undefined
    }
  }

  #send<R>(nested: Nested, run: (enter: (inner: TransactionScope) => void) => Promise<R>): Promise<R> {
    nested.isSent = true
    let begin = () => {}
    const begun = new Promise<void>((resolve) => {
      begin = resolve
    })
    const sent = (async () =>
      run((inner) => {
        nested.scope = inner
        inner.commitSeenBy = this.commitSeenBy
        if (this.#isOver) inner.end()
        begin()
      }))()
    nested.closed = Promise.allSettled([sent])
    nested.begun = Promise.race([begun, nested.closed])
    return sent
  }

  /** Whether a nested body is on its way down the client's layers, and has not begun. */
  get isNesting(): boolean {
    return this.#nested?.isSent === true && this.#nested.scope === undefined
  }

  /** A call of the user's own on this client. */
  async plain<R>(query: () => PromiseLike<R>): Promise<R> {
    while (this.#savepoint) await this.#savepoint
    if (this.#isOver) throw new TransactionScopeError('over')
    if (this.#nested?.isOurs && !this.#nested.isWaiting) throw new TransactionScopeError('nested')
    const call = Promise.resolve(query())
    this.#plainCalls.add(call)
    try {
      return await call
    } catch (error) {
      if (sqlState(error) !== undefined) this.#failure ??= { error }
      throw error
    } finally {
      this.#plainCalls.delete(call)
    }
  }

  /** Runs the body whose client this is. Calls under way at its end come to their end, too. */
  async run<R>(tx: TransactionSession, body: Body<R>): Promise<R> {
    let result: R
    try {
      if (this.#isOver) throw new TransactionScopeError('over') // the body around it has ended before this one began
      try {
        result = await body(tx)
      } finally {
        this.#hasReturned = true
      }
      // Nothing may come between the last look and the end: a call that fails there would undo it all unseen.
      while (!this.#isOver && (this.#isBusy() || this.#failure)) await this.#settle(tx)
      // Prisma would COMMIT the savepoint instead of the transaction.
      if (this.#nested?.isSent) throw new TransactionScopeError('unfinished')
    } catch (error) {
      this.end()
      await this.quiet()
      throw error
    }
    if (this.#isOver) throw new TransactionScopeError('over') // the body around it has ended meanwhile
    this.end()
    return result
  }

  /** Calls that nobody waited for belong to the transaction all the same, and so do those that they lead to. */
  async #settle(tx: TransactionSession): Promise<void> {
    await this.quiet()
    const failure = this.#failure
    this.#failure = undefined
    if (failure) await checkAlive(tx, failure.error)
  }

  #isBusy(): boolean {
    return !this.#turns.isIdle || this.#plainCalls.size > 0
  }

  /** Waits for the statements that are under way, here and in nested bodies. */
  async quiet(): Promise<void> {
    const leave = await this.#turns.acquire()
    leave()
    await settled(this.#plainCalls)
    if (this.#isOver && this.#nested) await quietOf(this.#nested)
  }

  get hasReturned(): boolean {
    return this.#hasReturned
  }

  end(): void {
    this.#isOver = true
    this.#nested?.scope?.end()
  }

  /** That the transaction has ended says less than what has ended it. */
  #reasonOf(error: unknown): unknown {
    if (sqlState(error) !== ABORTED) return error
    return new TransactionAbortedError({ cause: this.#failure?.error ?? error })
  }

  /** @throws TransactionScopeError if nothing may begin here now */
  check(): void {
    if (this.#isOver) throw new TransactionScopeError('over')
    if (this.#nested) throw new TransactionScopeError('nested')
  }
}

/**
 * Prisma opens and closes a savepoint with statements between which it counts. A ROLLBACK that came in between would
 * be that of the savepoint, and what the nested body then returns would be committed. A body that still runs is
 * not waited for: the end of its own body is refused, so that a second ROLLBACK follows.
 */
async function quietOf(nested: Nested): Promise<void> {
  await nested.begun
  await nested.scope?.quiet()
  if (nested.scope?.hasReturned) await nested.closed
}

async function settled(calls: ReadonlySet<Promise<unknown>>): Promise<void> {
  while (calls.size > 0) await Promise.allSettled(calls)
}

/**
 * A database error ends a transaction also if the body has caught it, and COMMIT then rolls back
 * without a word. So it is asked, where there was one.
 */
async function checkAlive(tx: TransactionSession, error: unknown): Promise<void> {
  try {
    await tx.rows({ text: 'SELECT 1', values: [] })
  } catch (failure) {
    throw sqlState(failure) === ABORTED ? new TransactionAbortedError({ cause: error }) : failure
  }
}
