import { KeyedQueue } from '../lock/queue.js'
import { type PrismaClientLike, transactionId } from '../prisma/client.js'
import type { Deadline } from '../retry/deadline.js'

/** The calls of all ERP extensions, by Prisma's id of the transaction that they are in. */
const turns = new KeyedQueue()

/**
 * Runs calls in one and the same transaction one after the other, also those of stock, serials and
 * series among each other. They share its locks, so nothing but their order keeps them from the same
 * balance; and what runs beside a savepoint is undone with it, although it was told to be done.
 */
export async function inTurn<R>(tx: PrismaClientLike, deadline: Deadline, run: () => Promise<R>): Promise<R> {
  const leave = await turns.enter(transactionId(tx), deadline, 'other calls in this transaction')
  try {
    return await run()
  } finally {
    leave()
  }
}
