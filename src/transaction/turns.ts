import { TransactionAbortedError, TransactionScopeError } from '../errors.js'
import {
  isTransactionClient,
  type PrismaClientLike,
  type TransactionOptions,
  transactionId,
  transactionOf,
} from '../prisma/client.js'
import { sqlState } from '../prisma/errors.js'
import type { Action } from '../prisma/foreign.js'
import { withHooks } from '../prisma/hooked.js'
import { type Bound, bind, relyingOn } from '../prisma/joined.js'
import type { CallersTransaction, RootScope, Scope } from '../prisma/scope.js'
import type { Deadline } from '../retry/deadline.js'
import { Limiter } from '../retry/limiter.js'
import { boundOf, withinDeadline } from './bounds.js'

type Body<R> = (tx: PrismaClientLike) => Promise<R>

/**
 * What runs on one client of a transaction: on the `tx` of a body, or on the client that a nested
 * body was given. A transaction has one connection, so two calls at once can mix their statements.
 *
 * - Calls of this package take turns. A turn covers statements, never code of the user's: a body or
 *   a data function may call its own `tx`, and would wait for itself.
 * - A savepoint of ours undoes whatever runs beside it. So it is opened when no plain call is under
 *   way, and plain calls wait until it is closed.
 * - A nested body is code of the user's. While it is asked for or open, calls on the outer client
 *   are refused: they would be undone with it, or wait for each other.
 * - When a body ends, nothing more may begin, and what is under way comes to its end before Prisma
 *   sends COMMIT or ROLLBACK. Prisma counts its savepoints at that moment, and one that opens later
 *   would take the ROLLBACK for itself, so that the whole transaction is committed.
 */
class TransactionScope {
  readonly #turns = new Limiter(1)
  readonly #plainCalls = new Set<Promise<unknown>>()
  /** Closed savepoints of ours let plain calls go on. */
  #savepoint: Promise<void> | undefined
  #nested: { isOurs: boolean; scope: TransactionScope | undefined } | undefined
  #isOver = false
  #isClosing = false
  #databaseError: unknown

  /** A call of this package: its statements, one after the other. */
  async turn<R>(deadline: Deadline, run: () => Promise<R>): Promise<R> {
    this.#check()
    deadline.signal?.throwIfAborted()
    const leave = await this.#turns.enter(deadline, 'other calls in this transaction')
    try {
      if (this.#isOver) throw new TransactionScopeError('over')
      return await run()
    } finally {
      leave()
    }
  }

  /** In a turn: statements of ours under a savepoint, with nobody beside them. */
  async savepoint<R>(tx: PrismaClientLike, deadline: Deadline, body: Body<R>): Promise<R> {
    let close = () => {}
    this.#savepoint = new Promise((resolve) => {
      close = resolve
    })
    try {
      await deadline.race(settled(this.#plainCalls), 'a call of Prisma in this transaction')
      return await tx.$transaction(body, passing())
    } finally {
      this.#savepoint = undefined
      close()
    }
  }

  /** A nested body of the user's. Calls that were made before it come to their end first. */
  async nest<R>(run: (enter: (inner: TransactionScope) => void) => Promise<R>, deadline?: Deadline): Promise<R> {
    this.#check()
    const isOurs = deadline !== undefined
    const nested: { isOurs: boolean; scope: TransactionScope | undefined } = { isOurs, scope: undefined }
    this.#nested = nested
    try {
      const leave = await this.#turns.enter(deadline, 'other calls in this transaction')
      leave() // the flag keeps others out, and a turn covers no code of the user's
      if (deadline) await deadline.race(settled(this.#plainCalls), 'a call of Prisma in this transaction')
      if (this.#isOver) throw new TransactionScopeError('over')
      return await run((inner) => {
        nested.scope = inner
      })
    } finally {
      this.#nested = undefined
    }
  }

  /** A call of Prisma's own on this client, as the query hook sees it. */
  async plain<R>(query: () => PromiseLike<R>): Promise<R> {
    if (this.#isClosing) return query()
    while (this.#savepoint) await this.#savepoint
    if (this.#isOver) throw new TransactionScopeError('over')
    if (this.#nested?.isOurs) throw new TransactionScopeError('nested')
    const call = Promise.resolve(query())
    this.#plainCalls.add(call)
    try {
      return await call
    } catch (error) {
      if (sqlState(error) !== undefined) this.#databaseError ??= error
      throw error
    } finally {
      this.#plainCalls.delete(call)
    }
  }

  /** Lets a call through that ends the connection, whatever is open on it. */
  async close(query: () => Promise<unknown>): Promise<void> {
    this.#isClosing = true
    try {
      await query()
    } finally {
      this.#isClosing = false
    }
  }

  /** Runs the body whose client this is. What is under way at its end comes to its end, too. */
  async run<R>(tx: PrismaClientLike, body: Body<R>): Promise<R> {
    let result: R
    try {
      result = await body(tx)
      await this.#finish()
      if (this.#databaseError !== undefined) await checkAlive(tx, this.#databaseError)
      await this.#finish()
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
  async #finish(): Promise<void> {
    while (!this.#isOver && this.#isBusy()) await this.quiet()
  }

  #isBusy(): boolean {
    return !this.#turns.isIdle || this.#plainCalls.size > 0
  }

  /** Waits for the statements that are under way, here and in nested bodies. */
  async quiet(): Promise<void> {
    const leave = await this.#turns.enter()
    leave()
    await settled(this.#plainCalls)
    if (this.#isOver) await this.#nested?.scope?.quiet()
  }

  end(): void {
    this.#isOver = true
    this.#nested?.scope?.end()
  }

  #check(): void {
    if (this.#isOver) throw new TransactionScopeError('over')
    if (this.#nested) throw new TransactionScopeError('nested')
  }
}

/** By the object with which Prisma marks the calls of one client of a transaction. */
const scopes = new WeakMap<object, TransactionScope>()

function scopeOf(tx: PrismaClientLike): TransactionScope {
  const transaction = transactionOf(tx)
  const known = scopes.get(transaction)
  if (known) return known
  const scope = new TransactionScope()
  scopes.set(transaction, scope)
  return scope
}

/**
 * Runs a call of this package on a `tx`, after those that were made before it.
 *
 * @throws TransactionScopeError if the transaction is over, or a nested body is open
 */
export async function inTurn<R>(tx: PrismaClientLike, deadline: Deadline, run: () => Promise<R>): Promise<R> {
  // Other extensions may take none of its statements out of the transaction.
  return scopeOf(tx).turn(deadline, () => relyingOn(transactionId(tx), run))
}

/** A transaction of the caller's, in which it is the turn of one of our calls. */
export interface TransactionInTurn extends CallersTransaction, Pick<Scope, 'contained'> {}

/**
 * Runs a call of this package, made of these calls of Prisma: in its turn, where it came on the `tx` of a
 * caller's transaction.
 */
export function serialized<R>(
  scope: RootScope | CallersTransaction,
  deadline: Deadline,
  calls: readonly Action[],
  run: (scope: RootScope | TransactionInTurn) => Promise<R>,
): Promise<R> {
  return scope.inTransaction ? inPatientTurn(scope, deadline, calls, run) : run(scope)
}

/**
 * The caller is told when the deadline has passed, but the turn is kept until the call has ended: a
 * statement of it that is still under way is one of the transaction, and COMMIT must not come between
 * it and the next one. What was sent on another client is none of them, and ends with its bound.
 */
export function inPatientTurn<R>(
  scope: CallersTransaction,
  deadline: Deadline,
  calls: readonly Action[],
  run: (scope: TransactionInTurn) => Promise<R>,
): Promise<R> {
  return withinDeadline(scope, deadline, calls, (bound) =>
    inTurn(scope.client, deadline, () => run(withSavepoints(scope, deadline, bound))),
  )
}

/** The transaction for the statements of a turn: with savepoints that keep the caller's own calls out. */
function withSavepoints(transaction: CallersTransaction, deadline: Deadline, bound: Bound): TransactionInTurn {
  const bounded = transaction.bounded(bound, (mark) => scopes.set(mark, scopeOf(transaction.client)))
  return {
    ...bounded,
    contained: (body) => inSavepoint(transaction.client, deadline, (inner) => body(transaction.under(inner)), bound),
  }
}

/** In a turn: runs statements of ours under a savepoint. What fails in them leaves the transaction as it was. */
export function inSavepoint<R>(
  tx: PrismaClientLike,
  deadline: Deadline,
  body: Body<R>,
  bound: Bound = boundOf(deadline),
): Promise<R> {
  const bounded: Body<R> = (inner) => {
    bind(transactionOf(inner), bound)
    return body(inner)
  }
  return scopeOf(tx).savepoint(tx, deadline, bounded)
}

/**
 * Runs a nested body of the user's under a savepoint.
 *
 * @throws TransactionScopeError if the transaction is over, or another nested body is open
 */
export async function inNestedBody<R>(tx: PrismaClientLike, deadline: Deadline, body: Body<R>): Promise<R> {
  return scopeOf(tx).nest((enter) => tx.$transaction(watched(body, enter), passing()), deadline)
}

/** Ends the connection of a transaction, so that a call of several statements ends with the one that is running. */
export async function closeConnection(tx: PrismaClientLike): Promise<void> {
  const terminate = () => tx.$queryRawUnsafe('SELECT pg_terminate_backend(pg_backend_pid())')
  await scopeOf(tx)
    .close(terminate)
    .catch(() => {}) // it cannot answer
}

/** A call of Prisma's own, with the object that marks it as one of a transaction. */
export function heldBack<R>(transaction: object | undefined, query: () => PromiseLike<R>): PromiseLike<R> {
  const scope = transaction && scopes.get(transaction)
  return scope ? scope.plain(query) : query()
}

type Transaction = (this: PrismaClientLike, input: unknown, options?: object) => Promise<unknown>

/** Options of calls that are watched already, or that run statements of ours alone: layers of others pass options on. */
const passed = new WeakSet<object>()

function passing(options: object = {}): TransactionOptions {
  const own = { ...options }
  passed.add(own)
  return own
}

/**
 * The client's `$transaction`, which watches over the body, and gives its `tx` the hooks. To the types
 * it is Prisma's.
 */
export function watchedTransaction(parent: PrismaClientLike, hooks: object): Record<never, never> {
  const hooked = withHooks(parent, hooks)
  const below = (parent as unknown as { readonly $transaction: Transaction }).$transaction
  return {
    $transaction(this: PrismaClientLike, input: unknown, options?: object) {
      if (typeof input !== 'function' || (options && passed.has(options))) return below.call(this, input, options)
      const body = input as Body<unknown>
      if (!isTransactionClient(this)) return below.call(hooked(this), watched(body), passing(options))
      return scopeOf(this).nest((enter) => below.call(this, watched(body, enter), passing(options)))
    },
  }
}

function watched<R>(body: Body<R>, enter?: (scope: TransactionScope) => void): Body<R> {
  return (tx) => {
    const scope = scopeOf(tx)
    enter?.(scope)
    return scope.run(tx, body)
  }
}

async function settled(calls: ReadonlySet<Promise<unknown>>): Promise<void> {
  while (calls.size > 0) await Promise.allSettled(calls)
}

/**
 * A database error ends a transaction also if the body has caught it, and COMMIT then rolls back
 * without a word. So it is asked, where there was one.
 */
async function checkAlive(tx: PrismaClientLike, error: unknown): Promise<void> {
  try {
    await tx.$queryRawUnsafe('SELECT 1')
  } catch (failure) {
    throw sqlState(failure) === '25P02' ? new TransactionAbortedError({ cause: error }) : failure
  }
}
