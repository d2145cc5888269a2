import { InvalidArgumentError, type Overrun, ReservationEndedError, ReservationExceededError } from '../errors/index.js'
import type { Decider, RecordedMovement, RecordedReservation, ReservedLine } from './decider.js'
import { withData } from './lines.js'
import { asRecorded, availableOf } from './other-decisions.js'
import type { Claimed, Decide, Decision, Line, Request } from './request.js'
import { ReservationWrites } from './reservation-writes.js'

/** Decisions on reservations: they are loaded with the methods that need them. */

export interface Reserving {
  /** In ms; `null` is no end. */
  readonly expiresIn: number | null
  /** Whether as much as there is will do. */
  readonly isFlexible: boolean
}

export function decideReserve({ expiresIn, isFlexible }: Reserving): Decide {
  return (decider, request) => {
    const recorded = decider.reserved(request)
    if (recorded) {
      const { expiresAt, state } = recorded
      // It is the same request, though its quantities may have been changed since.
      const lines = recorded.lines.map((line) => ({ ...line, quantity: line.original }))
      decider.checkSame(request, isFlexible ? asRecorded(request.lines, lines) : request.lines, { lines })
      return { ...decider.done(lines, true), expiresAt, state }
    }
    if (decider.recorded(request)) throw decider.mismatch(request, 'reservation')
    const asked = request.lines.map(opposite)
    const taken = isFlexible ? availableOf(decider, request, asked) : asked
    const refusal = decider.refusalOf(request, taken)
    if (refusal) throw refusal
    const lines = taken.map(opposite).map((line) => ({ ...line, fulfilled: 0n, original: line.quantity }))
    decider.checkRange(lines, 'reserved')
    const expiresAt = endIn(decider, expiresIn)
    for (const { item, quantity } of lines) decider.change(item, 0n, quantity)
    writesOf(decider).add(request, lines, expiresAt)
    decider.noteReservation(request, { lines, state: 'active', expiresAt })
    return { ...decider.done(lines), expiresAt, state: 'active' }
  }
}

export function decideRelease(decider: Decider, request: Request): Decision {
  const recorded = reservationOf(decider, request)
  if (recorded?.state !== 'active') {
    return { status: 'done', replayed: true, lines: [], state: recorded?.state ?? 'missing' }
  }
  checkItems(decider, recorded)
  alter(decider, request, recorded, { ...recorded, state: 'released' })
  return { ...decider.done(recorded.lines), state: 'released' }
}

export interface Fulfilling {
  /** So much of these lines; `undefined` is all that is left. */
  readonly lines: readonly Line[] | undefined
  /** Whether the rest stays reserved, or is given back. */
  readonly rest: 'keep' | 'release'
}

/** The reserved quantity is there for its reservation, unless a stocktake has found less: the minimum counts. */
export function decideFulfil({ lines: asked, rest }: Fulfilling): Decide {
  return (decider, request) => {
    const recorded = decider.recorded(request)
    if (recorded) return replayFulfil(decider, request, recorded, asked)
    if (request.of) decider.checkUnreserved(request)
    const reservation = activeReservation(decider, request)
    const taken = asked ?? reservation.lines.map((line) => ({ ...line, quantity: leftOf(line) }))
    checkLeft(decider, request, reservation, taken)
    const moved = movementsOf(request, taken)
    const refusal = decider.refusalOf(request, moved)
    if (refusal) throw refusal
    decider.record(request, moved)
    const quantities = new Map(taken.map(({ item, quantity }) => [item.id, quantity]))
    const lines = reservation.lines.map((line) => ({
      ...line,
      fulfilled: line.fulfilled + (quantities.get(line.item.id) ?? 0n),
    }))
    const isOver = rest === 'release' || lines.every((line) => leftOf(line) === 0n)
    const state = isOver ? 'fulfilled' : 'active'
    alter(decider, request.of ?? request, reservation, { ...reservation, lines, state })
    return decider.done(moved)
  }
}

/**
 * A movement does not name its reservation. So it is taken for a part of it only if so much was taken of it; and for all
 * that was left only if nothing is left by now.
 */
function replayFulfil(
  decider: Decider,
  request: Request,
  recorded: RecordedMovement,
  asked: readonly Line[] | undefined,
): Decision {
  const reservation = reservationOf(decider, request)
  const isFulfilled = reservation?.state === 'fulfilled'
  const all = decider.map.reservation?.fulfilled ? recorded.lines.map(opposite) : (reservation?.lines ?? [])
  const moved = movementsOf(request, asked ?? all)
  decider.checkSame(request, moved, recorded)
  const most = new Map(reservation?.lines.map((line) => [line.item.id, isFulfilled ? line.quantity : line.fulfilled]))
  const isPart = moved.every(({ item, quantity }) => quantity < 0n && -quantity <= (most.get(item.id) ?? 0n))
  if (recorded.isRefused || !isPart || !(asked || isFulfilled)) throw decider.mismatch(request, 'reservation')
  return decider.done(moved, true)
}

/** Lines that take so much out. Their data is that of the call: a line of a reservation has the data of the reservation. */
function movementsOf(request: Request, taken: readonly Line[]): readonly Line[] {
  const data = new Map(request.lines.map((line) => [line.item.id, line.data]))
  const lines = taken.filter(({ quantity }) => quantity !== 0n)
  return lines.map(({ item, quantity }) => withData({ item, quantity: -quantity }, data.get(item.id)))
}

/** @throws ReservationExceededError if lines take more than is left of the reservation */
function checkLeft(
  { map: { quantities } }: Decider,
  request: Request,
  { lines }: RecordedReservation,
  taken: readonly Line[],
): void {
  const left = new Map(lines.map((line) => [line.item.id, leftOf(line)]))
  const overruns = taken.flatMap(({ item, quantity }): Overrun[] => {
    const own = left.get(item.id) ?? 0n
    if (quantity <= own) return []
    return [{ item: item.given, requested: quantities.value(quantity), left: quantities.value(own) }]
  })
  const [first, ...others] = overruns
  if (first) throw new ReservationExceededError((request.of ?? request).transactionId, [first, ...others])
}

/**
 * The items are locked, and nobody ends a reservation without a lock of each item that is given back. So an extension
 * and the end of the time exclude each other: the one that has the items first counts.
 */
export function decideExtend(expiresIn: number | null): Decide {
  return (decider, request) => {
    const reservation = activeReservation(decider, request)
    const expiresAt = endIn(decider, expiresIn)
    alter(decider, request, reservation, { ...reservation, expiresAt })
    return { ...decider.done([]), expiresAt }
  }
}

/** Sets the quantities of lines. Those of a reservation are added up again as they are now, so two changes at once are one after the other. */
export function decideChange(asked: readonly Line[]): Decide {
  return (decider, request) => {
    const reservation = activeReservation(decider, request)
    const wanted = new Map(asked.map(({ item, quantity }) => [item.id, quantity]))
    const lines = reservation.lines.map((line) => ({ ...line, quantity: wanted.get(line.item.id) ?? line.quantity }))
    checkWanted(decider, lines, asked)
    const more = lines.flatMap(({ item, quantity }, i): Line[] => {
      const added = quantity - (reservation.lines[i]?.quantity ?? 0n)
      return added > 0n ? [{ item, quantity: added }] : []
    })
    const refusal = decider.refusalOf(request, more.map(opposite))
    if (refusal) throw refusal
    decider.checkRange(more, 'reserved')
    const isOver = lines.every((line) => leftOf(line) === 0n)
    const ended = lines.some(({ fulfilled }) => fulfilled > 0n) ? 'fulfilled' : 'released'
    const state = isOver ? ended : 'active'
    const isSame = lines.every(({ quantity }, i) => quantity === reservation.lines[i]?.quantity)
    if (!isSame) alter(decider, request, reservation, { ...reservation, lines, state })
    return { ...decider.done(lines), state }
  }
}

/** @throws InvalidArgumentError if a line is none of the reservation, or wants less than was taken of it */
function checkWanted({ map }: Decider, lines: readonly ReservedLine[], asked: readonly Line[]): void {
  for (const { item } of asked) {
    const line = lines.find((line) => line.item.id === item.id)
    const name = String(JSON.stringify(item.key.slice(map.item.scope.length)))
    if (!line) {
      throw new InvalidArgumentError(
        'lines',
        `name the item ${name}, which is not reserved: reserve it under another id.`,
      )
    }
    if (leftOf(line) < 0n) {
      const least = map.quantities.text(line.fulfilled)
      throw new InvalidArgumentError(
        'lines',
        `want less of the item ${name} than ${least}, which was fulfilled already.`,
      )
    }
  }
}

/** By the database's clock. */
function endIn(decider: Decider, expiresIn: number | null): Date | null {
  return expiresIn === null ? null : new Date(decider.now.getTime() + expiresIn)
}

/** A request that found no lines came before the reservation was there: its items are not locked. */
function reservationOf(decider: Decider, request: Request): RecordedReservation | undefined {
  return request.lines.length > 0 ? decider.reserved(request.of ?? request) : undefined
}

/** @throws ReservationEndedError if there is none; ItemNotFoundError if one of its items is no longer there */
function activeReservation(decider: Decider, request: Request): RecordedReservation {
  const reservation = reservationOf(decider, request)
  if (reservation?.state !== 'active') {
    throw new ReservationEndedError((request.of ?? request).transactionId, reservation?.state ?? 'missing')
  }
  checkItems(decider, reservation)
  return reservation
}

/** All of them are looked up before anything is changed: a request that is refused leaves no trace. */
function checkItems(decider: Decider, { lines }: RecordedReservation): void {
  for (const { item } of lines) decider.balance(item)
}

/** Leaves a reservation as it is to be next, and of each item so much reserved. */
function alter(decider: Decider, id: Claimed, before: RecordedReservation, next: RecordedReservation): void {
  before.lines.forEach((line, i) => {
    const more = heldFor(next, next.lines[i]) - heldFor(before, line)
    if (more !== 0n) decider.change(line.item, 0n, more)
  })
  writesOf(decider).alter(id, before, next)
  decider.noteReservation(id, next)
}

function heldFor({ state }: RecordedReservation, line: ReservedLine | undefined): bigint {
  return line && state === 'active' ? leftOf(line) : 0n
}

function leftOf({ quantity, fulfilled }: ReservedLine): bigint {
  return quantity - fulfilled
}

function writesOf(decider: Decider): ReservationWrites {
  decider.reservationWrites ??= new ReservationWrites()
  return decider.reservationWrites
}

function opposite(line: Line): Line {
  return { ...line, quantity: -line.quantity }
}
