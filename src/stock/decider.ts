import {
  IdempotencyMismatchError,
  InsufficientStockError,
  InvalidArgumentError,
  ItemNotFoundError,
  type Shortage,
} from '../errors/index.js'
import type { Item } from './item.js'
import type { StockMap } from './mapping.js'
import { checkSame, checkUnreserved } from './one-meaning.js'
import { type Claimed, type Decision, type Done, type Line, nameOf, type Request } from './request.js'
import type { ReservationWrites } from './reservation-writes.js'
import type { Reversals } from './reverse.js'
import type { Balance, MovementEntry, RecordedMovement, RecordedReservation, Snapshot, WriteSet } from './snapshot.js'

export type * from './snapshot.js'

export type Recorded = Pick<RecordedMovement, 'lines' | 'date'>

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
 *
 * Each request brings the function that decides it. All that such a function writes goes by these methods.
 */
export class Decider {
  readonly map: StockMap
  /** The time, by the database's clock. */
  readonly now: Date
  readonly reversals: Reversals | undefined
  readonly deferred: Snapshot['deferred']
  readonly #items = new Map<string, ItemState>()
  readonly #recorded: Map<string, RecordedMovement>
  readonly #reserved: Map<string, RecordedReservation>
  readonly #movements: MovementEntry[] = []
  readonly #expired: ReadonlyMap<string, bigint>
  readonly #differing: ReadonlyMap<Request, readonly string[]>
  /** Made by the first decision that writes a reservation. */
  reservationWrites: ReservationWrites | undefined

  constructor(map: StockMap, snapshot: Snapshot) {
    const { balances, movements, reservations, expired, differing, reversals, deferred, now } = snapshot
    this.map = map
    this.reversals = reversals
    this.deferred = deferred
    this.#differing = differing
    this.now = now
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
      return request.decide(this, request)
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
    return { items: changed, movements: this.#movements, reservations: this.reservationWrites }
  }

  /** The movement under the transaction id, as it is recorded or was granted before. */
  recorded(request: Request): RecordedMovement | undefined {
    return this.#recorded.get(nameOf(request))
  }

  /** The reservation under the transaction id. */
  reserved(id: Claimed): RecordedReservation | undefined {
    return this.#reserved.get(nameOf(id))
  }

  noteReservation(id: Claimed, reservation: RecordedReservation): void {
    this.#reserved.set(nameOf(id), reservation)
  }

  /**
   * The movement that is recorded under the transaction id.
   *
   * @throws IdempotencyMismatchError if it has other lines
   */
  sameMovement(request: Request, lines: readonly Line[], by?: 'item'): RecordedMovement | undefined {
    const recorded = this.recorded(request)
    if (recorded) this.checkSame(request, lines, recorded, by)
    return recorded
  }

  /** @throws IdempotencyMismatchError if the lines are others than the recorded ones */
  checkSame(request: Request, lines: readonly Line[], recorded: Recorded, by?: 'item'): void {
    const { movement, reservation } = this.map
    const { model } = (request.kind === 'reserve' && reservation) || movement
    const differing = [
      ...this.#differingFrom(recorded, request, lines),
      ...(request.period?.differing(recorded, this) ?? []),
    ]
    checkSame({ model: model.name, transactionId: request.transactionId, differing }, lines, recorded.lines, by)
  }

  /** The fields of data that differ. Of a request that has been recorded just now, only equal texts tell that none does. */
  #differingFrom(recorded: Recorded, request: Request, lines: readonly Line[]): readonly string[] {
    const known = this.#differing.get(request)
    if (known) return known
    const texts = new Map(recorded.lines.map(({ item, data }) => [item.id, data?.text]))
    if (lines.some(({ item, data }) => data?.text !== texts.get(item.id))) throw UNDECIDED
    return []
  }

  /** @throws ReservationActiveError or ReservationEndedError if there is a reservation under the transaction id */
  checkUnreserved(request: Request): void {
    checkUnreserved(request.transactionId, this.reserved(request), this.now)
  }

  mismatch({ transactionId }: Request, field: string): IdempotencyMismatchError {
    return new IdempotencyMismatchError(this.map.movement.model.name, { transactionId }, [field])
  }

  /** Records the lines as movements, and, unless they were refused, moves them. */
  record(request: Request, lines: readonly Line[], isRefused = false): void {
    const { scope, transactionId, period } = request
    const date = period?.date
    period?.check(this, request, lines)
    if (!isRefused) this.checkRange(lines, 'onHand')
    lines.forEach((entry, line) => {
      this.change(entry.item, isRefused ? 0n : entry.quantity, 0n)
      const { next } = this.#state(entry.item)
      if (!isRefused) next.sequence++
      const { sequence, onHand: balance } = next
      this.#movements.push({ scope, transactionId, line, ...entry, isRefused, date, sequence, balance })
    })
    this.#recorded.set(nameOf(request), { lines, isRefused, date })
  }

  change(item: Item, onHand: bigint, reserved: bigint): void {
    const state = this.#state(item)
    state.next.onHand += onHand
    state.next.reserved += reserved
    state.changed = item
  }

  balance(item: Item): Balance {
    return this.#state(item).next
  }

  #state(item: Item): ItemState {
    const state = this.#items.get(item.id)
    if (state === undefined) throw new ItemNotFoundError(this.map.item.model.name, item.given)
    return state
  }

  /**
   * The reason why lines are not moved: some of them are short, or there is no room for some.
   *
   * @param remembered whether the refusal is recorded, or will be: of one that is, any line may be the reason
   */
  refusalOf(request: Request, lines: readonly Line[], remembered?: 'before' | 'now') {
    const refusal = (isAny: boolean) => {
      const [short, ...others] = this.#shortages(request, lines, isAny)
      if (short) return new InsufficientStockError(request.transactionId, [short, ...others], !!remembered)
      return request.room?.refusalOf(this, request, { lines, isAny, isRemembered: !!remembered })
    }
    return refusal(false) ?? (remembered === 'before' ? refusal(true) : undefined)
  }

  /** How much of the item the request can take; no limit, where it is not limited. */
  available({ kind, minimum }: Request, item: Item): { readonly available: bigint; readonly isLimited: boolean } {
    const balance = this.balance(item)
    const limit = minimum === undefined ? balance.minimum : minimum
    const reserved = kind === 'fulfil' ? 0n : balance.reserved
    const available = balance.onHand - reserved - (limit ?? 0n)
    return { available: available > 0n ? available : 0n, isLimited: limit !== null }
  }

  /** The lines that take more than there is. A line that adds to the stock is never short. */
  #shortages(request: Request, lines: readonly Line[], isAny: boolean): readonly Shortage[] {
    const shortages: Shortage[] = []
    const { quantities } = this.map
    for (const { item, quantity } of lines) {
      const { available, isLimited } = this.available(request, item)
      const isEnough = !isLimited || available + quantity >= 0n
      if (quantity >= 0n || (isEnough && !isAny)) continue
      const requested = quantities.value(-quantity)
      shortages.push({ item: item.given, requested, available: quantities.value(available) })
    }
    return shortages
  }

  checkRange(lines: readonly Line[], of: 'onHand' | 'reserved'): void {
    for (const { item, quantity } of lines) {
      const next = this.balance(item)[of] + quantity
      if (this.map.quantities.fits(next) && this.map.quantities.fits(quantity)) continue
      throw new InvalidArgumentError('quantity', 'would take the balance beyond what its column holds.')
    }
  }

  done(lines: readonly Line[], replayed = false): Done {
    const withBalances = lines.map((line) => ({ ...line, balance: this.balance(line.item).onHand }))
    return { status: 'done', replayed, lines: withBalances }
  }
}
