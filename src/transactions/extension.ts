import { TransactionRequiredError } from '../errors/transactions.js'
import type { Events } from '../events/events.js'
import { isTransactionClient, type ModelContext, modelOf, type PrismaClientLike } from '../prisma/client.js'
import { sessionOf, transactionSession } from '../prisma/client-session.js'
import { clientContext, type Implementation } from '../prisma/extension.js'
import { foreignTransactions } from '../prisma/foreign.js'
import { withHook } from '../prisma/hooked.js'
import { isPassed, passing } from '../prisma/passing.js'
import type { TransactionClient } from '../prisma/types.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import { addEffect, runningEffects } from './effects.js'
import type { TakenFence } from './fence.js'
import type { FencedCall } from './fenced.js'
import type { TransactionWithRetryOptions, transactionMethod } from './method.js'
import { inPlainNestedBody, isNesting, sendPlain, watchedBody } from './serialize.js'
import type { RetryingTransactions, TransactionContext } from './with-retry.js'

/** The type of `$transactionWithRetry`. */
export type TransactionWithRetry = <T extends object, R>(
  this: T,
  body: (tx: TransactionClient<T>, context: TransactionContext) => Promise<R>,
  options?: TransactionWithRetryOptions,
) => Promise<R>

/** The type of `$afterCommit`. Only the `tx` of a transaction has it: a client can connect. */
export type AfterCommit = (
  this: { readonly $transactionWithRetry: unknown; readonly $connect?: never },
  fn: () => unknown,
) => void

/** The methods of transactions that the client has. */
export interface TransactionClientMethods {
  /**
   * An interactive transaction that runs again, from the start and on a fresh snapshot, after
   * a version conflict, a serialization failure (40001) or a deadlock (40P01), and that finds
   * out its outcome if the answer to COMMIT is lost.
   *
   * After a deadlock, or a second conflict, its runs take turns with those of other calls that have had conflicts,
   * in all processes. While deadlocks are expected, a run that waits long for a lock gives way: it is
   * rolled back, and runs again.
   *
   * The body may run several times: work outside the database, such as sending a mail
   * or charging a card, belongs after the commit. Inside a transaction it runs once, in a
   * savepoint, and conflicts go up to the outermost transaction.
   *
   * @throws OutcomeUnknownError if the connection was lost at COMMIT and the server can no
   *   longer tell what became of the transaction
   *
   * @example
   * const order = await db.$transactionWithRetry(async (tx) => {
   *   await tx.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock - 1 }) })
   *   return tx.order.create({ data: { customer: 'Vinet' } })
   * })
   * await sendMail(order)
   *
   * Source: PostgreSQL manual, "13.5. Serialization Failure Handling".
   */
  $transactionWithRetry: TransactionWithRetry

  /**
   * Runs the function in this process once the transaction of this `tx` is committed: for a mail, a message, a cache.
   * Functions run in their order, one after the other, and the call that opened the transaction waits for them. They
   * never run after a rollback, be it of the nested transaction that they were given in, or of an attempt that is
   * followed by another. Where the answer to COMMIT is lost, they run if the call has found out that it was carried out.
   *
   * An error of the function does not fail the call, which is committed: it is told as the event
   * `after-commit-failed`, or, without a listener, by `process.emitWarning`. A process that ends between the commit and
   * the function loses it: a message that must not be lost goes into the outbox.
   *
   * @throws TransactionScopeError if the body of this `tx` is over, or a nested one is open on it
   * @throws TransactionRequiredError outside a transaction, and where another extension has opened it, so that its COMMIT
   *   is not seen
   *
   * @example
   * await db.$transactionWithRetry(async (tx) => {
   *   const order = await tx.order.create({ data: { customer: 'Vinet' } })
   *   tx.$afterCommit(() => sendMail(order))
   * })
   */
  $afterCommit: AfterCommit
}

/** The method as it is run. */
export function transactionClientMethods(
  transactionWithRetry: ReturnType<typeof transactionMethod>,
): Implementation<Omit<TransactionClientMethods, '$afterCommit'>> {
  return {
    $transactionWithRetry(body, options) {
      return transactionWithRetry(sessionOf(clientContext(this)), body, options)
    },
  }
}

/** `$afterCommit`, which answers at once. To the types it is a method of its interface. */
export function afterCommitMethod(): Record<never, never> {
  return {
    $afterCommit(this: object, run: unknown): void {
      const session = sessionOf(clientContext(this))
      if (!session.inTransaction) {
        throw new TransactionRequiredError('$afterCommit', 'where nothing is committed', 'call the function yourself')
      }
      addEffect(session, run)
    },
  }
}

/** Runs a call of a model that brings a fence: on the same model of a transaction. */
export type FencedCalls = <R>(
  context: ModelContext,
  taken: TakenFence,
  send: (model: ModelContext) => Promise<R>,
) => Promise<R>

export function fencedCalls(transactions: RetryingTransactions, policy: ResolvedPolicy): FencedCalls {
  const others = { isolationLevel: undefined, maxWait: undefined, timeout: undefined, readOnly: false }
  return async ({ $parent, $name }, taken, send) => {
    const session = sessionOf($parent)
    const { fenced } = await import('./fenced.js')
    const open: FencedCall['open'] = (body, patience) => transactions.run(session, body, { ...patience, ...others })
    return fenced({ session, taken, policy, open }, (tx) => send(modelOf(clientContext(tx.client), $name)))
  }
}

type Transaction = (this: PrismaClientLike, input: unknown, options?: object) => Promise<unknown>
type UserBody = (tx: object) => Promise<unknown>

/**
 * The client's `$transaction`, which watches over the body. Calls of Prisma's own on its `tx` keep out of the
 * way of savepoints and of deadlocks, by a hook: it costs a sixth of a read, so the client itself has none.
 * To the types it is Prisma's.
 */
export function watchedTransaction(parent: PrismaClientLike, events: Events | undefined): Record<never, never> {
  const hooked = withHook(parent, sendPlain)
  const below = (parent as unknown as { readonly $transaction: Transaction }).$transaction
  return {
    $transaction(this: PrismaClientLike, input: unknown, options?: object) {
      if (typeof input !== 'function' || isPassed(options)) return below.call(this, input, options)
      const body = input as UserBody
      if (!isTransactionClient(this)) {
        return runningEffects(events, (opened) => {
          const watched = (tx: PrismaClientLike) => {
            const session = transactionSession(tx)
            opened(session)
            return watchedBody(session, () => body(tx))
          }
          return below.call(hooked(this), watched, passing(options))
        })
      }
      const session = transactionSession(this)
      // A layer of others has put other options in the place of ours, and perhaps another body around it.
      if (isNesting(session) && foreignTransactions(this)) return below.call(this, input, options)
      return inPlainNestedBody(session, (run) => {
        const watched = (tx: PrismaClientLike) => run(transactionSession(tx), () => body(tx))
        return below.call(this, watched, passing(options))
      })
    },
  }
}
