import { isUnsupported } from '../engine/error-facts.js'
import { rowOf, type Session } from '../engine/session.js'
import { param, raw, type SqlText, sql } from '../sql/statement.js'
import * as s from '../values/schema.js'
import { checkArguments } from '../values/validation.js'
import { AT_LEAST, type KeyStore } from './key-store.js'
import type { OperationMethods } from './operation-methods.js'

const HUNDRED_YEARS = 36_525 * 86_400_000 // the database's dates do not go back for ever
const pruneSchema = s.strictObject({
  olderThan: s
    .number('must be a number of ms')
    .check(s.gte(0, 'must not be negative'), s.lte(HUNDRED_YEARS, 'must not be more than a hundred years')),
  batchSize: s.optional(s.whole().check(s.gte(1), s.lte(1_000_000))),
})

export async function pruneKeys(
  methods: OperationMethods,
  session: Session,
  options: unknown,
): Promise<{ count: number }> {
  const { olderThan, batchSize = 1_000 } = checkArguments(pruneSchema, options)
  const store = methods.storeOfKeys()
  let lock = SKIP_LOCKED
  const next = () => deleteOld(store, session, { olderThan, limit: batchSize, lock })
  for (let count = 0; ; ) {
    const deleted = await next().catch((error: unknown) => {
      // Citus locks no rows of several shards. Two that prune at once then wait for each other.
      if (!isUnsupported(error) || lock === undefined || session.inTransaction) throw error
      lock = undefined
      return next()
    })
    count += deleted
    if (deleted < batchSize) return { count }
  }
}

/** Two machines that prune at once share the work instead of waiting for each other. */
const SKIP_LOCKED: SqlText | undefined = raw('\n  FOR UPDATE SKIP LOCKED')

interface Batch {
  readonly olderThan: number
  readonly limit: number
  readonly lock: SqlText | undefined
}

/**
 * Deletes up to `limit` keys older than so many ms by the database's clock; resolves to how many.
 * The last success of a job with a pause stays: it is a row per job, and without it the job would
 * run too early.
 */
async function deleteOld(store: KeyStore, session: Session, { olderThan, limit, lock }: Batch): Promise<number> {
  const { columns: c, table } = store
  const statement = sql`WITH old AS (
  SELECT ${c.scope}, ${c.key}
  FROM ${table}
  WHERE ${c.createdAt} < ${store.moment(sql`now() - make_interval(secs => ${param(olderThan, 'float8')} / 1000)`)}
    AND NOT (${c.key} = ${param(AT_LEAST.key)} AND starts_with(${c.scope}, ${param(AT_LEAST.scope)}))
  LIMIT ${param(limit, 'int')}${lock}
), deleted AS (
  DELETE FROM ${table} AS t USING old
  WHERE t.${c.scope} = old.${c.scope} AND t.${c.key} = old.${c.key}
  RETURNING 1
)
SELECT count(*)::int AS count FROM deleted`
  return (await store.send(rowOf<{ count: number }>(session, statement))).count
}
