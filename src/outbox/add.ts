import { rowOf, type Session } from '../engine/session.js'
import { sqlTypeOf, stampColumns, stamps, touches } from '../mapping/columns.js'
import { keyText } from '../sql/key-text.js'
import { columnOf, momentOf } from '../sql/sql.js'
import { param, raw, sql } from '../sql/statement.js'
import type { OutboxMap } from './mapping.js'
import { dueNow } from './statements.js'

export interface NewMessage {
  readonly topic: string
  readonly key: string | undefined
  /** As JSON. */
  readonly payload: string
}

/**
 * Checks the texts of a message against its columns.
 *
 * @param prefix the text before the names of its parts in errors
 * @throws InvalidArgumentError that names the part
 */
export function newMessage({ message }: OutboxMap, given: NewMessage, prefix = ''): NewMessage {
  const { topic, key, payload } = given
  return {
    topic: keyText(topic, message.topic, `${prefix}topic`),
    key: key === undefined ? undefined : keyText(key, message.key, `${prefix}key`),
    payload,
  }
}

/**
 * Adds a message to the transaction, in one statement. The row of its key is locked first, and stays so until the
 * transaction ends: so positions follow the commits, have no gaps, and no lower one is committed after a higher one.
 *
 * A new key begins with the time in µs, since it may have been there before, and was deleted when its messages were sent: it
 * has had fewer of them than µs have passed.
 *
 * A relay that delivers a message of the key does not hold this row until it notes that it has.
 */
export async function addMessage(
  tx: Pick<Session, 'rows'>,
  map: OutboxMap,
  added: NewMessage,
): Promise<{ readonly id: string; readonly position: bigint }> {
  await map.keys.check(tx)
  const { message, key, channel } = map
  const topic = param(added.topic, 'text')
  const [head, last, dueAt] = [columnOf(key.head), columnOf(key.last), columnOf(key.dueAt)]
  const now = dueNow(map)
  const notified = channel !== undefined && sql`, pg_notify(${param(channel, 'text')}, ${topic})::text AS notified`
  const statement = sql`WITH new AS MATERIALIZED (
  SELECT id, coalesce(${param(added.key ?? null, 'text')}, id::text) AS key,
    (extract(epoch FROM clock_timestamp()) * 1000000)::int8 AS first
  FROM gen_random_uuid() AS id
), place AS (
  INSERT INTO ${key.table} AS k (${columnOf(key.topic)}, ${columnOf(key.key)}, ${head}, ${last}, ${dueAt}${stampColumns(key.updatedAt)})
  SELECT ${topic}, new.key, new.first, new.first, ${now}${stamps(key.updatedAt)} FROM new
  ON CONFLICT (${columnOf(key.topic)}, ${columnOf(key.key)}) DO UPDATE SET ${last} = k.${last} + 1,
    ${dueAt} = CASE WHEN k.${head} > k.${last} THEN ${now} ELSE k.${dueAt} END${touches(key, 'k')}
  RETURNING k.${last} AS position
), added AS (
  INSERT INTO ${message.table} AS m (${columnOf(message.id)}, ${columnOf(message.topic)}, ${columnOf(message.key)}, ${columnOf(message.position)}, ${columnOf(message.payload)}, ${columnOf(message.attempts)}, ${columnOf(message.createdAt)}${stampColumns(message.updatedAt)})
  SELECT new.id${raw(sqlTypeOf(message.id) === 'text' ? '::text' : '')}, ${topic}, new.key, place.position, ${param(added.payload, 'jsonb')}, 0, ${momentOf(message.createdAt, 'clock_timestamp()')}${stamps(message.updatedAt)}
  FROM new CROSS JOIN place
  RETURNING m.${columnOf(message.id)}::text AS id, m.${columnOf(message.position)}::int8 AS position
)
SELECT id, position${notified} FROM added`
  const { id, position } = await rowOf<{ id: string; position: bigint }>(tx, statement)
  return { id, position }
}
