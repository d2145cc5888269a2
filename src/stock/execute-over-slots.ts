import type { Session } from '../engine/session.js'
import { WriteSuppressedError } from '../errors/index.js'
import { timed } from '../events/call-events.js'
import { Decider } from './decider.js'
import { loadSnapshot } from './load-snapshot.js'
import type { StockMap } from './mapping.js'
import type { OwnSlots } from './own-slots.js'
import type { Decision, Request } from './request.js'
import { balanceOf, lockSlots, type Slot, sumOf, writeSlots } from './slot-rows.js'
import { writeLocked } from './write.js'

/** How often a transaction id is looked up again that somebody else took in the meantime. */
const LOOKS = 3

interface Over {
  readonly own: OwnSlots
  readonly lockTimeout?: number | undefined
  /** In no transaction of a caller's. */
  readonly isAlone?: boolean
}

/**
 * Settles one request with all slots of its items locked, by what they have together. From the lock to the commit nobody
 * else changes these items, so a refusal is exact. The movement is of the own slot. If that has too little, units of the
 * others are shifted there first, which is no movement: the sum of the item stays.
 *
 * A movement under the same id may be recorded meanwhile by a process with another slot, as long as the locks are not there:
 * the unique key of the movements finds it, and then it is looked up once more.
 */
export async function executeOverSlots(
  tx: Session,
  map: StockMap,
  given: Request,
  { own, lockTimeout, isAlone = false }: Over,
): Promise<Decision> {
  await map.keys.check(tx)
  await map.quantities.prepare(tx)
  const items = given.lines.map(({ item }) => item)
  const slots = await timed(given.deadline.events, 'row', () => lockSlots(tx, map, items, { lockTimeout }))
  for (const item of items) own.learn(item, slots.get(item.id)?.length ?? 0)
  const all = (id: string) => slots.get(id) ?? []
  const ownSlot = (id: string) => all(id)[own.of(all(id).length)]
  const request = requestOfRows(given, ownSlot)
  const balances = new Map(Array.from(slots, ([id, each]) => [id, balanceOf(map, sumOf(each), ownSlot(id)?.sequence)]))
  for (let look = 1; look <= LOOKS; look++) {
    const snapshot = await loadSnapshot(tx, map, [request], { state: { balances, now: new Date(0) } })
    const decider = new Decider(map, snapshot)
    const decision = decider.decide(request)
    const set = decider.writeSet([])
    const shifts = set.items.map(({ item, known, next }) => ({
      item,
      slots: shift(all(item.id), ownSlot(item.id), next.onHand - known.onHand),
    }))
    const shifted = shifts.flatMap((each) => each.slots)
    await writeSlots(tx, map, shifted)
    const elsewhere = (id: string) => sumOf(all(id)) - (ownSlot(id)?.onHand ?? 0n)
    // They were decided by what all slots have; in the history each has the balance of its own.
    const movements = set.movements.map((entry) => ({ ...entry, balance: entry.balance - elsewhere(entry.item.id) }))
    const written = await writeLocked(tx, map, { ...set, movements })
    // The database suppresses an UPDATE. An error has undone the statement, so the transaction cannot go on.
    if (written === 'undone') throw new WriteSuppressedError(map.item.model.name, {})
    if (written === 'written' && decision) {
      const borrowers = shifts.filter((each) => isAlone && each.slots.length > 0).map(({ item: { id } }) => id)
      for (const item of items) if (borrowers.includes(item.id)) own.borrowed(item)
      for (const { item, known, next } of set.items) add(ownSlot(item.id), next.onHand - known.onHand)
      return withOwnBalances(decision, (id) => ownSlot(id)?.onHand ?? 0n)
    }
    // The id is taken by a transaction that has been committed by now: it is in the next look's snapshot.
  }
  throw new WriteSuppressedError(map.movement.model.name, { transactionId: given.transactionId })
}

/** The request, with its items as rows. Nothing of an item with slots is deferred, so a count folds nothing. */
function requestOfRows({ folds: _, ...given }: Request, ownSlot: (id: string) => Slot | undefined): Request {
  const lines = given.lines.map((line) => ({ ...line, item: ownSlot(line.item.id)?.row ?? line.item }))
  return { ...given, lines }
}

/**
 * Makes the own slot have enough for a change, which takes from it. Each slot then has an even share of what will be left,
 * if that is enough for another call like this one; else the own slot has all of it. Returns the slots that are changed.
 */
function shift(all: readonly Slot[], own: Slot | undefined, change: bigint): readonly Slot[] {
  if (own === undefined || change >= 0n || own.onHand + change >= 0n) return []
  const left = sumOf(all) + change
  const even = left / BigInt(all.length)
  const share = even < -change ? 0n : even
  const others = share * BigInt(all.length - 1)
  return all.filter((slot) => {
    const before = slot.onHand
    slot.onHand = slot === own ? left - others - change : share
    return slot.onHand !== before
  })
}

function add(slot: Slot | undefined, change: bigint): void {
  if (slot) slot.onHand += change
}

/** The balance of a line is that of the slot, as where no other slot was looked at. */
function withOwnBalances(decision: Decision, balanceOf: (id: string) => bigint): Decision {
  if (decision.status === 'refused') return decision
  return { ...decision, lines: decision.lines.map((line) => ({ ...line, balance: balanceOf(line.item.id) })) }
}
