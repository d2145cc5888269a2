import { ForeignExtensionError } from '../errors/foreign-extension.js'
import { isTransactionClient, type PrismaClientLike, transactionId, transactionOf } from '../prisma/client.js'
import { type Action, foreignTransactions } from '../prisma/foreign.js'
import { withHooks } from '../prisma/hooked.js'
import { type Bound, bind, isWrite, relyingOn } from '../prisma/joined.js'
import type { CallersTransaction, RootScope, Session } from '../prisma/session.js'
import type { Deadline } from '../sync/deadline.js'
import { boundOf, withinDeadline } from './bounds.js'
import { withinLimit } from './deadlocks.js'
import { type Body, isPassed, passing, TransactionScope } from './transaction-scope.js'

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
export async function serializeInTransaction<R>(
  tx: PrismaClientLike,
  deadline: Deadline,
  run: () => Promise<R>,
): Promise<R> {
  // Other extensions may take none of its statements out of the transaction.
  const id = transactionId(tx)
  return scopeOf(tx).turn(deadline, async () => withinLimit(id, () => relyingOn(id, run)))
}

/** A transaction of the caller's, in which it is the turn of one of our calls. */
export interface TransactionInTurn extends CallersTransaction, Pick<Session, 'contained'> {}

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
    serializeInTransaction(scope.client, deadline, () => run(withSavepoints(scope, deadline, bound))),
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
  const inside: Body<R> = (inner) => {
    if (transactionId(inner) === transactionId(tx)) return body(inner)
    throw new ForeignExtensionError('left the transaction', {
      extension: foreignTransactions(tx)?.name,
      model: undefined,
      operation: '$transaction',
    })
  }
  return scopeOf(tx).nest((enter) => tx.$transaction(watched(inside, enter), passing()), deadline)
}

/** Ends the connection of a transaction, so that a call of several statements ends with the one that is running. */
export async function closeConnection(tx: PrismaClientLike): Promise<void> {
  const terminate = () => tx.$queryRawUnsafe('SELECT pg_terminate_backend(pg_backend_pid())')
  await scopeOf(tx)
    .close(terminate)
    .catch(() => {}) // it cannot answer
}

/** A call of Prisma's own, as a query hook is told of it (read on 7.10). */
interface PlainCall {
  readonly operation: string
  readonly args: object
  readonly query: (args: object) => PromiseLike<unknown>
  readonly __internalParams: { readonly transaction?: { readonly id: string } | undefined }
}

/**
 * The hooks of a `tx`: calls of Prisma's own keep out of the way of savepoints and of deadlocks. A hook
 * costs a sixth of a read, so the client itself has none of these.
 */
const HOOKS = {
  $allOperations({ operation, args, query, __internalParams: { transaction } }: PlainCall) {
    const scope = transaction && scopes.get(transaction)
    if (!scope) return query(args)
    return scope.plain(() => (isWrite(operation) ? withinLimit(transaction.id, () => query(args)) : query(args)))
  },
}

type Transaction = (this: PrismaClientLike, input: unknown, options?: object) => Promise<unknown>

/**
 * The client's `$transaction`, which watches over the body, and gives its `tx` the hooks. To the types
 * it is Prisma's.
 */
export function watchedTransaction(parent: PrismaClientLike): Record<never, never> {
  const hooked = withHooks(parent, HOOKS)
  const below = (parent as unknown as { readonly $transaction: Transaction }).$transaction
  return {
    $transaction(this: PrismaClientLike, input: unknown, options?: object) {
      if (typeof input !== 'function' || isPassed(options)) return below.call(this, input, options)
      const body = input as Body<unknown>
      if (!isTransactionClient(this)) return below.call(hooked(this), watched(body), passing(options))
      const scope = scopeOf(this)
      // A layer of others has put other options in the place of ours, and perhaps another body around it.
      if (scope.isNesting && foreignTransactions(this)) return below.call(this, input, options)
      return scope.nest((enter) => below.call(this, watched(body, enter), passing(options)))
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
