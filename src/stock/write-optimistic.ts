import type { Session } from '../engine/session.js'
import { keyNames, keysEqual, sqlTypeOf, stamps } from '../mapping/columns.js'
import { isWritten, refusedCount } from '../sql/refusal.js'
import { columnOf } from '../sql/sql.js'
import { join, param, raw, type Statement, sql } from '../sql/statement.js'
import type { WriteSet } from './decider.js'
import type { StockMap } from './mapping.js'
import {
  and,
  andBelow,
  assignments,
  flagColumns,
  flagValues,
  idsAreUnreserved,
  keyLists,
  limited,
  linesColumns,
  listOf,
  lockItems,
} from './statements.js'

/** The conditions besides the balances. */
export interface OptimisticWrite {
  /** How long the statement may wait for a row, in ms. */
  readonly lockTimeout: number
  /** Whether the transaction ids were not locked beforehand, so that they have to be checked. */
  readonly isUnlocked: boolean
}

type Writes = Pick<WriteSet, 'items' | 'movements'>

/**
 * Writes decisions that were made by a guess, in a single statement that checks the guess: an item that has
 * another balance by now, or a movement that is known already, undoes all of it.
 *
 * The items are locked first, in the order of their keys, then written, and only then are the
 * movements added: the sort keeps them back until the last item is done. So two batches wait for
 * each other's items in one order, and a batch that waits for another's movement holds nothing
 * that the other still needs. A lock that had to wait finds the row as it is now, so the check of
 * the balance is one of the present, though the statement's snapshot is older; a movement that was
 * committed meanwhile is found by ON CONFLICT, which no snapshot hides.
 *
 * @returns whether it was written
 */
export function writeOptimistic(
  session: Session,
  map: StockMap,
  { items, movements }: Writes,
  write: OptimisticWrite,
): Promise<boolean> {
  const [item] = items
  const isOne = item && items.length === 1 && movements.length > 0
  const statement = isOne ? ofOneItem(map, item, movements, write) : ofItems(map, { items, movements }, write)
  return isWritten(session.rows(statement))
}

/** The columns of movements, as arrays. */
function listsOf({ movement, quantities }: StockMap, movements: Writes['movements']) {
  return {
    ids: listOf(movements, ({ transactionId }) => transactionId, sqlTypeOf(movement.transactionId)),
    lines: listOf(movements, ({ line }) => line, 'int4'),
    quantities: listOf(movements, ({ quantity }) => quantities.text(quantity), quantities.sqlType),
    refused: listOf(movements, ({ isRefused }) => isRefused, 'bool'),
  }
}

/** For movements of a single item, such as the hottest: sooner planned, and with no order of locks to keep. */
function ofOneItem(
  map: StockMap,
  { item: { key: values }, known, next }: Writes['items'][number],
  movements: Writes['movements'],
  { lockTimeout, isUnlocked }: OptimisticWrite,
): Statement {
  const { table, key, onHand, reserved, minimum } = map.item
  const { movement, quantities } = map
  const lists = listsOf(map, movements)
  const number = (units: bigint | null) => param(units === null ? null : quantities.text(units), quantities.sqlType)
  const own = key.map((field, i) => param(values[i], sqlTypeOf(field)))
  const checks = [
    ...key.map((field, i) => sql`t.${columnOf(field)} = ${own[i]}`),
    sql`t.${columnOf(onHand)} = ${number(known.onHand)}`,
    reserved && sql`t.${columnOf(reserved)} = ${number(known.reserved)}`,
    minimum && sql`t.${columnOf(minimum)} IS NOT DISTINCT FROM ${number(known.minimum)}`,
    limited(lockTimeout),
    isUnlocked && map.reservation && idsAreUnreserved(map, lists.ids),
  ]
  return sql`WITH changed AS (
  UPDATE ${table} AS t
  SET ${assignments(map, number(next.onHand), number(next.reserved))}
  WHERE ${join(checks, ' AND ')}
  RETURNING 1
), added AS (
  INSERT INTO ${movement.table} (${linesColumns(movement)}${flagColumns(map)})
  SELECT m.id, m.line, ${join(own)}, m.quantity${stamps(movement.updatedAt)}${flagValues(map, raw('m.refused'))}
  FROM changed, unnest(${join([lists.ids, lists.lines, lists.quantities, lists.refused])}) AS m(id, line, quantity, refused)
  ORDER BY m.id, m.line
  ON CONFLICT DO NOTHING
  RETURNING 1
)
SELECT ${refusedUnless('count(*)', movements.length)} AS refusal
FROM added`
}

function ofItems(map: StockMap, { items, movements }: Writes, { lockTimeout, isUnlocked }: OptimisticWrite): Statement {
  const { table, key, onHand, reserved, minimum } = map.item
  const { quantities, movement } = map
  const lists = listsOf(map, movements)
  const numbers = (of: (item: Writes['items'][number]) => bigint | null) =>
    listOf(items, (item) => textOf(of(item)), quantities.sqlType)
  const textOf = (units: bigint | null) => (units === null ? null : quantities.text(units))
  const positions = new Map(items.map(({ item }, i) => [item.id, i + 1]))
  const columns = [
    ...keyLists(
      map,
      items.map(({ item }) => item),
    ),
    numbers(({ known }) => known.onHand),
    numbers(({ next }) => next.onHand),
    numbers(({ known }) => known.reserved),
    numbers(({ next }) => next.reserved),
    numbers(({ known }) => known.minimum),
  ]
  const places = listOf(movements, ({ item }) => positions.get(item.id), 'int8')
  const unreserved = isUnlocked && map.reservation && idsAreUnreserved(map, lists.ids)
  return sql`WITH item AS MATERIALIZED (
  SELECT *
  FROM unnest(${join(columns)}) WITH ORDINALITY
    AS item(${keyNames(key)}, known, next, known_reserved, next_reserved, minimum, position)
), locked AS MATERIALIZED (
  ${lockItems(map, raw('item'), sql`${and(limited(lockTimeout))}${andBelow(unreserved)}`)}
), changed AS (
  UPDATE ${table} AS t
  SET ${assignments(map)}
  FROM item JOIN locked AS l ON ${keysEqual(key, 'l', 'item')}
  WHERE ${keysEqual(key, 't', 'item')}
    AND t.${columnOf(onHand)} = item.known${reserved && andBelow(raw(`t.${columnOf(reserved)} = item.known_reserved`))}${minimum && andBelow(raw(`t.${columnOf(minimum)} IS NOT DISTINCT FROM item.minimum`))}
  RETURNING item.position, ${keyNames(key, 'item.')}
), added AS (
  INSERT INTO ${movement.table} (${linesColumns(movement)}${flagColumns(map)})
  SELECT m.id, m.line, ${keyNames(key, 'c.')}, m.quantity${stamps(movement.updatedAt)}${flagValues(map, raw('m.refused'))}
  FROM unnest(${join([lists.ids, lists.lines, places, lists.quantities, lists.refused])})
    AS m(id, line, position, quantity, refused)
  JOIN changed AS c USING (position)
  ORDER BY m.id, m.line
  ON CONFLICT DO NOTHING
  RETURNING 1
)
SELECT CASE
    ${refusedWhen('c.count', items.length)}
    ${refusedWhen('a.count', movements.length)}
  END AS refusal
FROM (SELECT count(*) FROM changed) AS c, (SELECT count(*) FROM added) AS a`
}

function refusedUnless(written: string, wanted: number): Statement {
  return sql`CASE ${refusedWhen(written, wanted)} END`
}

function refusedWhen(written: string, wanted: number): Statement {
  const count = param(wanted, 'int')
  return sql`WHEN ${raw(written)} <> ${count} THEN ${refusedCount(raw(written), count)}`
}
