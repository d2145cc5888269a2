import type { Session } from '../engine/session.js'
import { columnsOf, keysEqual, sqlTypeOf, stateIn } from '../mapping/columns.js'
import { columnOf, momentOf } from '../sql/sql.js'
import { join, param, raw, type Statement, sql } from '../sql/statement.js'
import { inScope } from './in-scope.js'
import { type Item, itemOfRow } from './item.js'
import type { StockMap } from './mapping.js'
import type { Request } from './request.js'
import { nameOfPlace, placeFields, type Source, type SourcedRequest } from './sources.js'
import { column, idsAreLocked, rowsIn, shared, where } from './statements.js'

/** An item that a source may take from, and how much there is of it. */
export interface Lot {
  readonly item: Item
  readonly free: bigint
}

/** The lots of each place, in the order in which they are taken. They are as many as all of the requests need, or all. */
export type Lots = ReadonlyMap<string, readonly Lot[]>

type Limit = Request['minimum']

/** A place, and how its lots are looked for. */
interface Look {
  readonly place: Item
  readonly isByExpiry: boolean
  readonly minimum: Limit
}

/** The name under which the lots of a place are found. */
export function nameOfLook(place: Item, { isByExpiry }: Pick<Source, 'isByExpiry'>, minimum: Limit): string {
  return `${nameOfPlace(place.key)} ${isByExpiry} ${minimum}`
}

function looksOf(requests: readonly SourcedRequest[]): ReadonlyMap<string, Look> {
  const looks = new Map<string, Look>()
  for (const { sources, minimum } of requests) {
    for (const { places, isByExpiry } of sources) {
      for (const place of places) looks.set(nameOfLook(place, { isByExpiry }, minimum), { place, isByExpiry, minimum })
    }
  }
  return looks
}

/** The lots of which requests can take something now, by the database's clock. Nothing is locked: the statement that takes it checks it. */
export async function readLots(session: Session, map: StockMap, requests: readonly SourcedRequest[]): Promise<Lots> {
  const looks = [...looksOf(requests)]
  const wanted = requests.reduce((sum, { sources }) => sources.reduce((all, one) => all + one.quantity, sum), 0n)
  const rows = await session.rows<{ position: number; key: string[]; free: string }>(
    lotsIn(
      map,
      looks.map(([, look]) => look),
      wanted,
    ),
  )
  const lots = new Map<string, Lot[]>(looks.map(([name]) => [name, []]))
  for (const { position, key, free } of rows) {
    const [name = ''] = looks[position - 1] ?? []
    lots.get(name)?.push({ item: itemOfRow(map.item, key), free: map.quantities.parse(free) })
  }
  return lots
}

function lotsIn(map: StockMap, looks: readonly Look[], wanted: bigint): Statement {
  const { item, quantities } = map
  const { table, key, onHand, expiresAt, receivedAt } = item
  const isFresh =
    expiresAt &&
    raw(`(t.${columnOf(expiresAt)} IS NULL OR t.${columnOf(expiresAt)} > ${momentOf(expiresAt, 'clock_timestamp()')})`)
  const order = join([
    ...(expiresAt ? [raw(`CASE WHEN place.by_expiry THEN t.${columnOf(expiresAt)} END`)] : []),
    ...(receivedAt ? [raw(`t.${columnOf(receivedAt)}`)] : []),
    columnsOf(key, 't'),
  ])
  const texts = join(key.map((field) => raw(`t.${columnOf(field)}::text`)))
  const conditions = [raw(`t.${columnOf(onHand)} > 0`), raw('f.free > 0'), isFresh]
  return sql`SELECT position, key, free
FROM (
  SELECT place.position, ARRAY[${texts}] AS key, f.free::text AS free,
    row_number() OVER turn AS turn, sum(f.free) OVER turn - f.free AS before
  FROM ${placesIn(map, looks)} JOIN ${table} AS t ON ${keysEqual(placeFields(map).key, 't', 'place')},
    LATERAL (SELECT ${freeOf(map, looks)} AS free) AS f${where(conditions)}
  WINDOW turn AS (PARTITION BY place.position ORDER BY ${order} ROWS UNBOUNDED PRECEDING)
) AS lot
WHERE before < ${param(quantities.text(wanted), quantities.wideSqlType)}
ORDER BY position, turn`
}

/** A list of FROM: `place(k0, position, by_expiry, minimum)`. A minimum that is NULL leaves it to the item. */
function placesIn({ item, quantities }: StockMap, looks: readonly Look[]): Statement {
  const { lot } = item
  const fields = item.key.filter((field) => field !== lot)
  const limitOf = ({ minimum }: Look) => (minimum === undefined ? null : quantities.text(minimum ?? 0n))
  return rowsIn('place', [
    ...fields.map((field, i) => {
      const pick = ({ place }: Look) => place.key[i]
      return column(`k${i}`, sqlTypeOf(field), i < item.scope.length ? shared(looks, pick) : looks, pick)
    }),
    column('position', 'int4', looks, (_, i) => i + 1),
    column('by_expiry', 'bool', looks, ({ isByExpiry }) => isByExpiry),
    column('minimum', quantities.wideSqlType, looks, limitOf),
  ])
}

/** How much can be taken of the item `t`. No more than is there: where a balance may go below zero, a lot does not. */
function freeOf({ item, reservation, quantities, minimum }: StockMap, looks: readonly Look[]): Statement {
  const { key, onHand, reserved } = item
  const own = item.minimum ? `t.${columnOf(item.minimum)}` : minimum === null ? 'NULL' : quantities.text(minimum)
  const held = reserved ? `t.${columnOf(reserved)}` : undefined
  const isSame = reservation?.item.map((field, i) => {
    const named = key[i]
    return raw(named ? `r.${columnOf(field)} = t.${columnOf(named)}` : 'false')
  })
  const quantity = reservation && columnOf(reservation.quantity)
  const taken = reservation?.fulfilled && ` - r.${columnOf(reservation.fulfilled)}`
  // The statement that takes it ends these reservations. All looks are of one scope, since calls that are together are for one
  // place: as a constant it tells Citus the one shard.
  const expired =
    held !== undefined &&
    reservation &&
    isSame &&
    sql` + CASE WHEN ${raw(held)} <> 0 THEN coalesce((
      SELECT sum(r.${quantity}${raw(taken ?? '')}) FROM ${reservation.table} AS r
      WHERE ${join([inScope(reservation, 'r', looks[0]?.place.key ?? []), ...isSame], ' AND ')} AND r.${columnOf(reservation.state)} = ${stateIn(reservation.state, 'active')}
        AND r.${columnOf(reservation.expiresAt)} <= ${momentOf(reservation.expiresAt, 'clock_timestamp()')}
    ), 0) ELSE 0 END`
  const limit = `greatest(coalesce(place.minimum, ${own}), 0)`
  return sql`t.${columnOf(onHand)}::${raw(`${quantities.wideSqlType}${held ? ` - ${held}` : ''}`)}${expired} - ${raw(limit)}`
}

/**
 * Locks the transaction id and all lots that a request may take from. The lots are locked in the order of their keys, as
 * everywhere: a batch that meets it does not deadlock with it. Items of the caller's own lines are locked later, so a
 * deadlock with these is possible: PostgreSQL ends it, and the transaction is run again.
 */
export async function lockLots(tx: Session, map: StockMap, request: SourcedRequest): Promise<void> {
  const { table, key, onHand } = map.item
  const looks = [...looksOf([request]).values()]
  const isLocked = map.reservation && idsAreLocked(map, [request], () => request.kind === 'reserve', undefined)
  await tx.rows(sql`WITH locked AS MATERIALIZED (
  SELECT
  FROM ${placesIn(map, looks)} JOIN ${table} AS t ON ${keysEqual(placeFields(map).key, 't', 'place')}${where([isLocked, raw(`t.${columnOf(onHand)} > 0`)])}
  ORDER BY ${columnsOf(key, 't')}
  FOR NO KEY UPDATE OF t
)
SELECT count(*)::int AS locked FROM locked`)
}
