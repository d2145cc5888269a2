import { rowOf, type Session, type TransactionSession } from '../engine/session.js'
import { touches } from '../mapping/columns.js'
import { columnOf, momentOf } from '../sql/sql.js'
import { param, sql } from '../sql/statement.js'
import { errorText } from '../values/error-text.js'
import type { OutboxMap } from './mapping.js'
import { dueIn, dueNow, isKeyOf, isMessage, type MessageRow, messageColumns } from './statements.js'

/** The error of a delivery whose relay could not say how it went. */
export const LOST = 'A delivery was begun, and its process or its connection ended before its end was noted.'

/** A message that was taken. */
export interface TakenRow extends MessageRow {
  /** A delivery of it was begun before, and has ended without a note: a process or a connection was killed in it. */
  readonly hasLostOne: boolean
  /** Its last failure was such a one, and is noted: it may be what kills its process. */
  readonly isSuspect: boolean
}

/**
 * Takes the first message of a key of the topic that is due, and keeps it locked until the transaction ends.
 *
 * No two relays ever have one key: the message that a key's row calls the first is locked, and until the commit that makes
 * it another one each other relay sees the same, and passes the locked row over. One that was sent meanwhile is deleted,
 * which shows as soon as it is locked, whatever the snapshot; and so does it if it has died.
 *
 * PostgreSQL itself notes in the row who has locked it last (`xmax`), and does not take that back with a transaction that is
 * rolled back. A delivery that is noted as sent or failed leaves no row, or one that it has written itself (`xmin`). So a
 * row that others than its writer have locked, and hold no longer, was in a delivery of which nothing was noted; and to
 * know it costs the other ones no statement. A row that was written between our snapshot and our lock shows our own lock.
 * VACUUM may clear the note: then one delivery is not counted.
 *
 * The keys are looked through in the order of their index, and for each its message, whatever the statistics say. These
 * are of a time at which nothing was waiting: a plan by them begins with the messages, reads and sorts all that wait, and
 * takes a second for 100,000 keys. The limit that it does not know lets the planner expect that few keys are read.
 */
export async function take(tx: TransactionSession, map: OutboxMap, topic: string): Promise<TakenRow | undefined> {
  const { message, key } = map
  const [row] = await tx.rows<TakenRow>(sql`SELECT m.*
FROM (
  SELECT k.${columnOf(key.topic)}, k.${columnOf(key.key)}, k.${columnOf(key.head)}
  FROM ${key.table} AS k
  WHERE k.${columnOf(key.topic)} = ${param(topic, 'text')} AND k.${columnOf(key.dueAt)} <= ${momentOf(key.dueAt)}
  ORDER BY k.${columnOf(key.dueAt)}
  LIMIT (SELECT 1000000)
) AS k CROSS JOIN LATERAL (
  SELECT ${messageColumns(map)},
  m.xmax <> 0 AND m.xmax <> m.xmin AND m.xmax <> pg_current_xact_id()::xid AS "hasLostOne",
  m.${columnOf(message.error)} IS NOT DISTINCT FROM ${param(errorText(new Error(LOST)), 'text')} AS "isSuspect"
  FROM ${message.table} AS m
  WHERE ${isKeyOf(map)} AND m.${columnOf(message.position)} = k.${columnOf(key.head)}
    AND m.${columnOf(message.deadAt)} IS NULL
  FOR UPDATE SKIP LOCKED
) AS m
LIMIT 1`)
  return row
}

/**
 * Gives a message back that was taken and is not delivered now. By a write that changes nothing: without one, the lock that
 * stays in the row would tell of a delivery that was lost.
 */
export async function giveBack(tx: TransactionSession, map: OutboxMap, { id }: MessageRow): Promise<void> {
  const attempts = columnOf(map.message.attempts)
  await tx.rows(sql`UPDATE ${map.message.table} AS m SET ${attempts} = m.${attempts} WHERE ${isMessage(map, id)}`)
}

/** Notes that the message was sent, in the transaction of its delivery. The next one of its key is due now. */
export async function finish(
  tx: TransactionSession,
  map: OutboxMap,
  topic: string,
  { id, key }: MessageRow,
): Promise<void> {
  const { message, key: keys } = map
  const isKey = sql`k.${columnOf(keys.topic)} = ${param(topic, 'text')} AND k.${columnOf(keys.key)} = ${param(key, 'text')}`
  const [head, last] = [columnOf(keys.head), columnOf(keys.last)]
  // The key of a message without one is its id: nobody adds to it.
  const moved =
    key === id
      ? sql`DELETE FROM ${keys.table} AS k WHERE ${isKey} RETURNING 1`
      : sql`UPDATE ${keys.table} AS k SET ${head} = k.${head} + 1,
    ${columnOf(keys.dueAt)} = CASE WHEN k.${head} < k.${last} THEN ${dueNow(map)} END${touches(keys, 'k')}
  WHERE ${isKey} RETURNING 1`
  const { isDone } = await rowOf<{ isDone: boolean }>(
    tx,
    sql`WITH sent AS (
  DELETE FROM ${message.table} AS m WHERE ${isMessage(map, id)} RETURNING 1
), moved AS (
  ${moved}
)
SELECT EXISTS (SELECT FROM sent) AND EXISTS (SELECT FROM moved) AS "isDone"`,
  )
  if (!isDone) throw new Error(`The message ${id} of the outbox, or its key, was deleted while it was delivered.`)
}

/** A delivery that has failed. */
export interface Failure {
  readonly error: string
  /** `stop` and `skip` if it was the last one; otherwise in how many ms it is tried again. */
  readonly next: { readonly retryIn: number } | 'stop' | 'skip'
}

/**
 * Notes a failure: in the transaction that holds the message; or afterwards, where that has ended. If another relay has
 * taken it meanwhile, nothing is noted: it is under way. If another one has noted that this delivery was lost, nor is it:
 * the count is another one then.
 */
export async function fail(session: Session, map: OutboxMap, row: MessageRow, failure: Failure): Promise<void> {
  const { message, key } = map
  const { next } = failure
  const isDead = typeof next === 'string'
  const count = columnOf(message.attempts)
  const [head, last, dueAt] = [columnOf(key.head), columnOf(key.last), columnOf(key.dueAt)]
  const due = {
    stop: sql`${dueAt} = NULL`,
    skip: sql`${head} = k.${head} + 1, ${dueAt} = CASE WHEN k.${head} < k.${last} THEN ${dueNow(map)} END`,
  }
  await session.rows(sql`WITH own AS (
  SELECT m.${columnOf(message.id)} AS id
  FROM ${message.table} AS m
  WHERE ${isMessage(map, row.id)} AND m.${count} = ${param(row.attempts, 'int4')} AND m.${columnOf(message.deadAt)} IS NULL
  FOR UPDATE SKIP LOCKED
), failed AS (
  UPDATE ${message.table} AS m SET ${count} = m.${count} + 1, ${columnOf(message.error)} = ${param(failure.error, 'text')}${isDead && sql`, ${columnOf(message.deadAt)} = ${momentOf(message.deadAt)}`}${touches(message, 'm')}
  FROM own
  WHERE m.${columnOf(message.id)} = own.id
  RETURNING m.*
)
UPDATE ${key.table} AS k SET ${isDead ? due[next] : sql`${dueAt} = ${retryAt(map, next.retryIn)}`}${touches(key, 'k')}
FROM failed AS m
WHERE ${isKeyOf(map)} AND k.${head} = m.${columnOf(message.position)}`)
}

function retryAt(map: OutboxMap, ms: number) {
  return ms === 0 ? dueNow(map) : dueIn(map, param(ms, 'float8'))
}

/** In how many ms the next message of the topics is due; `undefined` if none is. */
export async function nextDue(
  session: Session,
  map: OutboxMap,
  topics: readonly string[],
): Promise<number | undefined> {
  const { table, topic, dueAt } = map.key
  const row = await rowOf<{ ms: number | null }>(
    session,
    sql`SELECT min(extract(epoch FROM due.at - ${momentOf(dueAt, 'clock_timestamp()')}) * 1000)::float8 AS ms
FROM unnest(${param(topics, 'text[]')}) AS t(topic), LATERAL (
  SELECT min(k.${columnOf(dueAt)}) AS at FROM ${table} AS k WHERE k.${columnOf(topic)} = t.topic
) AS due`,
  )
  return row.ms === null ? undefined : Math.max(0, row.ms)
}

/**
 * Deletes keys that have no messages. An `add` that meets it waits, and makes the key anew. One that was there first has
 * made the key due, and the condition is looked at again once the row is locked.
 */
export async function deleteIdleKeys(session: Session, map: OutboxMap, topics: readonly string[]): Promise<void> {
  const { key, message } = map
  await session.rows(sql`WITH idle AS (
  SELECT k.${columnOf(key.topic)} AS topic, k.${columnOf(key.key)} AS key
  FROM ${key.table} AS k
  WHERE k.${columnOf(key.topic)} = ANY (${param(topics, 'text[]')}) AND k.${columnOf(key.dueAt)} IS NULL
    AND NOT EXISTS (SELECT FROM ${message.table} AS m WHERE ${isKeyOf(map)})
  LIMIT 1000
  FOR UPDATE OF k SKIP LOCKED
)
DELETE FROM ${key.table} AS k
USING idle
WHERE k.${columnOf(key.topic)} = idle.topic AND k.${columnOf(key.key)} = idle.key`)
}
