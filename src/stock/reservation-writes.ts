import type { Session } from '../engine/session.js'
import { stateIn, touches } from '../mapping/columns.js'
import { columnOf, momentIn } from '../sql/sql.js'
import { join, param, raw, sql } from '../sql/statement.js'
import type { RecordedReservation } from './decider.js'
import type { ReservationMap, StockMap } from './mapping.js'
import { type Claimed, type Line, nameOf } from './request.js'
import { column, type Entry, idColumns, isOf, keyColumns, rowsIn } from './statements.js'
import { claimAll } from './write.js'

interface NewLine extends Entry {
  readonly expiresAt: Date | null
}

/** A reservation as it is recorded, and as the decisions leave it. */
interface Alteration extends Claimed {
  readonly before: RecordedReservation
  readonly next: RecordedReservation
}

/** The rows of reservations that decisions want written. */
export class ReservationWrites {
  readonly #lines: NewLine[] = []
  readonly #altered = new Map<string, Alteration>()

  add({ scope, transactionId }: Claimed, lines: readonly Line[], expiresAt: Date | null): void {
    this.#lines.push(...lines.map((entry, line) => ({ scope, transactionId, line, ...entry, expiresAt })))
  }

  alter(id: Claimed, before: RecordedReservation, next: RecordedReservation): void {
    const { scope, transactionId } = id
    const known = this.#altered.get(nameOf(id))
    this.#altered.set(nameOf(id), { scope, transactionId, before: known?.before ?? before, next })
  }

  /** Records the new ones. Resolves to whether each of them has its transaction id. */
  async claim(tx: Session, map: StockMap): Promise<boolean> {
    const { reservation } = map
    if (!reservation || this.#lines.length === 0) return true
    const { state, expiresAt, fulfilled } = reservation
    return claimAll(tx, map, {
      lines: reservation,
      entries: this.#lines,
      parameters: (entries: readonly NewLine[]) => [
        column('expires_at', 'timestamptz', entries, (entry) => entry.expiresAt?.toISOString() ?? null),
      ],
      columns: raw(`, ${columnOf(state)}, ${columnOf(expiresAt)}${fulfilled ? `, ${columnOf(fulfilled)}` : ''}`),
      values: sql`, ${stateIn(state, 'active')}, ${momentIn(expiresAt, sql`m.expires_at`)}${fulfilled && raw(', 0')}`,
    })
  }

  /** Writes the others. Their items are locked, so nobody else has changed them since they were read. */
  async writeAltered(tx: Session, map: StockMap): Promise<void> {
    for (const alteration of this.#altered.values()) await writeAltered(tx, map, alteration)
  }
}

async function writeAltered(tx: Session, map: StockMap, { before, next, ...id }: Alteration): Promise<void> {
  const { reservation } = map
  if (!reservation) return
  const { table, item, state, expiresAt } = reservation
  const numbers = changedNumbers(reservation, before, next)
  const end = param(next.expiresAt?.toISOString() ?? null, 'timestamptz')
  const changes = [
    next.state !== before.state && sql`${columnOf(state)} = ${param(state.enumValues?.get(next.state) ?? next.state)}`,
    next.expiresAt !== before.expiresAt && sql`${columnOf(expiresAt)} = ${momentIn(expiresAt, sql`${end}`)}`,
    ...numbers.map(([field, name]) => raw(`${columnOf(field)} = m.${name}`)),
  ]
  if (!changes.some((change) => change)) return // one decision has taken back what another had changed
  // No index can compare an item like this: that of the items finds all of its reservations, and that of the ids a few lines.
  const isOfItem = raw(item.map((field, i) => ` AND r.${columnOf(field)} IS NOT DISTINCT FROM m.k${i}`).join(''))
  const rows = numbers.length > 0 ? lineColumns(map, reservation, id, next.lines) : idColumns(reservation, [id])
  const values = numbers.map(([, name]) =>
    column(name, map.quantities.sqlType, next.lines, (line) => map.quantities.text(line[name])),
  )
  await tx.rows(sql`UPDATE ${table} AS r SET ${join(changes)}${touches(reservation, 'r')}
FROM ${rowsIn('m', [...rows, ...values])}
WHERE ${isOf(reservation, 'r')}${numbers.length > 0 && isOfItem} AND r.${columnOf(state)} = ${stateIn(state, 'active')}`)
}

/** The id and the item of each line. */
function lineColumns(map: StockMap, reservation: ReservationMap, id: Claimed, lines: readonly Line[]) {
  const ids = lines.map(() => id)
  const items = lines.map(({ item }) => item)
  return [...idColumns(reservation, ids), ...keyColumns(map, items).slice(id.scope.length)]
}

/** The columns of the lines in which they differ. */
function changedNumbers(
  { quantity, fulfilled, original }: ReservationMap,
  before: RecordedReservation,
  next: RecordedReservation,
) {
  const differs = (name: 'quantity' | 'fulfilled') =>
    next.lines.some((line, i) => line[name] !== before.lines[i]?.[name])
  const isChanged = original && differs('quantity')
  const all = [
    isChanged && ([quantity, 'quantity'] as const),
    isChanged && ([original, 'original'] as const),
    fulfilled && differs('fulfilled') && ([fulfilled, 'fulfilled'] as const),
  ]
  return all.filter((each) => !!each)
}
