import { rowOf, type Session } from '../engine/session.js'
import { columnOf, momentIn } from '../sql/sql.js'
import { param, sql } from '../sql/statement.js'
import type { InboxMap } from './mapping.js'

/**
 * Deletes up to `limit` messages that were handled more than so many ms ago, by the database's clock; resolves to how many.
 * Two machines that prune at once share the work instead of waiting for each other.
 */
export async function deleteOld(
  session: Session,
  { message }: InboxMap,
  {
    consumer,
    olderThan,
    limit,
  }: { readonly consumer: string | undefined; readonly olderThan: number; readonly limit: number },
): Promise<number> {
  const [own, id] = [columnOf(message.consumer), columnOf(message.messageId)]
  const age = sql`now() - make_interval(secs => ${param(olderThan, 'float8')} / 1000)`
  const { count } = await rowOf<{ count: number }>(
    session,
    sql`WITH old AS (
  SELECT m.${own} AS consumer, m.${id} AS id
  FROM ${message.table} AS m
  WHERE m.${columnOf(message.handledAt)} < ${momentIn(message.handledAt, age)}${consumer !== undefined && sql` AND m.${own} = ${param(consumer, 'text')}`}
  LIMIT ${param(limit, 'int')}
  FOR UPDATE SKIP LOCKED
), deleted AS (
  DELETE FROM ${message.table} AS m
  USING old
  WHERE m.${own} = old.consumer AND m.${id} = old.id
  RETURNING 1
)
SELECT count(*)::int AS count FROM deleted`,
  )
  return count
}
