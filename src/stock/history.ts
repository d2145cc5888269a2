import type { Field } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError, ItemNotFoundError } from '../errors/index.js'
import { keysEqual, sqlTypeOf } from '../mapping/columns.js'
import { columnOf, epochOf, momentIn } from '../sql/sql.js'
import { join, param, raw, sql } from '../sql/statement.js'
import * as s from '../values/schema.js'
import { checkArguments } from '../values/validation.js'
import { readItem } from './item.js'
import type { Args } from './lines.js'
import { LIMIT, USUAL_LIMIT } from './look.js'
import { type HistoryMap, historyOptions, type StockMap } from './mapping.js'
import { keyColumns, rowsIn, where } from './statements.js'

const historySchema = s.object({
  limit: LIMIT,
  order: s.optional(s.oneOf(['asc', 'desc'])),
  slot: s.optional(s.whole()),
  after: s.optional(s.object({ sequence: s.whole(), slot: s.optional(s.whole()) })),
})

interface HistoryRow {
  readonly sequence: string
  readonly transactionId: string
  readonly line: number
  readonly quantity: string
  readonly balance: string
  readonly at: number
  readonly slot?: number
}

/**
 * The movements of an item by their numbers. A number is given with the item locked until the commit, so none that is lower
 * than one that is seen is still to come. Of an item with slots that is so in each slot: they come one slot behind the other.
 */
export async function readHistory(session: Session, map: StockMap, args: Args) {
  const history = requireHistory(map)
  const { movement, quantities } = map
  const item = readItem(map.item, args.scope, args.item, 'item')
  const { limit, order, after, number, slot, place, conditions } = readPage(history, args)
  await quantities.prepare(session)
  const rows =
    await session.rows<HistoryRow>(sql`SELECT ${number}::text AS sequence, m.${columnOf(movement.transactionId)}::text AS "transactionId", m.${columnOf(movement.line)} AS line,
  m.${columnOf(movement.quantity)}::text AS quantity, m.${columnOf(history.balance)}::text AS balance, ${epochOf(history.at, 'm.')} AS at${slot && raw(`, ${slot} AS slot`)}
FROM ${rowsIn('item', keyColumns(map, [item]))} JOIN ${movement.table} AS m ON ${keysEqual(movement.item, 'm', 'item')}${where(conditions)}
ORDER BY ${join(place.map((each) => raw(each + (order === 'asc' ? '' : ' DESC'))))}
LIMIT ${param(limit, 'int4')}`)
  if (after && !slot) checkBeginning(after.sequence, order, rows[0])
  return rows.map(({ sequence, quantity, balance, at, ...row }) => ({
    sequence: Number(sequence),
    ...row,
    quantity: quantities.value(quantities.parse(quantity)),
    balance: quantities.value(quantities.parse(balance)),
    at: new Date(at),
  }))
}

/** The arguments of a page, and what they are in SQL: the columns that it is in the order of, and its conditions. */
function readPage(history: HistoryMap, args: Args) {
  const given = { limit: args.limit, order: args.order, slot: args.slot, after: afterOf(args.after) }
  const { limit = USUAL_LIMIT, order = 'asc', slot: wanted, after } = checkArguments(historySchema, given)
  const number = raw(`m.${columnOf(history.sequence)}`)
  const slot = history.slot && raw(`m.${columnOf(history.slot)}`)
  if (!slot && wanted !== undefined) throw new InvalidArgumentError('slot', 'is for items that have slots.')
  if (slot && after) checkSlot(after.slot, wanted)
  const isOverSlots = slot !== undefined && wanted === undefined
  const place = isOverSlots ? [slot, number] : [number]
  const compare = raw(order === 'asc' ? '>' : '<')
  const sequence = after && param(after.sequence, 'int8')
  const isBehind = isOverSlots
    ? sql`(${join(place)}) ${compare} (${param(after?.slot, 'int4')}, ${sequence})`
    : sql`${number} ${compare} ${sequence}`
  const conditions = [
    wanted !== undefined && sql`${slot} = ${param(wanted, 'int4')}`,
    after && isBehind,
    (isOverSlots || !after) && raw(`${number} IS NOT NULL`),
  ]
  return { limit, order, after, number, slot, place, conditions }
}

/** The numbers are those of a slot: without it, nobody knows which movement is meant. */
function checkSlot(slot: number | undefined, wanted: number | undefined): void {
  if (wanted === undefined && slot === undefined) {
    throw new InvalidArgumentError(
      'after.slot',
      'must be that of the last movement of the page before, or slot be given.',
    )
  }
  if (wanted === undefined || slot === undefined || slot === wanted) return
  throw new InvalidArgumentError('after.slot', `must be ${wanted}, the slot that is asked for.`)
}

/** The numbers begin at 1 and have no gap, so one that is missing on a page is of a movement that is pruned. */
function checkBeginning(after: number, order: 'asc' | 'desc', first: HistoryRow | undefined): void {
  if (order === 'desc') {
    if (first !== undefined || after <= 1) return
    throw new InvalidArgumentError('after', `is where the history begins: the movements before ${after} were pruned.`)
  }
  if (first === undefined || BigInt(first.sequence) <= BigInt(after) + 1n || after < 0) return
  throw new InvalidArgumentError(
    'after',
    `is before the history begins, at ${first.sequence}: the movements between were pruned. Leave it out.`,
  )
}

/** An entry of a page has more than its number. */
function afterOf(after: unknown): unknown {
  if (typeof after !== 'object' || after === null || !('sequence' in after)) return after
  return { sequence: after.sequence, ...('slot' in after && { slot: after.slot }) }
}

interface MomentRow {
  readonly onHand: string
  readonly opening: string
  readonly last: string
  readonly first: string | null
  readonly before: string | null
  readonly balance: string | null
}

/**
 * The balance after the last movement of an item by a time. Along the numbers of an item the times never go back, so
 * the place is found by halves: twenty looks into the index of the numbers for a million movements, and no index of the times.
 */
export async function readBalanceAt(session: Session, map: StockMap, args: Args) {
  const history = requireHistory(map)
  const { quantities } = map
  const item = readItem(map.item, args.scope, args.item, 'item')
  const { at } = args
  if (!(at instanceof Date) || Number.isNaN(at.getTime())) throw new InvalidArgumentError('at', 'must be a Date.')
  await quantities.prepare(session)
  const { table, key, onHand, opening } = map.item
  const [number, balance] = [raw(`m.${columnOf(history.sequence)}`), raw(`m.${columnOf(history.balance)}`)]
  const isBefore = sql`m.${columnOf(history.at)} <= ${momentIn(history.at, sql`${param(at.toISOString(), 'timestamptz')}`)}`
  // As parameters, and not by a list: the index then has the numbers of the item in their order, without a sort.
  const values = key.map((field, i) => param(item.key[i], sqlTypeOf(field)))
  const isOf = (fields: readonly Field[], alias: string) =>
    join(
      fields.map((field, i) => sql`${raw(alias)}.${columnOf(field)} = ${values[i]}`),
      ' AND ',
    )
  const of = sql`FROM ${map.movement.table} AS m WHERE ${isOf(map.movement.item, 'm')} AND ${number}`
  const [found] = await session.rows<MomentRow>(sql`WITH RECURSIVE search AS (
  SELECT (SELECT ${number} - 1 ${of} IS NOT NULL ORDER BY ${number} LIMIT 1) AS low,
    (SELECT ${number} + 1 ${of} IS NOT NULL ORDER BY ${number} DESC LIMIT 1) AS high
  UNION ALL
  SELECT CASE WHEN is_before THEN middle ELSE low END, CASE WHEN is_before THEN high ELSE middle END
  FROM (
    SELECT low, high, (low + high) / 2 AS middle FROM search WHERE high - low > 1
  ) AS s, LATERAL (
    SELECT coalesce((SELECT ${isBefore} ${of} <= middle ORDER BY ${number} DESC LIMIT 1), true) AS is_before
  ) AS m
)
SELECT t.${columnOf(onHand)}::text AS "onHand", ${raw(opening ? `t.${columnOf(opening)}::text` : `'0'`)} AS opening, t.${columnOf(history.last)}::text AS last,
  f.first::text, f.before::text, (SELECT ${balance} ${of} <= (SELECT low FROM search WHERE high - low = 1) ORDER BY ${number} DESC LIMIT 1)::text AS balance
FROM ${table} AS t LEFT JOIN LATERAL (
  SELECT ${number} AS first, ${balance} - m.${columnOf(map.movement.quantity)} AS before ${of} IS NOT NULL ORDER BY ${number} LIMIT 1
) AS f ON true
WHERE ${isOf(key, 't')}`)
  if (found === undefined) throw new ItemNotFoundError(map.item.model.name, item.given)
  return quantities.value(quantities.parse(balanceOf(found)))
}

/** Before its first movement an item has its opening balance; but nobody knows it of a time before the numbers begin. */
function balanceOf({ onHand, opening, last, first, before, balance }: MomentRow): string {
  if (balance !== null) return balance
  const isWhole = first === null ? last === '0' && onHand === opening : first === '1' && before === opening
  if (isWhole) return opening
  throw new InvalidArgumentError('at', 'is before the history of the item begins.')
}

/** @throws ConfigurationError that names the columns which are missing */
export function requireHistory({ history, item, movement }: StockMap): HistoryMap {
  if (history) return history
  const issues = historyOptions(item).flatMap((name, i) => {
    const [path, { model }] = i === 0 ? ['item', item] : ['movement', movement]
    if (model.fields.has(name)) return []
    return [{ path: `${path}.${name}`, message: `must name a field of ${model.name}, for the history` }]
  })
  throw new ConfigurationError(issues)
}
