import type { Session, TransactionSession } from '../engine/session.js'
import { isConcurrencyError } from '../errors/index.js'
import type { Patience } from '../retry/call-options.js'
import { readAgain } from '../retry/read-again.js'
import type { RetryingRoot } from '../transactions/method.js'
import { ownStatements } from '../transactions/own-statements.js'
import { inSavepoint } from '../transactions/serialize.js'
import type { Executor } from './call.js'
import { Decider } from './decider.js'
import { executeInTransaction } from './execute-in-transaction.js'
import { executeOverSlots } from './execute-over-slots.js'
import type { Item } from './item.js'
import type { StockMap } from './mapping.js'
import { type OwnRequest, OwnSlots } from './own-slots.js'
import type { Decision, Request } from './request.js'
import { setSlots } from './set-slots.js'
import { balanceOf, readSlots, rowsOf } from './slot-rows.js'

/**
 * How long a call outside a transaction of the caller's waits for a slot while it holds others, in ms: less than
 * `deadlock_timeout`. A caller's transaction may hold one, and want those; the call gives way to it, and tries again.
 */
const GIVES_WAY_AFTER = 500

/**
 * Settles requests where an item has several rows, its slots. A movement is tried on the own slot of this process first, as
 * if that were the item. If it cannot be made there, or for other requests, all slots of the items are locked: only so can
 * it be told that there is too little.
 */
export class SlotExecutor implements Executor {
  readonly root: RetryingRoot
  readonly maxWaiting: number
  readonly own: OwnSlots
  readonly #rows: StockMap

  constructor({ root, maxWaiting }: Executor, map: StockMap) {
    this.root = root
    this.maxWaiting = maxWaiting
    this.#rows = rowsOf(map)
    this.own = new OwnSlots(root, this.#rows, maxWaiting)
  }

  execute<R>(request: Request, answer: (decision: Decision) => R | PromiseLike<R>): Promise<R> {
    const overSlots = () => this.#alone(request, (tx) => this.#overSlots(tx, request, GIVES_WAY_AFTER))
    if (request.kind !== 'move') return overSlots().then(answer)
    const borrow = async () => answer((await readAgain(request, () => this.#tooLittle(request))) ?? (await overSlots()))
    // Callers that are answered together come back together, so no promise is put between: one of `borrow` is adopted.
    const run = (own: OwnRequest) =>
      own.executor.execute(own.request, (decision) => (isShort(decision) ? borrow() : answer(decision)))
    const own = this.own.request(this.root, request)
    return own instanceof Promise ? own.then(run) : run(own)
  }

  #alone<R>({ policy, deadline }: Patience, body: (tx: Session) => Promise<R>): Promise<R> {
    const call = { policy, deadline: deadline.withoutSignal(), waitedFor: 'the stock' }
    return ownStatements(this.root, call, body)
  }

  /** Resolves to the number of slots that it had. */
  async setSlots(tx: Session, item: Item, count: number, lockTimeout?: number): Promise<number> {
    const before = await setSlots(tx, this.#rows, item, { count, lockTimeout })
    this.own.learn(item, count)
    return before
  }

  setSlotsAlone(patience: Patience, item: Item, count: number): Promise<number> {
    return this.#alone(patience, (tx) => this.setSlots(tx, item, count, GIVES_WAY_AFTER))
  }

  #overSlots(tx: Session, request: Request, lockTimeout?: number): Promise<Decision> {
    return executeOverSlots(tx, this.#rows, request, { own: this.own, lockTimeout, isAlone: lockTimeout !== undefined })
  }

  /**
   * The refusal of a request, if the slots have too little together. No lock is needed: the statement sees all of them at
   * one moment, at which the request was not recorded, so that it is refused as of that moment.
   */
  async #tooLittle(request: Request): Promise<Decision | undefined> {
    const items = request.lines.map(({ item }) => item)
    const { slots, isRecorded } = await readSlots(this.root.until(request.deadline), this.#rows, items, request)
    for (const item of items) this.own.learn(item, slots.get(item.id)?.count ?? 0)
    if (isRecorded) return undefined
    const balances = new Map(Array.from(slots, ([id, { total }]) => [id, balanceOf(this.#rows, total)]))
    const none = { movements: new Map(), reservations: new Map(), expired: new Map(), differing: new Map() }
    const decision = new Decider(this.#rows, { ...none, balances, now: new Date(0) }).decide(request)
    return decision?.status === 'refused' ? decision : undefined
  }

  /**
   * In a transaction of the caller's. The own slot is tried in a savepoint, so that its lock is let go if it has too little:
   * two that hold their own slots, and wait for each other's, are a deadlock. A lock of a slot that an earlier call of this
   * transaction has written cannot be let go, so two transactions that take twice of an item can deadlock; the database
   * ends one of them, and `$transactionWithRetry` runs it again. A refusal leaves no lock.
   */
  async inTransaction(tx: TransactionSession, request: Request) {
    if (request.kind === 'move') {
      const own = await this.own.request(tx, request)
      const decision = await keptIfDone(tx, request, async (inner) => {
        const outcome = await executeInTransaction(inner, this.#rows, own.request)
        return outcome.decision
      })
      if (!isShort(decision)) return { decision }
    }
    return { decision: await keptIfDone(tx, request, (inner) => this.#overSlots(inner, request)) }
  }
}

/** Whether the slot has too little, or is not there any more: other slots may have it. */
function isShort(decision: Decision): boolean {
  if (decision.status === 'done') return false
  return (
    isConcurrencyError(decision.error, 'INSUFFICIENT_STOCK') || isConcurrencyError(decision.error, 'ITEM_NOT_FOUND')
  )
}

/** Runs statements in a savepoint, which is rolled back if the request is refused. */
async function keptIfDone(
  tx: TransactionSession,
  { deadline }: Request,
  decide: (inner: TransactionSession) => Promise<Decision>,
): Promise<Decision> {
  let refused: Decision | undefined
  try {
    return await inSavepoint(tx, deadline, async (inner) => {
      const decision = await decide(inner)
      if (decision.status === 'done') return decision
      refused = decision
      throw decision.error
    })
  } catch (error) {
    if (refused?.status === 'refused' && refused.error === error) return refused
    throw error
  }
}
