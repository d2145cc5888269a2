import { rowOf, type Session } from '../engine/session.js'
import { WriteSuppressedError } from '../errors/index.js'
import { columnsOf, keysEqual, touches } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import { raw, type Statement, sql } from '../sql/statement.js'
import type { Balance } from './decider.js'
import type { Item } from './item.js'
import { idAt } from './load-snapshot.js'
import type { StockMap } from './mapping.js'
import type { Request } from './request.js'
import { column, idColumns, isOf, keyColumns, limited, positions, rowsIn, where } from './statements.js'

/** The same ledger, in which each slot is an item: the keys of its items end with the number of the slot. */
export function rowsOf(map: StockMap): StockMap {
  return { ...map, item: { ...map.item, key: map.item.rowKey, reserved: undefined } }
}

/** A slot of an item, which is locked. */
export interface Slot {
  /** The item, with the number of the slot in its key. */
  readonly row: Item
  onHand: bigint
  /** The number of its last movement; 0 without a history. */
  readonly sequence: bigint
}

/** The field that numbers the slots. */
function slotOf({ item }: StockMap) {
  if (item.slots) return item.slots
  throw new Error('Slots are asked for of a ledger that has none.')
}

function keyOf({ item }: StockMap) {
  return item.rowKey.slice(0, -1)
}

/** Items as a list of FROM, without their slots. */
function itemsIn(map: StockMap, items: readonly Item[]): Statement {
  return rowsIn('item', [...keyColumns({ ...map, item: { ...map.item, key: keyOf(map) } }, items), positions(items)])
}

/**
 * How many slots items have, and what is in all of them: of one moment, since it is one statement. No item is locked. Where
 * the number adapts, and no request is looked up, also what is in each of them, in their order, as text.
 */
export async function readSlots(session: Session, map: StockMap, items: readonly Item[], id?: Request) {
  const { movement, quantities } = map
  await quantities.prepare(session)
  const isRecorded =
    id &&
    sql`EXISTS (SELECT FROM ${movement.table} AS t JOIN ${rowsIn('m', idColumns(movement, [id]))} ON ${isOf(movement, 't')})`
  const slot = map.item.adapts && !id && columnOf(slotOf(map))
  const each = slot && raw(`, array_agg(t.${columnOf(map.item.onHand)}::text ORDER BY t.${slot}) AS each`)
  const rows = await session.rows<{
    position: number
    count: number
    onHand: string
    each?: readonly string[]
    isRecorded: boolean
  }>(
    sql`SELECT item.position, count(*)::int AS count, sum(t.${columnOf(map.item.onHand)})::text AS "onHand"${each}, ${isRecorded ?? raw('false')} AS "isRecorded"
FROM ${itemsIn(map, items)} JOIN ${map.item.table} AS t ON ${keysEqual(keyOf(map), 't', 'item')}
GROUP BY item.position`,
  )
  const slots = new Map(
    rows.map(({ position, count, onHand, each }) => [
      idAt(items, position),
      { count, total: quantities.parse(onHand), each },
    ]),
  )
  return { slots, isRecorded: rows[0]?.isRecorded ?? false }
}

/**
 * Locks items with all of their slots, and reads them. `setSlots` locks the head, slot 0, against this: so the rows that the
 * second statement finds are all that there are until the transaction ends. Were they one statement, it would not see a row
 * that was made while it waited. Rows are locked in the order of their keys and numbers, as by every statement of a batch, so
 * that nobody deadlocks with it; the lock of the heads is in nobody's way but that of `setSlots`, which begins with the head.
 *
 * @param lockTimeout how long it may wait for a row, in ms
 * @param isAlone for `setSlots`
 */
export async function lockSlots(
  tx: Session,
  map: StockMap,
  items: readonly Item[],
  { lockTimeout, isAlone }: { readonly lockTimeout?: number | undefined; readonly isAlone?: boolean } = {},
) {
  const { table, onHand } = map.item
  const slot = slotOf(map)
  const key = keyOf(map)
  await tx.rows(sql`SELECT item.position
FROM ${itemsIn(map, items)} JOIN ${table} AS t ON ${keysEqual(key, 't', 'item')}${where([raw(`t.${columnOf(slot)} = 0`), limited(lockTimeout)])}
ORDER BY ${columnsOf(key, 't')}
FOR ${raw(isAlone ? 'UPDATE' : 'KEY SHARE')} OF t`)
  const { history } = map
  const rows = await tx.rows<{ position: number; slot: number; onHand: string; sequence?: string }>(
    sql`SELECT item.position, t.${columnOf(slot)} AS slot, t.${columnOf(onHand)}::text AS "onHand"${history && raw(`, t.${columnOf(history.last)}::text AS sequence`)}
FROM ${itemsIn(map, items)} JOIN ${table} AS t ON ${keysEqual(key, 't', 'item')}
ORDER BY ${columnsOf(map.item.rowKey, 't')}
FOR ${raw(isAlone ? '' : 'NO KEY ')}UPDATE OF t`,
  )
  const found = new Map<string, Slot[]>()
  for (const { position, slot, onHand, sequence = 0 } of rows) {
    const item = items[position - 1]
    if (item === undefined) throw new Error(`The database has named the item ${position} of ${items.length}.`)
    const { id, key, given } = item
    const slots = found.get(id) ?? []
    found.set(id, slots)
    const row = { id, key: [...key, String(slot)], given }
    slots.push({ row, onHand: map.quantities.parse(onHand), sequence: BigInt(sequence) })
  }
  return found
}

export function sumOf(slots: readonly Slot[]): bigint {
  return slots.reduce((sum, { onHand }) => sum + onHand, 0n)
}

/** A balance of so much on hand, in which the next movement has the number behind this one. */
export function balanceOf({ minimum }: StockMap, onHand: bigint, sequence = 0n): Balance {
  return { onHand, reserved: 0n, minimum, maximum: null, sequence }
}

/** Writes what slots have on hand. They are locked. */
export async function writeSlots(tx: Session, map: StockMap, slots: readonly Slot[]): Promise<void> {
  if (slots.length === 0) return
  const { table, onHand, model } = map.item
  const rows = slots.map(({ row }) => row)
  const onHands = column('on_hand', map.quantities.wideSqlType, slots, (slot) => map.quantities.text(slot.onHand))
  const { count } = await rowOf<{ count: number }>(
    tx,
    sql`WITH changed AS (
  UPDATE ${table} AS t SET ${columnOf(onHand)} = item.on_hand${touches(map.item, 't')}
  FROM ${rowsIn('item', [...keyColumns(map, rows), onHands])}
  WHERE ${keysEqual(map.item.key, 't', 'item')}
  RETURNING 1
)
SELECT count(*)::int AS count FROM changed`,
  )
  if (count !== slots.length) throw new WriteSuppressedError(model.name, {})
}
