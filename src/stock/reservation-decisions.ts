import { ReservationEndedError } from '../errors/index.js'
import type { Decider, RecordedReservation } from './decider.js'
import type { Decision, Line, Request } from './request.js'

/** Decisions on reservations: they are loaded with the methods that need them. */

export function decideReserve(decider: Decider, request: Request): Decision {
  const { lines, expiresIn = 0 } = request
  const recorded = decider.reserved(request)
  if (recorded) {
    decider.checkSame(request, lines, recorded)
    return { ...decider.done(lines, true), expiresAt: recorded.expiresAt, state: recorded.state }
  }
  if (decider.recorded(request)) throw decider.mismatch(request, 'reservation')
  const shortages = decider.shortages(request, lines.map(opposite))
  if (shortages.length > 0) throw decider.insufficient(request, shortages)
  const expiresAt = new Date(decider.now.getTime() + expiresIn)
  decider.reserve(request, lines, expiresAt)
  return { ...decider.done(lines), expiresAt, state: 'active' }
}

export function decideRelease(decider: Decider, request: Request): Decision {
  const recorded = reservationOf(decider, request)
  if (recorded?.state !== 'active') {
    return { status: 'done', replayed: true, lines: [], state: recorded?.state ?? 'missing' }
  }
  decider.end(request, recorded, 'released')
  return { ...decider.done(recorded.lines), state: 'released' }
}

/** The reserved quantity is there for its reservation, unless a stocktake has found less: the minimum counts. */
export function decideFulfil(decider: Decider, request: Request): Decision {
  const { transactionId, lines } = request
  const reservation = reservationOf(decider, request)
  const moved = lines.map(opposite)
  if (decider.sameMovement(request, moved)) {
    if (reservation?.state === 'fulfilled') return decider.done(moved, true)
    throw decider.mismatch(request, 'reservation')
  }
  if (reservation?.state !== 'active') throw new ReservationEndedError(transactionId, reservation?.state ?? 'missing')
  const shortages = decider.shortages(request, moved)
  if (shortages.length > 0) throw decider.insufficient(request, shortages)
  decider.record(request, moved)
  decider.end(request, reservation, 'fulfilled')
  return decider.done(moved)
}

/** A request that found no lines came before the reservation was there: its items are not locked. */
function reservationOf(decider: Decider, request: Request): RecordedReservation | undefined {
  return request.lines.length > 0 ? decider.reserved(request) : undefined
}

function opposite(line: Line): Line {
  return { ...line, quantity: -line.quantity }
}
