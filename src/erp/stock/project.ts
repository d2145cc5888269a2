import { WriteSuppressedError } from '../../errors.js'
import type { PrismaClientLike } from '../../prisma/client.js'
import type { Field } from '../../prisma/data-model.js'
import { columnOf } from '../../prisma/sql.js'
import { columnsOf, keyNames, touches } from '../columns.js'
import type { StockMap } from './mapping.js'
import { isRefusal } from './write-checked.js'

interface Batch {
  readonly found: number
  readonly folded: number
}

/**
 * Folds up to `limit` deferred movements into the balances, in one statement: it is done as a
 * whole or not at all, so it can be stopped and started again at any point.
 *
 * Each movement has a flag of its own. A high-water mark would miss the movement that got its place
 * in the order first and was committed last. SKIP LOCKED shares the movements out among those who
 * fold at once; the items are then locked in the order of their keys, as everywhere. What is added
 * is added to the row as it is, so it does not matter who else has changed it.
 *
 * @returns how many were there, of which that of an item that was deleted meanwhile is not folded
 */
export async function foldSome(client: PrismaClientLike, map: StockMap, limit: number): Promise<Batch> {
  const { item, movement } = map
  const applied = columnOf(movement.applied as NonNullable<typeof movement.applied>)
  const { key } = item
  const [id, line, quantity] = [movement.transactionId, movement.line, movement.quantity].map(columnOf)
  const keys = movement.item.map((field, i) => `m.${columnOf(field)} AS k${i}`).join(', ')
  const itemKeys = (alias: string) => key.map((field, i) => `t.${columnOf(field)} = ${alias}.k${i}`).join(' AND ')
  const onHand = columnOf(item.onHand)
  const statement = client.$queryRawUnsafe(
    `WITH batch AS MATERIALIZED (
  SELECT m.${id} AS id, m.${line} AS line, m.${quantity} AS quantity, ${keys}
  FROM ${movement.table} AS m
  WHERE NOT m.${applied}
    AND EXISTS (SELECT FROM ${item.table} AS t WHERE ${movement.item.map((field, i) => `t.${columnOf(key[i] as Field)} = m.${columnOf(field)}`).join(' AND ')})
  LIMIT $1::int
  FOR UPDATE OF m SKIP LOCKED
), sums AS MATERIALIZED (
  SELECT ${keyNames(key)}, sum(quantity) AS quantity FROM batch GROUP BY ${keyNames(key)}
), locked AS MATERIALIZED (
  SELECT ${columnsOf(key, 't')}
  FROM ${item.table} AS t
  WHERE (${columnsOf(key, 't')}) IN (SELECT ${keyNames(key)} FROM sums)
  ORDER BY ${columnsOf(key, 't')}
  FOR NO KEY UPDATE OF t
), changed AS (
  UPDATE ${item.table} AS t SET ${onHand} = t.${onHand} + s.quantity${touches(item, 't')}
  FROM sums AS s JOIN locked AS l ON ${key.map((field, i) => `l.${columnOf(field)} = s.k${i}`).join(' AND ')}
  WHERE ${itemKeys('s')}
  RETURNING ${keyNames(key, 's.')}
), folded AS (
  UPDATE ${movement.table} AS m SET ${applied} = true${touches(movement, 'm')}
  FROM batch AS b JOIN changed AS c USING (${keyNames(key)})
  WHERE m.${id} = b.id AND m.${line} = b.line
  RETURNING 1
)
SELECT (SELECT count(*) FROM batch)::int AS found, f.count::int AS folded,
  CASE WHEN f.count <> w.count THEN ('refused:' || f.count || ' of ' || w.count)::int END AS refusal
FROM (SELECT count(*) FROM folded) AS f,
  (SELECT count(*) FROM batch JOIN changed USING (${keyNames(key)})) AS w`,
    limit,
  )
  try {
    const [{ found, folded }] = (await statement) as [Batch]
    return { found, folded }
  } catch (error) {
    // A balance that has it, and a movement that says it has not: it would be added again and again.
    if (isRefusal(error)) throw new WriteSuppressedError(movement.model.name, {}, { cause: error })
    throw error
  }
}
