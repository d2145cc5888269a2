import {
  IdempotencyMismatchError,
  InsufficientStockError,
  InvalidArgumentError,
  ItemNotFoundError,
  ReservationEndedError,
  type Shortage,
} from '../errors/index.js'
import type { Item } from './item.js'
import type { StockMap } from './mapping.js'
import { checkSame, checkUnreserved } from './one-meaning.js'
import { type Decision, type Done, type Line, nameOf, type Request } from './request.js'
import type {
  Balance,
  Ended,
  MovementEntry,
  RecordedMovement,
  RecordedReservation,
  ReservationEntry,
  ReservationState,
  Snapshot,
  WriteSet,
} from './snapshot.js'

export type * from './snapshot.js'

const UNDECIDED = new Error('Only the database can tell whether two data are the same.')

/** An item, as the requests so far have left it. */
interface ItemState {
  readonly known: Balance
  readonly next: { -readonly [K in keyof Balance]: Balance[K] }
  /** The item, once something of it is to be written. */
  changed: Item | undefined
}

/**
 * Decides requests one after the other, each against what those before it have left. A request that
 * is refused leaves no trace, so it takes nothing from those behind it.
 */
export class Decider {
  readonly #map: StockMap
  readonly #items = new Map<string, ItemState>()
  readonly #recorded: Map<string, RecordedMovement>
  readonly #reserved: Map<string, RecordedReservation>
  readonly #movements: MovementEntry[] = []
  readonly #reservations: ReservationEntry[] = []
  readonly #ended: Ended[] = []
  readonly #expired: ReadonlyMap<string, bigint>
  readonly #differing: ReadonlyMap<Request, readonly string[]>
  readonly #now: Date

  constructor(map: StockMap, { balances, movements, reservations, expired, differing, now }: Snapshot) {
    this.#map = map
    this.#differing = differing
    this.#now = now
    this.#recorded = new Map(movements)
    this.#reserved = new Map(reservations)
    this.#expired = expired
    for (const [id, known] of balances) {
      const next = { ...known, reserved: known.reserved - (expired.get(id) ?? 0n) }
      this.#items.set(id, { known, next, changed: undefined })
    }
  }

  /** `undefined` where only the database can tell whether it is the same as one before it that has its id. */
  decide(request: Request): Decision | undefined {
    try {
      return this.#decide(request)
    } catch (error) {
      return error === UNDECIDED ? undefined : { status: 'refused', error }
    }
  }

  /** The rows to be written. Items that only expired reservations have changed are among them. */
  writeSet(items: Iterable<Item>): WriteSet {
    for (const item of items) if (this.#expired.has(item.id)) this.#state(item).changed = item
    const changed = [...this.#items.values()].flatMap(({ changed: item, known, next }) =>
      item ? [{ item, known, next }] : [],
    )
    return { items: changed, movements: this.#movements, reservations: this.#reservations, ended: this.#ended }
  }

  #decide(request: Request): Decision {
    switch (request.kind) {
      case 'move':
        return this.#move(request)
      case 'count':
        return this.#count(request)
      case 'reserve':
        return this.#reserve(request)
      case 'release':
        return this.#release(request)
      case 'fulfil':
        return this.#fulfil(request)
    }
  }

  #move(request: Request): Decision {
    const { lines } = request
    const recorded = this.#sameMovement(request, lines)
    if (recorded?.isRefused) throw this.#insufficient(request, this.#shortages(request, lines, true), true)
    if (recorded) return this.#done(lines, true)
    this.#checkUnreserved(request)
    const shortages = this.#shortages(request, lines, false)
    if (shortages.length > 0) {
      if (this.#map.rememberRefusals) this.#record(request, lines, true)
      throw this.#insufficient(request, shortages, this.#map.rememberRefusals)
    }
    this.#record(request, lines, false)
    return this.#done(lines)
  }

  /** A stocktake is a fact: as much as was found is there, reserved or not. */
  #count(request: Request): Decision {
    const { lines } = request
    const recorded = this.#sameMovement(request, lines, 'item')
    if (recorded?.isRefused) throw this.#mismatch(request, 'quantity')
    if (recorded) {
      const counted = lines.map((line, i) => ({ ...line, quantity: recorded.lines[i]?.quantity ?? 0n }))
      return this.#done(counted, true)
    }
    this.#checkUnreserved(request)
    const differences = lines.map((line) => ({ ...line, quantity: line.quantity - this.#balance(line.item).onHand }))
    this.#record(request, differences, false)
    return this.#done(differences)
  }

  #reserve(request: Request): Decision {
    const { scope, transactionId, lines, expiresIn = 0 } = request
    const name = nameOf(request)
    const recorded = this.#reserved.get(name)
    if (recorded) {
      const differing = this.#differingFrom(recorded, request)
      checkSame({ model: this.#map.reservation?.model.name ?? '', transactionId, differing }, lines, recorded.lines)
      return { ...this.#done(lines, true), expiresAt: recorded.expiresAt, state: recorded.state }
    }
    if (this.#recorded.has(name)) throw this.#mismatch(request, 'reservation')
    const taken = lines.map(opposite)
    const shortages = this.#shortages(request, taken, false)
    if (shortages.length > 0) throw this.#insufficient(request, shortages)
    this.#checkRange(lines, 'reserved')
    const expiresAt = new Date(this.#now.getTime() + expiresIn)
    lines.forEach((entry, line) => {
      this.#change(entry.item, 0n, entry.quantity)
      this.#reservations.push({ scope, transactionId, line, ...entry, expiresAt })
    })
    this.#reserved.set(name, { lines, state: 'active', expiresAt })
    return { ...this.#done(lines), expiresAt, state: 'active' }
  }

  #release(request: Request): Decision {
    const { lines } = request
    const recorded = this.#reservation(request)
    if (recorded?.state !== 'active') {
      return { status: 'done', replayed: true, lines: [], state: recorded?.state ?? 'missing' }
    }
    this.#giveBack(lines)
    this.#end(request, recorded, 'released')
    return { ...this.#done(lines), state: 'released' }
  }

  /** The reserved quantity is there for its reservation, unless a stocktake has found less: the minimum counts. */
  #fulfil(request: Request): Decision {
    const { transactionId, lines } = request
    const reservation = this.#reservation(request)
    const moved = lines.map(opposite)
    if (this.#sameMovement(request, moved)) {
      if (reservation?.state === 'fulfilled') return this.#done(moved, true)
      throw this.#mismatch(request, 'reservation')
    }
    if (reservation?.state !== 'active') throw new ReservationEndedError(transactionId, reservation?.state ?? 'missing')
    const shortages = this.#shortages(request, moved, false)
    if (shortages.length > 0) throw this.#insufficient(request, shortages)
    this.#record(request, moved, false)
    this.#giveBack(lines)
    this.#end(request, reservation, 'fulfilled')
    return this.#done(moved)
  }

  /**
   * The movement that is recorded under the transaction id.
   *
   * @throws IdempotencyMismatchError if it has other lines
   */
  #sameMovement(request: Request, lines: readonly Line[], by?: 'item'): RecordedMovement | undefined {
    const recorded = this.#recorded.get(nameOf(request))
    const { transactionId } = request
    if (recorded === undefined) return undefined
    const differing = this.#differingFrom(recorded, request)
    checkSame({ model: this.#map.movement.model.name, transactionId, differing }, lines, recorded.lines, by)
    return recorded
  }

  /** The fields of data that differ. Of a request that has been recorded just now, only equal texts tell that none does. */
  #differingFrom(recorded: Pick<RecordedMovement, 'lines'>, request: Request): readonly string[] {
    const known = this.#differing.get(request)
    if (known) return known
    const texts = new Map(recorded.lines.map(({ item, data }) => [item.id, data?.text]))
    if (request.lines.some(({ item, data }) => data?.text !== texts.get(item.id))) throw UNDECIDED
    return []
  }

  #checkUnreserved(request: Request): void {
    checkUnreserved(request.transactionId, this.#reserved.get(nameOf(request)), this.#now)
  }

  #mismatch({ transactionId }: Request, field: string): IdempotencyMismatchError {
    return new IdempotencyMismatchError(this.#map.movement.model.name, { transactionId }, [field])
  }

  /** A request that found no lines came before the reservation was there: its items are not locked. */
  #reservation(request: Request): RecordedReservation | undefined {
    return request.lines.length > 0 ? this.#reserved.get(nameOf(request)) : undefined
  }

  /** Records the lines as movements, and, unless they were refused, moves them. */
  #record(request: Request, lines: readonly Line[], isRefused: boolean): void {
    const { scope, transactionId } = request
    if (!isRefused) this.#checkRange(lines, 'onHand')
    let line = 0
    for (const entry of lines) {
      this.#change(entry.item, isRefused ? 0n : entry.quantity, 0n)
      this.#movements.push({ scope, transactionId, line: line++, ...entry, isRefused })
    }
    this.#recorded.set(nameOf(request), { lines, isRefused })
  }

  #end(request: Request, reservation: RecordedReservation, state: ReservationState): void {
    this.#ended.push({ scope: request.scope, transactionId: request.transactionId, state })
    this.#reserved.set(nameOf(request), { ...reservation, state })
  }

  #giveBack(lines: readonly Line[]): void {
    for (const { item } of lines) this.#balance(item) // none is changed if one of them is no longer there
    for (const { item, quantity } of lines) this.#change(item, 0n, -quantity)
  }

  #change(item: Item, onHand: bigint, reserved: bigint): void {
    const state = this.#state(item)
    state.next.onHand += onHand
    state.next.reserved += reserved
    state.changed = item
  }

  #balance(item: Item): Balance {
    return this.#state(item).next
  }

  #state(item: Item): ItemState {
    const state = this.#items.get(item.id)
    if (state === undefined) throw new ItemNotFoundError(this.#map.item.model.name, item.given)
    return state
  }

  /** The lines that take more than there is. A line that adds to the stock is never short. */
  #shortages({ kind, minimum }: Request, lines: readonly Line[], isRemembered: boolean): readonly Shortage[] {
    const shortages: Shortage[] = []
    for (const { item, quantity } of lines) {
      const balance = this.#balance(item)
      const limit = minimum === undefined ? balance.minimum : minimum
      const reserved = kind === 'fulfil' ? 0n : balance.reserved
      const available = balance.onHand - reserved - (limit ?? 0n)
      const isEnough = limit === null || available + quantity >= 0n
      if (quantity >= 0n || (isEnough && !isRemembered)) continue
      const { quantities } = this.#map
      shortages.push({
        item: item.given,
        requested: quantities.value(-quantity),
        available: quantities.value(available > 0n ? available : 0n),
      })
    }
    return shortages
  }

  #insufficient({ transactionId }: Request, [first, ...others]: readonly Shortage[], isRemembered = false) {
    if (first === undefined) throw new Error(`${transactionId} is refused, and nothing of it is short.`)
    return new InsufficientStockError(transactionId, [first, ...others], isRemembered)
  }

  #checkRange(lines: readonly Line[], of: 'onHand' | 'reserved'): void {
    for (const { item, quantity } of lines) {
      const next = this.#balance(item)[of] + quantity
      if (this.#map.quantities.fits(next) && this.#map.quantities.fits(quantity)) continue
      throw new InvalidArgumentError('quantity', 'would take the balance beyond what its column holds.')
    }
  }

  #done(lines: readonly Line[], replayed = false): Done {
    const withBalances = lines.map((line) => ({ ...line, balance: this.#balance(line.item).onHand }))
    return { status: 'done', replayed, lines: withBalances }
  }
}

function opposite(line: Line): Line {
  return { ...line, quantity: -line.quantity }
}
