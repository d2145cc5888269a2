import type { DataModel } from '../engine/data-model.js'
import { TransactionRequiredError } from '../errors/index.js'
import { type Events, observed } from '../events/events.js'
import { sessionOf } from '../prisma/client-session.js'
import { clientContext, type Implementation, modelContext } from '../prisma/extension.js'
import { lazyPromise } from '../prisma/lazy-promise.js'
import type { RecordsOf } from '../prisma/records.js'
import type { TransactionClient } from '../prisma/types.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import type { Catalogue } from '../sql/catalogue.js'
import { argumentsOf } from '../values/snapshot.js'
import type { LockKeys } from './key.js'
import type {
  AdvisoryXactLockOptions,
  LockMethods,
  LockToken,
  TryAdvisoryXactLockOptions,
  WithAdvisoryLockOptions,
} from './methods.js'
import type { RowLockModelMethods } from './types.js'

/** Has what the `tx` of a transaction has not: the transaction of a lock with a token begins with it. */
export type LockClient<Token extends boolean> = Token extends true ? { $connect(): Promise<void> } : unknown

/** The type of `$withAdvisoryLock`. */
export type WithAdvisoryLock = <T extends object, R, Token extends boolean = false>(
  this: T & LockClient<Token>,
  keys: LockKeys,
  body: (tx: TransactionClient<T>, signal: AbortSignal, ...token: LockToken<Token>) => Promise<R>,
  options?: WithAdvisoryLockOptions<Token>,
) => Promise<R>

/** The type of `$advisoryXactLock`. */
export type AdvisoryXactLock = (keys: LockKeys, options?: AdvisoryXactLockOptions) => Promise<void>

/** The type of `$tryAdvisoryXactLock`. */
export type TryAdvisoryXactLock = (keys: LockKeys, options?: TryAdvisoryXactLockOptions) => Promise<boolean>

/** The methods of advisory locks that the client has. */
export interface LockClientMethods {
  /**
   * Runs the body in a READ COMMITTED transaction that holds an advisory lock. The database
   * itself releases it with the transaction, also when this process dies.
   *
   * Callers of this process queue before they take a connection. The body's signal is aborted
   * when the transaction ends or `bodyTimeout` has passed; from that moment the lock is gone.
   * The lock does not protect the body's work outside the transaction: for storage that can refuse an
   * old one, `token: true` hands the body a token, which grows with every holder.
   *
   * @throws LockTimeoutError if the lock is not free within `timeout`
   * @throws DeadlineExceededError if the body takes longer than `bodyTimeout`; nothing is written
   * @throws ConfigurationError if there can be no token on this database, for this role, or with another extension
   *
   * @example
   * await db.$withAdvisoryLock(['stock', sku], (tx) => tx.note.create({ data: { text: sku } }), { timeout: 2_000 })
   * @example
   * await db.$withAdvisoryLock({ keys: [['stock', a], ['stock', b]] }, (tx) => tx.note.count())
   * @example
   * await db.$withAdvisoryLock('prices', async (tx, signal, token) => token, { token: true })
   *
   * Source: PostgreSQL manual, "13.3.5. Advisory Locks".
   */
  $withAdvisoryLock: WithAdvisoryLock

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
  $advisoryXactLock: AdvisoryXactLock

  /**
   * Takes an advisory lock in the transaction that you have, if it is free now.
   *
   * @returns whether it was taken
   * @throws TransactionRequiredError outside a transaction
   *
   * @example
   * if (!(await tx.$tryAdvisoryXactLock(['report', day]))) return
   */
  $tryAdvisoryXactLock: TryAdvisoryXactLock
}

/** The methods as they are run. */
export function lockClientMethods(locks: LockMethods): Implementation<LockClientMethods> {
  return {
    $withAdvisoryLock(keys, body, options) {
      return locks.hold(sessionOf(clientContext(this)), keys, body, options)
    },
    $advisoryXactLock(keys, options) {
      return locks.take(sessionOf(clientContext(this)), keys, options)
    },
    $tryAdvisoryXactLock(keys, options) {
      return locks.tryTake(sessionOf(clientContext(this)), keys, options)
    },
  }
}

interface RowLockSetup {
  readonly catalogue: Catalogue
  readonly dataModel: DataModel
  readonly policy: ResolvedPolicy
  readonly events: Events | undefined
}

/** The same of row locks. Their file is loaded by the first call of the process: most programs have none. */
export function rowLockModelMethods(setup: RowLockSetup, recordsOf: RecordsOf): Implementation<RowLockModelMethods> {
  const { events, ...parts } = setup
  const call = (called: object, method: string, args: unknown, isUnique: boolean) => {
    const context = modelContext(called)
    const read = () => argumentsOf(args)
    return lazyPromise(method, read, (given) =>
      observed(events, method, context.$name, async (events) => {
        const transaction = recordsOf(context)
        if (!transaction.inTransaction) throw new TransactionRequiredError(method)
        const { findForUpdate } = await import('./row-locks.js')
        const rows = await findForUpdate(parts, transaction, { given, isUnique, events })
        return isUnique ? (rows[0] ?? null) : rows
      }),
    )
  }
  return {
    findUniqueForUpdate(args) {
      return call(this, 'findUniqueForUpdate', args, true)
    },
    findManyForUpdate(args) {
      return call(this, 'findManyForUpdate', args, false)
    },
  }
}
