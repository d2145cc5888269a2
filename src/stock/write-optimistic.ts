import { columnsOf, keyNames, keysEqual, sqlTypeOf, stamps } from '../mapping/columns.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { withModelErrors } from '../prisma/model-error.js'
import { isWritten, refusedCount } from '../sql/refusal.js'
import { columnOf } from '../sql/sql.js'
import { raw } from '../sql/statement.js'
import { lockLimit } from '../transactions/limits.js'
import { assignments, flagColumns, flagValues, linesColumns } from './columns.js'
import type { MovementEntry, WriteSet } from './decider.js'
import { areUnreserved } from './id-locks.js'
import { keyArrays, keyParameters } from './load-snapshot.js'
import type { StockMap } from './mapping.js'

/**
 * Writes what was judged by a guess, in a single statement that checks the guess: an item that has
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
export async function writeOptimistic(
  client: PrismaClientLike,
  map: StockMap,
  { items, movements }: Pick<WriteSet, 'items' | 'movements'>,
  lockTimeout: number,
  isGuess = false,
): Promise<boolean> {
  const [item, ...otherItems] = items
  if (item && otherItems.length === 0 && movements.length > 0) {
    const statement = client.$queryRawUnsafe(...oneItem(map, item, movements, lockTimeout, isGuess))
    return isWritten(withModelErrors(statement, map.movement.model.name))
  }
  const positions = new Map(items.map(({ item }, i) => [item.id, i + 1]))
  const { quantities } = map
  const texts = (values: readonly bigint[]) => values.map((value) => quantities.text(value))
  const statement = client.$queryRawUnsafe(
    checkedStatement(map, lockTimeout, isGuess),
    ...keyArrays(
      map,
      items.map(({ item }) => item),
    ),
    texts(items.map(({ known }) => known.onHand)),
    texts(items.map(({ next }) => next.onHand)),
    texts(items.map(({ known }) => known.reserved)),
    texts(items.map(({ next }) => next.reserved)),
    items.map(({ known }) => (known.minimum === null ? null : quantities.text(known.minimum))),
    movements.map(({ transactionId }) => transactionId),
    movements.map(({ line }) => line),
    movements.map(({ item }) => positions.get(item.id)),
    texts(movements.map(({ quantity }) => quantity)),
    movements.map(({ isRefused }) => isRefused),
    items.length,
    movements.length,
  )
  return isWritten(withModelErrors(statement, map.movement.model.name))
}

/** The same for movements of a single item, such as the hottest: sooner planned, and with no order of locks to keep. */
function oneItem(
  map: StockMap,
  { item: { key: values }, known, next }: WriteSet['items'][number],
  movements: readonly MovementEntry[],
  lockTimeout: number,
  isGuess: boolean,
): [string, ...unknown[]] {
  const { table, key, onHand, reserved, minimum } = map.item
  const { movement, quantities } = map
  const parameters: unknown[] = []
  const parameter = (value: unknown, type: string | undefined) => `$${parameters.push(value)}::${type}`
  const number = (units: bigint | null) => parameter(units === null ? null : quantities.text(units), quantities.sqlType)
  const ids = parameter(
    movements.map(({ transactionId }) => transactionId),
    `${sqlTypeOf(movement.transactionId)}[]`,
  )
  const own = key.map((field, i) => parameter(values[i], sqlTypeOf(field)))
  const checks = [
    ...key.map((field, i) => `t.${columnOf(field)} = ${own[i]}`),
    `t.${columnOf(onHand)} = ${number(known.onHand)}`,
    ...(reserved ? [`t.${columnOf(reserved)} = ${number(known.reserved)}`] : []),
    ...(minimum ? [`t.${columnOf(minimum)} IS NOT DISTINCT FROM ${number(known.minimum)}`] : []),
    `(SELECT ${lockLimit(lockTimeout)}) IS NOT NULL`,
    ...(isGuess && map.reservation ? [areUnreserved(map, ids)] : []),
  ]
  const assigned = assignments(map, number(next.onHand), reserved && number(next.reserved))
  const arrays = [
    ids,
    parameter(
      movements.map(({ line }) => line),
      'int4[]',
    ),
    parameter(
      movements.map(({ quantity }) => quantities.text(quantity)),
      `${quantities.sqlType}[]`,
    ),
    parameter(
      movements.map(({ isRefused }) => isRefused),
      'bool[]',
    ),
  ]
  const wanted = parameter(movements.length, 'int')
  const sql = `WITH changed AS (
  UPDATE ${table} AS t
  SET ${assigned}
  WHERE ${checks.join(' AND ')}
  RETURNING 1
), added AS (
  INSERT INTO ${movement.table} (${linesColumns(movement)}${flagColumns(map)})
  SELECT m.id, m.line, ${own.join(', ')}, m.quantity${stamps(movement.updatedAt)}${flagValues(map, 'm.refused')}
  FROM changed, unnest(${arrays.join(', ')}) AS m(id, line, quantity, refused)
  ORDER BY m.id, m.line
  ON CONFLICT DO NOTHING
  RETURNING 1
)
SELECT CASE WHEN count(*) <> ${wanted} THEN ${refusedCount(raw('count(*)'), raw(wanted))} END AS refusal
FROM added`
  return [sql, ...parameters]
}

/** A text that is cast to a number is the way of a single statement to fail after it has written. */
function checkedStatement(map: StockMap, lockTimeout: number, isGuess: boolean): string {
  const { table, key, onHand, reserved, minimum } = map.item
  const { quantities, movement } = map
  const k = key.length
  const number = `${quantities.sqlType}[]`
  const ids = `$${k + 6}::${sqlTypeOf(movement.transactionId)}[]`
  const unreserved = isGuess && map.reservation ? `\n    AND ${areUnreserved(map, ids)}` : ''
  const itemTypes = [...key.map(sqlTypeOf), ...Array(5).fill(quantities.sqlType)]
  return `WITH item AS MATERIALIZED (
  SELECT *
  FROM unnest(${keyParameters(itemTypes)}) WITH ORDINALITY
    AS item(${keyNames(key)}, known, next, known_reserved, next_reserved, minimum, position)
), locked AS MATERIALIZED (
  SELECT ${columnsOf(key, 't')}
  FROM ${table} AS t
  WHERE (${columnsOf(key, 't')}) IN (SELECT ${keyNames(key)} FROM item) AND (SELECT ${lockLimit(lockTimeout)}) IS NOT NULL${unreserved}
  ORDER BY ${columnsOf(key, 't')}
  FOR NO KEY UPDATE OF t
), changed AS (
  UPDATE ${table} AS t
  SET ${assignments(map)}
  FROM item JOIN locked AS l ON ${keysEqual(key, 'l', 'item')}
  WHERE ${keysEqual(key, 't', 'item')}
    AND t.${columnOf(onHand)} = item.known${reserved ? `\n    AND t.${columnOf(reserved)} = item.known_reserved` : ''}${minimum ? `\n    AND t.${columnOf(minimum)} IS NOT DISTINCT FROM item.minimum` : ''}
  RETURNING item.position, ${keyNames(key, 'item.')}
), added AS (
  INSERT INTO ${movement.table} (${linesColumns(movement)}${flagColumns(map)})
  SELECT m.id, m.line, ${keyNames(key, 'c.')}, m.quantity${stamps(movement.updatedAt)}${flagValues(map, 'm.refused')}
  FROM unnest(${ids}, $${k + 7}::int4[], $${k + 8}::int8[], $${k + 9}::${number}, $${k + 10}::bool[])
    AS m(id, line, position, quantity, refused)
  JOIN changed AS c USING (position)
  ORDER BY m.id, m.line
  ON CONFLICT DO NOTHING
  RETURNING 1
)
SELECT CASE
    WHEN c.count <> $${k + 11}::int THEN ${refusedCount(raw('c.count'), raw(`$${k + 11}::int`))}
    WHEN a.count <> $${k + 12}::int THEN ${refusedCount(raw('a.count'), raw(`$${k + 12}::int`))}
  END AS refusal
FROM (SELECT count(*) FROM changed) AS c, (SELECT count(*) FROM added) AS a`
}
