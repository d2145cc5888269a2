import type { Field } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError, ItemNotFoundError } from '../errors/index.js'
import { columnsOf, keysEqual, sqlTypeOf, stateIn } from '../mapping/columns.js'
import { keyValue } from '../sql/key-value.js'
import { enumName } from '../sql/raw-record.js'
import type { Scope } from '../sql/scope.js'
import { columnOf, epochOf, momentOf } from '../sql/sql.js'
import { join, type Piece, param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import * as s from '../values/schema.js'
import { checkArguments, isRecord } from '../values/validation.js'
import { inScope } from './in-scope.js'
import { type Item, itemOfRow, readItem } from './item.js'
import type { Args } from './lines.js'
import type { LinesMap, ReservationMap, StockMap } from './mapping.js'
import { withSums } from './slot-sums.js'
import { column, keyColumns, rowsIn, where } from './statements.js'

/** The looks at the stock: each is one statement, so all that it shows is of one moment. */

/** How many rows a page has at most. */
export const LIMIT = s.optional(s.whole().check(s.gte(1), s.lte(10_000)))
export const USUAL_LIMIT = 1_000

const pageSchema = s.object({ limit: LIMIT })
const STATES = ['active', 'released', 'fulfilled', 'expired'] as const
const reservationsSchema = s.object({
  limit: LIMIT,
  state: s.optional(s.oneOf(STATES)),
  after: s.optional(s.object({ transactionId: s.string(), line: s.whole() })),
})

interface BalanceRow {
  readonly key: string[]
  readonly onHand: string
  readonly reserved: string
  readonly minimum: string | null
  readonly deferred: string
}

export async function readBalance(session: Session, map: StockMap, args: Args) {
  const item = readItem(map.item, args.scope, args.item, 'item')
  const [found] = await balancesOf(session, map, {
    list: itemList(map, [item]),
    listed: map.item.key,
    limit: 1,
  })
  if (found === undefined) throw new ItemNotFoundError(map.item.model.name, item.given)
  return found
}

export async function readBalances(session: Session, map: StockMap, args: Args) {
  const { item, scope } = { item: map.item, scope: args.scope }
  const { limit = USUAL_LIMIT } = checkArguments(pageSchema, { limit: args.limit })
  const items = args.items === undefined ? undefined : readItems(map, args)
  const conditions = partOf(map, args.where)
  const after = args.after === undefined ? undefined : readItem(item, scope, args.after, 'after')
  const behind =
    after &&
    sql`(${columnsOf(item.key, 't')}) > (${join(item.key.map((field, i) => sql`${param(after.key[i], sqlTypeOf(field))}`))})`
  if (items?.length === 0) return []
  return balancesOf(session, map, {
    ...(items ? { list: itemList(map, items), listed: item.key } : ofScope(map, scope)),
    conditions: [inScope(item, 't', scope), ...conditions, behind],
    limit,
  })
}

/** With slots a list of the scope: by it Citus knows the one shard, which a condition on sums does not tell. */
function ofScope({ item }: StockMap, scope: Scope) {
  if (!item.slots || scope.length === 0) return {}
  const values = item.scope.map((field, i) => column(`k${i}`, sqlTypeOf(field), [scope[i]], (value) => value))
  return { list: rowsIn('item', values), listed: item.scope }
}

interface Wanted {
  /** A list `item` in front of the table `t`, and the fields of the key that it has. */
  readonly list?: Statement
  readonly listed?: readonly Field[]
  readonly conditions?: readonly Piece[]
  readonly limit: number
}

async function balancesOf(session: Session, map: StockMap, { list, listed, conditions = [], limit }: Wanted) {
  const { item, quantities } = withSums(map, listed)
  await quantities.prepare(session)
  const { table, key, onHand, reserved, minimum } = item
  const texts = join(key.map((field) => raw(`t.${columnOf(field)}::text`)))
  const held = reserved ? sql`(t.${columnOf(reserved)} - ${expiredOf(map)})::text` : raw(`'0'`)
  const rows =
    await session.rows<BalanceRow>(sql`SELECT ARRAY[${texts}] AS key, t.${columnOf(onHand)}::text AS "onHand",
  ${held} AS reserved,
  ${minimum ? raw(`t.${columnOf(minimum)}::text`) : raw('NULL')} AS minimum,
  ${deferredOf(map)} AS deferred
FROM ${list && sql`${list} JOIN `}${table} AS t${listed && raw(` ON ${keysEqual(listed, 't', 'item')}`)}${where(conditions)}
ORDER BY ${columnsOf(key, 't')}
LIMIT ${param(limit, 'int4')}`)
  return rows.map((row) => {
    const present = quantities.parse(row.onHand)
    const reserved = quantities.parse(row.reserved)
    const limit = minimum ? row.minimum : map.minimum
    const least = typeof limit === 'string' ? quantities.parse(limit) : (limit ?? 0n)
    const available = present - reserved - least
    return {
      item: itemOfRow(item, row.key).given,
      onHand: quantities.value(present),
      reserved: quantities.value(reserved),
      available: quantities.value(available > 0n ? available : 0n),
      deferred: quantities.value(quantities.parse(row.deferred)),
    }
  })
}

/** How much of what the item `t` has reserved is free again: the time of its reservation is up. */
function expiredOf({ reservation, item }: StockMap): Statement {
  if (!reservation) return sql`0`
  const { table, state, expiresAt } = reservation
  return sql`coalesce((
    SELECT sum(${leftOf(reservation)}) FROM ${table} AS r
    WHERE ${ofItem(reservation, 'r', item.key)} AND r.${columnOf(state)} = ${stateIn(state, 'active')} AND r.${columnOf(expiresAt)} <= ${now(expiresAt)}
  ), 0)`
}

function leftOf({ quantity, fulfilled }: ReservationMap): SqlText {
  return raw(`r.${columnOf(quantity)}${fulfilled ? ` - r.${columnOf(fulfilled)}` : ''}`)
}

/** The movements of the item `t` that are recorded, and not folded. With a history these movements are found by its index, for none has a number. */
function deferredOf({ movement, item, history }: StockMap): Statement {
  const { applied, refused, quantity, table } = movement
  if (!applied) return sql`'0'`
  return sql`coalesce((
    SELECT sum(m.${columnOf(quantity)}) FROM ${table} AS m
    WHERE ${ofItem(movement, 'm', item.key)} AND NOT m.${columnOf(applied)}${refused && raw(` AND NOT m.${columnOf(refused)}`)}${history && raw(` AND m.${columnOf(history.sequence)} IS NULL`)}
  ), 0)::text`
}

/** The rows of `alias` are of the item `t`. */
function ofItem({ item }: LinesMap, alias: string, key: readonly Field[]): SqlText {
  return join(
    key.flatMap((own, i) => {
      const field = item[i]
      return field ? raw(`${alias}.${columnOf(field)} = t.${columnOf(own)}`) : []
    }),
    ' AND ',
  )
}

function now(field: Field): SqlText {
  return momentOf(field, 'statement_timestamp()')
}

function itemList(map: StockMap, items: readonly Item[]): Statement {
  return rowsIn('item', keyColumns(map, items))
}

function readItems({ item }: StockMap, { items, scope }: Args): readonly Item[] {
  if (!Array.isArray(items)) throw new InvalidArgumentError('items', 'must be a list of items.')
  const all = items.map((given: unknown, i) => readItem(item, scope, given, `items[${i}]`))
  return [...new Map(all.map((one) => [one.id, one])).values()]
}

/** Conditions on the fields of the key of `t`. */
function partOf({ item: { own } }: StockMap, given: unknown): readonly Statement[] {
  if (given === undefined) return []
  const names = own.map(({ name }) => name)
  if (!isRecord(given))
    throw new InvalidArgumentError('where', `must be an object with fields of the key: ${names.join(', ')}.`)
  return Object.entries(given).map(([name, value]) => {
    const field = own.find((one) => one.name === name)
    if (!field) throw new InvalidArgumentError(`where.${name}`, 'is not part of the key of an item.')
    return sql`t.${columnOf(field)} = ${param(keyValue(value, field, `where.${name}`), sqlTypeOf(field))}`
  })
}

interface ReservationRow {
  readonly transactionId: string
  readonly line: number
  readonly key: string[]
  readonly quantity: string
  readonly fulfilled: string
  readonly state: unknown
  readonly isOver: boolean
  readonly expiresAt: number | null
}

export async function readReserved(session: Session, map: StockMap, args: Args) {
  const reservation = requireReservation(map)
  const {
    limit = USUAL_LIMIT,
    state,
    after,
  } = checkArguments(reservationsSchema, { limit: args.limit, state: args.state, after: args.after })
  const item = args.item === undefined ? undefined : readItem(map.item, args.scope, args.item, 'item')
  await map.quantities.prepare(session)
  const { table, scope, transactionId, line } = reservation
  const place = [...scope, transactionId, line]
  const values = after && [...args.scope, after.transactionId, after.line]
  const behind =
    values &&
    sql`(${columnsOf(place, 'r')}) > (${join(place.map((field, i) => sql`${param(values[i], sqlTypeOf(field))}`))})`
  const of = item
    ? sql`${itemList(map, [item])} JOIN ${table} AS r ON ${keysEqual(reservation.item, 'r', 'item')}`
    : sql`${table} AS r`
  const rows = await session.rows<ReservationRow>(sql`SELECT ${columnsOfReservation(reservation)}
FROM ${of}${where([inScope(reservation, 'r', args.scope), state && isIn(reservation, state), behind])}
ORDER BY ${columnsOf(place, 'r')}
LIMIT ${param(limit, 'int4')}`)
  return rows.map((row) => ({ transactionId: row.transactionId, ...entryOf(map, reservation, row) }))
}

/** A reservation whose time is up has expired, though its row says so only when something ends it. */
function isIn({ state, expiresAt }: ReservationMap, wanted: (typeof STATES)[number]): SqlText {
  const is = (name: string) => `r.${columnOf(state)} = ${stateIn(state, name)}`
  const end = `r.${columnOf(expiresAt)}`
  if (wanted === 'active') return raw(`${is('active')} AND (${end} > ${now(expiresAt)}) IS NOT FALSE`)
  if (wanted === 'expired') return raw(`(${is('expired')} OR (${is('active')} AND ${end} <= ${now(expiresAt)}))`)
  return raw(is(wanted))
}

function columnsOfReservation(reservation: ReservationMap): Statement {
  const { transactionId, line, item, quantity, fulfilled, state, expiresAt } = reservation
  return sql`r.${columnOf(transactionId)}::text AS "transactionId", r.${columnOf(line)} AS line, ARRAY[${keyTexts(item, 'r')}] AS key,
  r.${columnOf(quantity)}::text AS quantity, ${raw(fulfilled ? `r.${columnOf(fulfilled)}::text` : `'0'`)} AS fulfilled, r.${columnOf(state)} AS state,
  coalesce(r.${columnOf(expiresAt)} <= ${now(expiresAt)}, false) AS "isOver", ${epochOf(expiresAt, 'r.')} AS "expiresAt"`
}

function keyTexts(item: readonly Field[], alias: string): SqlText {
  return join(item.map((field) => raw(`${alias}.${columnOf(field)}::text`)))
}

function entryOf(
  { item, quantities }: StockMap,
  { state }: ReservationMap,
  row: Omit<ReservationRow, 'transactionId'>,
) {
  const recorded = enumName(row.state, state)
  return {
    line: row.line,
    item: itemOfRow(item, row.key).given,
    quantity: quantities.value(quantities.parse(row.quantity)),
    fulfilled: quantities.value(quantities.parse(row.fulfilled)),
    state: recorded === 'active' && row.isOver ? 'expired' : recorded,
    expiresAt: row.expiresAt === null ? null : new Date(row.expiresAt),
  }
}

function requireReservation({ reservation }: StockMap): ReservationMap {
  if (reservation) return reservation
  throw new ConfigurationError([
    { path: 'reservation', message: 'must be mapped to a model, for reservations to be listed' },
  ])
}

interface StatementRow {
  readonly movements: readonly MovementRow[]
  readonly reservations: readonly Omit<ReservationRow, 'transactionId'>[]
}

interface MovementRow {
  readonly line: number
  readonly key: string[]
  readonly quantity: string
  readonly isApplied: boolean
  readonly isRefused: boolean
  readonly reverses: string | null
}

/** All that is recorded under a transaction id, in one statement. */
export async function readStatement(session: Session, map: StockMap, args: Args) {
  const { movement, reservation, quantities } = map
  const id = keyValue(args.transactionId, movement.transactionId, 'transactionId')
  await quantities.prepare(session)
  const { applied, refused, reverses } = movement
  const flag = (field: Field | undefined, other: string) => raw(field ? `m.${columnOf(field)}` : other)
  const isOf = ({ scope, transactionId }: LinesMap, alias: string) =>
    where([
      inScope({ scope }, alias, args.scope),
      sql`${raw(alias)}.${columnOf(transactionId)} = ${param(id, sqlTypeOf(transactionId))}`,
    ])
  const list = (rows: Statement) => sql`(
  SELECT coalesce(json_agg(part ORDER BY line), '[]') FROM (
    ${rows}
  ) AS part
)`
  const movements =
    list(sql`SELECT m.${columnOf(movement.line)} AS line, ARRAY[${keyTexts(movement.item, 'm')}] AS key, m.${columnOf(movement.quantity)}::text AS quantity,
      ${flag(applied, 'true')} AS "isApplied", ${flag(refused, 'false')} AS "isRefused", ${flag(reverses, 'NULL')} AS reverses
    FROM ${movement.table} AS m${isOf(movement, 'm')}`)
  const reservations = reservation
    ? list(sql`SELECT ${columnsOfReservation(reservation)} FROM ${reservation.table} AS r${isOf(reservation, 'r')}`)
    : sql`'[]'::json`
  const [found] = await session.rows<StatementRow>(
    sql`SELECT ${movements} AS movements, ${reservations} AS reservations`,
  )
  return {
    movements: (found?.movements ?? []).map(({ line, key, quantity, isApplied, isRefused, reverses }) => ({
      line,
      item: itemOfRow(map.item, key).given,
      quantity: quantities.value(quantities.parse(quantity)),
      state: isRefused ? 'refused' : isApplied ? 'applied' : 'deferred',
      reverses,
    })),
    reservations: reservation ? (found?.reservations ?? []).map((row) => entryOf(map, reservation, row)) : [],
  }
}
