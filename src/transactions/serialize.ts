import { madeOnce } from '../engine/made-once.js'
import type { Bound, CallInTransaction, TransactionSession } from '../engine/session.js'
import type { Deadline } from '../sync/deadline.js'
import { boundOf, CLOSE_CONNECTION } from './bounds.js'
import { withinLimit } from './deadlocks.js'
import { type Body, TransactionScope } from './transaction-scope.js'

/** By what tells the body of a transaction from others: `TransactionSession.scope`. */
const scopes = new WeakMap<object, TransactionScope>()

export function scopeOf(tx: TransactionSession): TransactionScope {
  return madeOnce(scopes, tx.scope, () => new TransactionScope())
}

/** Notes who sees the COMMIT of the transaction of a body, and runs its functions of `$afterCommit` then. */
export function seenBy(tx: TransactionSession, by: 'a call' | '$transaction'): TransactionScope {
  const scope = scopeOf(tx)
  scope.commitSeenBy = by
  return scope
}

/** Calls under this mark are those of the body, too. */
export function shareScope(tx: TransactionSession, mark: object): void {
  scopes.set(mark, scopeOf(tx))
}

/**
 * Runs a call of this package on a `tx`, after those that were made before it.
 *
 * @throws TransactionScopeError if the transaction is over, or a nested body is open
 */
export async function serializeInTransaction<R>(
  tx: TransactionSession,
  deadline: Deadline,
  run: () => Promise<R>,
): Promise<R> {
  // Other extensions may take none of its statements out of the transaction.
  return scopeOf(tx).turn(deadline, async () => withinLimit(tx.id, () => tx.keepingCalls(run)))
}

/** In a turn: runs statements of ours under a savepoint. A failure in them leaves the transaction as it was. */
export function inSavepoint<R>(
  tx: TransactionSession,
  deadline: Deadline,
  body: Body<R>,
  bound: Bound = boundOf(deadline),
): Promise<R> {
  return scopeOf(tx).savepoint(deadline, () => tx.contained(body, bound))
}

/**
 * Runs a nested body under a savepoint, for a call of this package.
 *
 * @throws TransactionScopeError if the transaction is over, or another nested body is open
 */
export async function inNestedBody<R>(tx: TransactionSession, deadline: Deadline, body: Body<R>): Promise<R> {
  return scopeOf(tx).nest((enter) => tx.nested((inner) => watchedBody(inner, body, enter)), deadline)
}

/** The same for the user's own `$transaction` on a `tx`: `open` is what opens the savepoint. */
export async function inPlainNestedBody<R>(
  tx: TransactionSession,
  open: (watched: (inner: TransactionSession, body: Body<R>) => Promise<R>) => Promise<R>,
): Promise<R> {
  return scopeOf(tx).nest((enter) => open((inner, body) => watchedBody(inner, body, enter)))
}

/** Whether a nested body was asked for on the `tx`, and has not begun. */
export function isNesting(tx: TransactionSession): boolean {
  return scopeOf(tx).isNesting
}

/** Runs the body of a transaction: calls under way at its end come to their end first. */
export function watchedBody<R>(
  tx: TransactionSession,
  body: Body<R>,
  enter?: (scope: TransactionScope) => void,
): Promise<R> {
  const scope = scopeOf(tx)
  enter?.(scope)
  return scope.run(tx, body)
}

/** Ends the connection of a transaction, so that a call of several statements ends with the one that is running. */
export async function closeConnection(tx: TransactionSession): Promise<void> {
  await tx.rowsAtOnce(CLOSE_CONNECTION).catch(() => {})
}

/** Sends a call of the user's own on a `tx`: it keeps out of the way of savepoints and of deadlocks. */
export function sendPlain<R>({ id, scope, isWrite }: CallInTransaction, send: () => PromiseLike<R>): PromiseLike<R> {
  const own = scopes.get(scope)
  if (!own) return send()
  return own.plain(() => (isWrite ? withinLimit(id, send) : send()))
}
