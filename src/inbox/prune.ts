import { rowOf, type Session } from '../engine/session.js'
import { columnOf, momentIn } from '../sql/sql.js'
import { param, sql } from '../sql/statement.js'
import * as s from '../values/schema.js'
import { checkArguments, keyTextSchema } from '../values/validation.js'
import type { InboxMap } from './mapping.js'

const HUNDRED_YEARS = 36_525 * 86_400_000 // the database's dates do not go back for ever
const pruneSchema = s.strictObject({
  olderThan: s.number('must be a number of ms').check(s.gte(0), s.lte(HUNDRED_YEARS)),
  consumer: s.optional(keyTextSchema),
  batchSize: s.optional(s.whole().check(s.gte(1), s.lte(1_000_000))),
})

export async function pruneInbox(session: Session, map: InboxMap, options: unknown): Promise<{ count: number }> {
  const { olderThan, consumer, batchSize: limit = 1_000 } = checkArguments(pruneSchema, options)
  for (let count = 0; ; ) {
    const deleted = await deleteOld(session, map, { consumer, olderThan, limit })
    count += deleted
    if (deleted < limit) return { count }
  }
}

/**
 * Deletes up to `limit` messages that were handled more than so many ms ago, by the database's clock; resolves to how many.
 * Two machines that prune at once share the work instead of waiting for each other.
 */
async function deleteOld(
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
