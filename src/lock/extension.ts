import { Prisma } from '@prisma/client/extension'
import type { PrismaClientLike } from '../prisma/client.js'
import type { TransactionClient } from '../prisma/types.js'
import type { LockKeys } from './key.js'
import type {
  AdvisoryXactLockOptions,
  LockMethods,
  TryAdvisoryXactLockOptions,
  WithAdvisoryLockOptions,
} from './methods.js'

/** The methods of the client, with the types that users see. */
export function lockClientMethods(locks: LockMethods) {
  return {
    /**
     * Runs the body in a READ COMMITTED transaction that holds an advisory lock. The database
     * itself releases it with the transaction, also when this process dies.
     *
     * Callers of this process queue before they take a connection. The body's signal is aborted
     * when the transaction ends or `bodyTimeout` has passed; from that moment the lock is gone.
     * What the body does outside the transaction, the lock does not protect.
     *
     * @throws LockTimeoutError if the lock is not free within `timeout`
     * @throws DeadlineExceededError if the body takes longer than `bodyTimeout`; nothing is written
     *
     * @example
     * await db.$withAdvisoryLock(['stock', sku], async (tx) => { … }, { timeout: 2_000 })
     * @example
     * await db.$withAdvisoryLock({ keys: [['stock', a], ['stock', b]] }, async (tx) => { … })
     *
     * Source: PostgreSQL manual, "13.3.5. Advisory Locks".
     */
    $withAdvisoryLock<T extends object, R>(
      this: T,
      keys: LockKeys,
      body: (tx: TransactionClient<T>, signal: AbortSignal) => Promise<R>,
      options?: WithAdvisoryLockOptions,
    ): Promise<R> {
      const context = Prisma.getExtensionContext(this) as unknown as PrismaClientLike
      return locks.hold(context, keys, body as never, options)
    },

    /**
     * Takes an advisory lock in the transaction that you have, until it ends.
     *
     * @throws TransactionRequiredError outside a transaction
     * @throws LockTimeoutError if it is not free in time; the transaction stays usable
     * @throws InvalidArgumentError at REPEATABLE READ and above, unless `snapshot: 'accept'`
     *
     * @example
     * await tx.$advisoryXactLock(['serial', productId])
     */
    $advisoryXactLock(keys: LockKeys, options?: AdvisoryXactLockOptions): Promise<void> {
      return locks.take(Prisma.getExtensionContext(this) as unknown as PrismaClientLike, keys, options)
    },

    /**
     * Takes an advisory lock in the transaction that you have, if it is free now.
     *
     * @returns whether it was taken
     * @throws TransactionRequiredError outside a transaction
     *
     * @example
     * if (!(await tx.$tryAdvisoryXactLock(['report', day]))) return
     */
    $tryAdvisoryXactLock(keys: LockKeys, options?: TryAdvisoryXactLockOptions): Promise<boolean> {
      return locks.tryTake(Prisma.getExtensionContext(this) as unknown as PrismaClientLike, keys, options)
    },
  }
}
