import { clientContext, type Implementation } from '../prisma/extension.js'
import type { TransactionClient } from '../prisma/types.js'
import type { TransactionWithRetryOptions, transactionMethod } from './method.js'
import type { TransactionContext } from './with-retry.js'

/** The type of `$transactionWithRetry`. */
export type TransactionWithRetry = <T extends object, R>(
  this: T,
  body: (tx: TransactionClient<T>, context: TransactionContext) => Promise<R>,
  options?: TransactionWithRetryOptions,
) => Promise<R>

/** The method of retried transactions that the client has. */
export interface TransactionClientMethods {
  /**
   * An interactive transaction that runs again, from the start and on a fresh snapshot, after
   * a version conflict, a serialization failure (40001) or a deadlock (40P01), and that finds
   * out what became of it if the answer to COMMIT is lost.
   *
   * After a deadlock, or a second conflict, its runs are in turn with those of others that have fought,
   * in all processes. While deadlocks are expected, a run that waits long for a lock gives way: it is
   * rolled back, and runs again.
   *
   * The body may run several times: what it does outside the database, such as sending a mail
   * or charging a card, belongs after the commit. Inside a transaction it runs once, in a
   * savepoint, and conflicts go up to the outermost transaction.
   *
   * @throws OutcomeUnknownError if the connection was lost at COMMIT and the server can no
   *   longer tell what became of the transaction
   *
   * @example
   * const order = await db.$transactionWithRetry(async (tx) => {
   *   await tx.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock - 1 }) })
   *   return tx.order.create({ data: { productId: id } })
   * })
   * await sendMail(order)
   *
   * Source: PostgreSQL manual, "13.5. Serialization Failure Handling".
   */
  $transactionWithRetry: TransactionWithRetry
}

/** The method as it is run. */
export function transactionClientMethods(
  transactionWithRetry: ReturnType<typeof transactionMethod>,
): Implementation<TransactionClientMethods> {
  return {
    $transactionWithRetry(body, options) {
      return transactionWithRetry(clientContext(this), body, options)
    },
  }
}
