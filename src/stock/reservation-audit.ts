import type { Session } from '../engine/session.js'
import { sqlTypeOf } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import { param, raw, type Statement, sql } from '../sql/statement.js'
import type { ReservationMap, StockMap } from './mapping.js'

/** A line of a reservation whose state is not what the movements of its transaction id say. */
export interface ReservationFlaw {
  readonly transactionId: string
  readonly line: number
  readonly state: 'active' | 'fulfilled'
}

/** How many reservations one statement looks at. */
const PAGE = 10_000

interface PageRow {
  readonly next: readonly [transactionId: string, line: number] | null
  readonly flaws: readonly ReservationFlaw[]
}

/**
 * The reservations that are active although their transaction id has a movement, or fulfilled although it has none.
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

function pageOf(
  { movement }: StockMap,
  { table, transactionId, line, state }: ReservationMap,
  after: PageRow['next'] | undefined,
): Statement {
  const [id, number] = [columnOf(transactionId), columnOf(line)]
  const behindOf = ([lastId, lastLine]: NonNullable<PageRow['next']>) =>
    sql` AND (r.${id}, r.${number}) > (${param(lastId, sqlTypeOf(transactionId))}, ${param(lastLine, 'int4')})`
  const recorded = movement.refused && sql` AND NOT m.${columnOf(movement.refused)}`
  return sql`WITH page AS MATERIALIZED (
  SELECT r.${id} AS id, r.${number} AS line, r.${columnOf(state)} AS state
  FROM ${table} AS r
  WHERE r.${columnOf(state)} IN ('active', 'fulfilled')${after ? behindOf(after) : undefined}
  ORDER BY r.${id}, r.${number}
  LIMIT ${raw(String(PAGE))}
)
SELECT (
  SELECT json_build_array(id::text, line) FROM page ORDER BY page.id DESC, page.line DESC LIMIT 1
) AS next, (
  SELECT coalesce(json_agg(json_build_object('transactionId', id::text, 'line', line, 'state', state) ORDER BY page.id, page.line), '[]')
  FROM page
  WHERE (state = 'active') = EXISTS (SELECT FROM ${movement.table} AS m WHERE m.${columnOf(movement.transactionId)} = page.id${recorded})
) AS flaws`
}
