import { IdempotencyMismatchError, ReservationActiveError, ReservationEndedError } from '../errors/index.js'
import type { RecordedReservation } from './decider.js'
import type { Line } from './request.js'

/**
 * A transaction id has one meaning: of one that was reserved, only `fulfil` makes movements. It stays
 * taken when the reservation has ended, or a late duplicate of the reservation would meet a movement.
 *
 * @throws ReservationActiveError or ReservationEndedError if there is a reservation under the id
 */
export function checkUnreserved(id: string, reservation: RecordedReservation | undefined, now: Date): void {
  if (reservation === undefined) return
  const { state, expiresAt } = reservation
  if (state === 'active' && (expiresAt === null || expiresAt > now)) throw new ReservationActiveError(id, expiresAt)
  throw new ReservationEndedError(id, state === 'active' ? 'expired' : state)
}

interface Compared {
  readonly model: string
  readonly transactionId: string
  /** The fields of data that differ. */
  readonly differing: readonly string[]
}

/**
 * A transaction id stands for one set of lines, all of it.
 *
 * @throws IdempotencyMismatchError if these are others than the recorded ones
 */
export function checkSame(
  { model, transactionId, differing }: Compared,
  lines: readonly Line[],
  recorded: readonly Line[],
  by: 'item' | 'quantity' = 'quantity',
): void {
  const quantities = new Map(recorded.map(({ item, quantity }) => [item.id, quantity]))
  const fields: string[] = []
  if (lines.length !== quantities.size || lines.some(({ item }) => !quantities.has(item.id))) fields.push('item')
  const differs = ({ item, quantity }: Line) => (quantities.get(item.id) ?? quantity) !== quantity
  if (by === 'quantity' && lines.some(differs)) fields.push('quantity')
  fields.push(...differing)
  if (fields.length > 0) throw new IdempotencyMismatchError(model, { transactionId }, fields)
}
