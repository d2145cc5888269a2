import { rowOf, type Session, type TransactionSession } from '../engine/session.js'
import { sqlTypeOf, touches } from '../mapping/columns.js'
import { columnOf, epochOf } from '../sql/sql.js'
import { join, param, raw, type Statement, sql } from '../sql/statement.js'
import type { OutboxMap } from './mapping.js'
import { messageOf } from './message.js'
import { dueNow, isKeyOf, type MessageRow, messageColumns } from './statements.js'
import type { DeadMessage } from './types.js'

export interface Filter {
  readonly topic?: string | undefined
  readonly key?: string | undefined
  readonly id?: string | undefined
}

interface DeadRow extends MessageRow {
  readonly topic: string
  readonly deadAt: number
  readonly error: string | null
}

export async function deadMessages(
  session: Session,
  map: OutboxMap,
  filter: Filter,
  limit: number,
): Promise<DeadMessage[]> {
  const { message } = map
  const rows = await session.rows<DeadRow>(sql`SELECT ${messageColumns(map)}, m.${columnOf(message.topic)} AS topic,
  ${epochOf(message.deadAt, 'm.')} AS "deadAt", m.${columnOf(message.error)} AS error
FROM ${message.table} AS m
WHERE ${isMeant(map, filter)}
ORDER BY m.${columnOf(message.deadAt)}, m.${columnOf(message.id)}
LIMIT ${param(limit, 'int8')}`)
  return rows.map((row) => {
    const { attempt, ...message } = messageOf(row.topic, row)
    return { ...message, attempt: attempt - 1, deadAt: new Date(row.deadAt), error: row.error ?? '' }
  })
}

function isMeant({ message }: OutboxMap, { topic, key, id }: Filter): Statement {
  return join(
    [
      raw(`m.${columnOf(message.deadAt)} IS NOT NULL`),
      topic !== undefined && sql`m.${columnOf(message.topic)} = ${param(topic, 'text')}`,
      key !== undefined && sql`m.${columnOf(message.key)} = ${param(key, 'text')}`,
      id !== undefined && sql`m.${columnOf(message.id)} = ${param(id, sqlTypeOf(message.id))}`,
    ],
    ' AND ',
  )
}

/**
 * The keys are locked in one order, by a statement of its own: the next one has a snapshot of after that, and from then on
 * nobody adds to them, redrives or discards. No relay holds a dead message.
 */
async function lockKeys(tx: TransactionSession, map: OutboxMap, filter: Filter): Promise<void> {
  const { key, message } = map
  await tx.rows(sql`SELECT 1 AS locked
FROM ${key.table} AS k
WHERE EXISTS (SELECT FROM ${message.table} AS m WHERE ${isKeyOf(map)} AND ${isMeant(map, filter)})
ORDER BY k.${columnOf(key.topic)}, k.${columnOf(key.key)}
FOR NO KEY UPDATE OF k`)
}

/** One that has stopped its key is sent in its place; one that was skipped gets the next position of its key. */
export async function redrive(tx: TransactionSession, map: OutboxMap, filter: Filter): Promise<number> {
  await lockKeys(tx, map, filter)
  const { key, message } = map
  const [id, position] = [columnOf(message.id), columnOf(message.position)]
  const [head, last, dueAt] = [columnOf(key.head), columnOf(key.last), columnOf(key.dueAt)]
  const { count } = await rowOf<{ count: number }>(
    tx,
    sql`WITH meant AS (
  SELECT m.${id} AS id, m.${columnOf(message.topic)} AS topic, m.${columnOf(message.key)} AS key, m.${position} AS position, k.${last} AS last,
    m.${position} = k.${head} AS is_first
  FROM ${message.table} AS m JOIN ${key.table} AS k ON ${isKeyOf(map)}
  WHERE ${isMeant(map, filter)}
), placed AS (
  SELECT *, CASE WHEN is_first THEN position ELSE last + row_number() OVER (PARTITION BY topic, key, is_first ORDER BY position) END AS place
  FROM meant
), redriven AS (
  UPDATE ${message.table} AS m SET ${position} = placed.place, ${columnOf(message.attempts)} = 0, ${columnOf(message.deadAt)} = NULL${touches(message, 'm')}
  FROM placed
  WHERE m.${id} = placed.id
  RETURNING 1
), moved AS (
  UPDATE ${key.table} AS k SET ${last} = k.${last} + of_key.skipped,
    ${dueAt} = CASE WHEN of_key.has_first OR k.${head} > k.${last} THEN ${dueNow(map)} ELSE k.${dueAt} END${touches(key, 'k')}
  FROM (
    SELECT topic, key, bool_or(is_first) AS has_first, count(*) FILTER (WHERE NOT is_first) AS skipped
    FROM meant
    GROUP BY topic, key
  ) AS of_key
  WHERE k.${columnOf(key.topic)} = of_key.topic AND k.${columnOf(key.key)} = of_key.key
)
SELECT count(*)::int AS count FROM redriven`,
  )
  return count
}

/** A key that was stopped goes on with its next message. */
export async function discard(tx: TransactionSession, map: OutboxMap, filter: Filter): Promise<number> {
  await lockKeys(tx, map, filter)
  const { key, message } = map
  const [head, last] = [columnOf(key.head), columnOf(key.last)]
  const { count } = await rowOf<{ count: number }>(
    tx,
    sql`WITH discarded AS (
  DELETE FROM ${message.table} AS m WHERE ${isMeant(map, filter)} RETURNING m.*
), moved AS (
  UPDATE ${key.table} AS k SET ${head} = k.${head} + 1,
    ${columnOf(key.dueAt)} = CASE WHEN k.${head} < k.${last} THEN ${dueNow(map)} END${touches(key, 'k')}
  FROM discarded AS m
  WHERE ${isKeyOf(map)} AND m.${columnOf(message.position)} = k.${head}
)
SELECT count(*)::int AS count FROM discarded`,
  )
  return count
}
