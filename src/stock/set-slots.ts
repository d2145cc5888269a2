import { type Field, scalarsOf } from '../engine/data-model.js'
import { rowOf, type Session } from '../engine/session.js'
import { ConfigurationError, ItemNotFoundError, WriteSuppressedError } from '../errors/index.js'
import { columnsOf, keysEqual, stampColumns, stamps, touches } from '../mapping/columns.js'
import { isFilledIn } from '../mapping/mapping.js'
import { columnOf } from '../sql/sql.js'
import { param, raw, type SqlText, sql } from '../sql/statement.js'
import type { Item } from './item.js'
import type { HistoryMap, StockMap } from './mapping.js'
import { lockSlots, sumOf } from './slot-rows.js'
import { column, keyColumns, rowsIn } from './statements.js'

interface NumberOfSlots {
  readonly count: number
  readonly lockTimeout: number | undefined
  /** Only an item that has so many now; any other stays as it is. */
  readonly onlyFrom?: number
}

/**
 * Spreads an item over so many rows, evenly, whatever it had before. All of its slots are locked, the head first and against
 * the calls that look at all slots, so nobody sees an item with a part of its rows, and no row that is deleted has anything.
 *
 * @param map of the rows
 * @returns how many slots it had
 */
export async function setSlots(
  tx: Session,
  map: StockMap,
  item: Item,
  { count, lockTimeout, onlyFrom }: NumberOfSlots,
): Promise<number> {
  const copied = copiedFields(map)
  await map.keys.check(tx)
  await map.quantities.prepare(tx)
  const slots = (await lockSlots(tx, map, [item], { lockTimeout, isAlone: true })).get(item.id) ?? []
  if (onlyFrom !== undefined && slots.length !== onlyFrom) return slots.length
  const numbers = slots.map(({ row }) => Number(row.key.at(-1)))
  if (!numbers.includes(0)) throw new ItemNotFoundError(map.item.model.name, item.given)
  const kept = numbers.filter((number) => number >= 0 && number < count)
  const written = await writeRows(tx, map, item, { count, kept, copied, total: sumOf(slots) })
  const isWritten = written.gone === slots.length - kept.length && written.changed === kept.length
  if (!isWritten || written.made !== count - kept.length) throw new WriteSuppressedError(map.item.model.name, {})
  return slots.length
}

interface Rows {
  readonly count: number
  /** The numbers of the slots that stay. */
  readonly kept: readonly number[]
  readonly copied: readonly Field[]
  readonly total: bigint
}

/** New rows are copies of the head, with nothing as their opening balance; that of rows that go is the head's. */
function writeRows(tx: Session, map: StockMap, item: Item, { count, kept, copied, total }: Rows) {
  const { table, key: rowKey, slots, onHand, opening, updatedAt } = map.item
  const { history } = map
  if (!slots) throw new Error('Slots are made in a ledger that has none.')
  const key = rowKey.slice(0, -1)
  const { quantities } = map
  const share = total > 0n ? total / BigInt(count) : 0n
  const shared = param(quantities.text(share), quantities.wideSqlType)
  const head = param(quantities.text(total - share * BigInt(count - 1)), quantities.wideSqlType)
  const source = rowsIn('item', [
    ...keyColumns({ ...map, item: { ...map.item, key } }, [item]),
    column('wanted', 'int4', [count], (value) => value),
  ])
  const slot = `t.${columnOf(slots)}`
  const isItem = keysEqual(key, 't', 'item')
  const moved =
    opening &&
    raw(
      `, ${columnOf(opening)} = t.${columnOf(opening)} + CASE WHEN ${slot} = 0 THEN (SELECT coalesce(sum(opening), 0) FROM gone) ELSE 0 END`,
    )
  return rowOf<{ gone: number; changed: number; made: number }>(
    tx,
    sql`WITH gone AS (
  DELETE FROM ${table} AS t
  USING ${source}
  WHERE ${isItem} AND ${raw(slot)} NOT BETWEEN 0 AND item.wanted - 1
  RETURNING ${raw(opening ? `t.${columnOf(opening)}` : '0')} AS opening
), changed AS (
  UPDATE ${table} AS t
  SET ${columnOf(onHand)} = CASE WHEN ${raw(slot)} = 0 THEN ${head} ELSE ${shared} END${moved}${touches(map.item, 't')}
  FROM ${source}
  WHERE ${isItem} AND ${raw(slot)} BETWEEN 0 AND item.wanted - 1
  RETURNING 1
), made AS (
  INSERT INTO ${table} (${names([...key, slots, onHand, opening, history?.last, ...copied])}${stampColumns(updatedAt)})
  SELECT ${columnsOf(key, 't')}, s.number, ${shared}${opening && raw(', 0')}${history && lastNumber(map, history)}${raw(copied.map((field) => `, t.${columnOf(field)}`).join(''))}${stamps(updatedAt)}
  FROM ${source} JOIN ${table} AS t ON ${isItem} AND ${raw(slot)} = 0
  CROSS JOIN generate_series(1, item.wanted - 1) AS s(number)
  WHERE s.number <> ALL (${param(kept, 'int4[]')})
  RETURNING 1
)
SELECT (SELECT count(*) FROM gone)::int AS gone, (SELECT count(*) FROM changed)::int AS changed,
  (SELECT count(*) FROM made)::int AS made`,
  )
}

function names(fields: readonly (Field | undefined)[]): SqlText {
  return raw(fields.flatMap((field) => (field ? columnOf(field) : [])).join(', '))
}

/** The number of the last movement of a slot `s.number`, which was there before, and was merged: its history goes on. */
function lastNumber({ item, movement }: StockMap, { slot, sequence }: HistoryMap): SqlText | undefined {
  if (!slot) return undefined
  const isItem = item.rowKey
    .slice(0, -1)
    .map((field, i) => `m.${columnOf(movement.item[i] ?? field)} = t.${columnOf(field)}`)
    .join(' AND ')
  return raw(`, coalesce((
    SELECT max(m.${columnOf(sequence)}) FROM ${movement.table} AS m WHERE ${isItem} AND m.${columnOf(slot)} = s.number
  ), 0)`)
}

/**
 * The columns that a new row takes over from the head. One that is part of another key cannot be the same in two rows.
 *
 * @throws ConfigurationError if the database has no value of its own for such a column
 */
function copiedFields({ item, history }: StockMap): readonly Field[] {
  const { model, key, onHand, opening, updatedAt } = item
  const own: readonly unknown[] = [...key, onHand, opening, history?.last, ...updatedAt]
  const others = scalarsOf(model).filter((field) => !own.includes(field))
  const unfit = others.filter((field) => model.inKeys.has(field.name) && !isFilledIn(field))
  if (unfit.length > 0) {
    throw new ConfigurationError(
      unfit.map(({ name }) => ({
        path: 'item.model',
        message: `${model.name}.${name} is part of a key, so that every slot needs another one, and the database has no default for it`,
      })),
    )
  }
  return others.filter((field) => !model.inKeys.has(field.name))
}
