import type { Session } from '../engine/session.js'
import { columnsAsKeys, columnsOf, sqlTypeOf, stateIn } from '../mapping/columns.js'
import type { Scope } from '../sql/scope.js'
import { columnOf } from '../sql/sql.js'
import { join, type Piece, param, raw, type Statement, sql } from '../sql/statement.js'
import type { LinesMap, ReservationMap, StockMap } from './mapping.js'

/** A line of a reservation whose state is not what the movements of its transaction id say. */
export interface ReservationFlaw {
  readonly scope: Scope
  readonly transactionId: string
  readonly line: number
  readonly state: 'active' | 'fulfilled'
}

/** How many reservations one statement looks at. */
const PAGE = 10_000

interface PageRow {
  readonly next: readonly string[] | null
  readonly flaws: readonly ReservationFlaw[]
}

/**
 * The reservations that are active although their transaction id has a movement, or fulfilled although it has none; where
 * parts are fulfilled, that are active although more is moved than is marked, or fulfilled although nothing is.
 * Each page is one statement, and a call changes the state of a reservation and writes its movements at once, so each
 * was wrong at that moment.
 */
export async function* reservationFlaws(session: Session, map: StockMap): AsyncGenerator<ReservationFlaw> {
  const { reservation } = map
  if (reservation === undefined) return
  for (let after: PageRow['next'] | undefined; after !== null; ) {
    const [page]: readonly PageRow[] = await session.rows<PageRow>(pageOf(map, reservation, after))
    yield* page?.flaws ?? []
    after = page?.next ?? null
  }
}

function pageOf({ movement }: StockMap, reservation: ReservationMap, after: PageRow['next'] | undefined): Statement {
  const { table, scope, transactionId, line, state, fulfilled } = reservation
  const key = [...scope, transactionId, line]
  const active = stateIn(state, 'active')
  const isActive = raw(`r.${columnOf(state)} = ${active}`)
  const last = join(key.map((field, i) => sql`${param(after?.[i], sqlTypeOf(field))}`))
  const recorded = movement.refused && sql` AND NOT m.${columnOf(movement.refused)}`
  const [names, id] = [key.map((_, i) => raw(`k${i}`)), raw(`k${scope.length}`)]
  const flaw = sql`json_build_object('scope', ARRAY[${join(scope.map((_, i) => raw(`k${i}::text`)))}]::text[],
    'transactionId', ${id}::text, 'line', ${raw(`k${scope.length + 1}`)}, 'state', CASE WHEN is_active THEN 'active' ELSE 'fulfilled' END)`
  const isOf = (lines: LinesMap, alias: string) =>
    join(
      [...lines.scope, lines.transactionId].map((field, i) => {
        const own = key[i]
        return own && raw(`${alias}.${columnOf(field)} = r.${columnOf(own)}`)
      }),
      ' AND ',
    )
  const isMoved = (more?: Piece) =>
    sql`EXISTS (SELECT FROM ${movement.table} AS m WHERE ${isOf(movement, 'm')}${recorded}${more})`
  // A part is recorded under its own transaction id, or under that of the reservation.
  const isOfItem = movement.item.map((field, i) => {
    const own = reservation.item[i]
    return own && raw(`m.${columnOf(field)} = r.${columnOf(own)}`)
  })
  const isFlawed =
    fulfilled &&
    sql`CASE WHEN ${isActive} THEN ${isMoved(sql` AND ${join(isOfItem, ' AND ')} AND -m.${columnOf(movement.quantity)} > r.${columnOf(fulfilled)}`)}
    ELSE NOT (${isMoved()} OR EXISTS (SELECT FROM ${table} AS o WHERE ${isOf(reservation, 'o')} AND o.${columnOf(fulfilled)} > 0)) END`
  return sql`WITH page AS MATERIALIZED (
  SELECT ${columnsAsKeys(key, 'r')}, ${isActive} AS is_active,
    ${isFlawed ?? sql`(${isActive}) = ${isMoved()}`} AS is_flawed
  FROM ${table} AS r
  WHERE r.${columnOf(state)} IN (${active}, ${stateIn(state, 'fulfilled')})${after ? sql` AND (${columnsOf(key, 'r')}) > (${last})` : undefined}
  ORDER BY ${columnsOf(key, 'r')}
  LIMIT ${raw(String(PAGE))}
)
SELECT (
  SELECT ARRAY[${join(names.map((name) => raw(`${name}::text`)))}] FROM page ORDER BY ${join(names.map((name) => raw(`page.${name} DESC`)))} LIMIT 1
) AS next, (
  SELECT coalesce(json_agg(${flaw} ORDER BY ${join(names)}), '[]')
  FROM page
  WHERE is_flawed
) AS flaws`
}
