import type { Field } from '../engine/data-model.js'
import { sqlState } from '../engine/error-facts.js'
import { rowOf, type Session } from '../engine/session.js'
import { isConcurrencyError, WriteSuppressedError } from '../errors/index.js'
import { columnsAsKeys, columnsOf, keyNames, keysEqual, touches } from '../mapping/columns.js'
import { refusalOf, refusedCount } from '../sql/refusal.js'
import type { Scope } from '../sql/scope.js'
import { columnOf } from '../sql/sql.js'
import { join, type Piece, param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import { lockLimit } from '../transactions/limits.js'
import { inScope } from './in-scope.js'
import { type Item, itemOfRow } from './item.js'
import type { HistoryMap, StockMap } from './mapping.js'
import { momentIn } from './numbering.js'
import { keyColumns, rowsIn } from './statements.js'

/** A stock whose movements have a flag that says whether they are in the balance. */
export type Applying = StockMap & { readonly movement: { readonly applied: Field } }

interface Batch {
  readonly found: number
  readonly folded: number
  /** The place of the last movement in the table. */
  readonly last: string
}

/** Before the first place in a table. */
export const START = '(0,0)'

/** An item whose deferred movements could not be folded, and what the database says against it. */
export interface Unfolded {
  readonly item: unknown
  readonly error: unknown
}

/** The scope of the movements that are folded, and how many of them are at once. */
interface Bounds {
  readonly scope: Scope
  readonly batchSize: number
  /** Only those movements `m`. */
  readonly condition?: Piece
}

/** Runs one statement so that its failure undoes it alone, and nothing else of a transaction. */
export type RunOne = <R>(statement: (session: Session) => Promise<R>) => Promise<R>

/**
 * Folds what is deferred, batch by batch. A batch that fails because of an item is taken apart, by
 * halves, until that item is alone. Such an item is left out of the batches that follow, so that
 * the others are folded; the next call tries it again.
 *
 * A batch goes on behind the place where the one before it ended: it would else read again what all of them
 * have folded (2.2 times the time, for 300,000 movements). A movement that has changed its place meanwhile
 * may be passed over. So the end is a batch from the start of the table that is not full.
 */
export async function foldAll(run: RunOne, map: Applying, { scope, batchSize, condition }: Bounds) {
  const failed = new Map<Item, unknown>()
  let folded = 0
  const fold = async (which: Which): Promise<Batch> => {
    const batch = await run((session) => applyDeferred(session, map, batchSize, which)).catch(
      async (error: unknown) => {
        // Where this fails, so does the next statement, which tells it.
        if (isOfItem(error)) await run((session) => waitForRollback(session, map, batchSize, which)).catch(() => {})
        throw error
      },
    )
    folded += batch.folded
    // A trigger or a policy keeps an item as it is: its movements would be found again and again. One that was
    // deleted meanwhile is not found any more.
    if (batch.folded < batch.found) throw new WriteSuppressedError(map.item.model.name, {})
    return batch
  }
  const foldApart = async (items: readonly Item[]): Promise<void> => {
    const [item] = items
    if (item === undefined) return
    try {
      for (let found = batchSize; found === batchSize; )
        found = (await fold({ only: items, after: START, scope, condition })).found
    } catch (error) {
      if (!isOfItem(error)) throw error
      const half = items.length >> 1
      if (half === 0) failed.set(item, error)
      else for (const part of [items.slice(0, half), items.slice(half)]) await foldApart(part)
    }
  }
  for (let after = START; ; ) {
    const which = { except: [...failed.keys()], after, scope, condition }
    try {
      const { found, last } = await fold(which)
      // That was all there was. Later movements are for the next call: this one would else never end.
      if (found < batchSize && after === START) break
      after = found < batchSize ? START : last
    } catch (error) {
      if (!isOfItem(error)) throw error
      const items = await run((session) => findDeferred(session, map, batchSize, which))
      // Where none is left, somebody else has taken them meanwhile, or it was no item that failed: a
      // statement without any then fails, too.
      await (items.length > 0 ? foldApart(items) : fold({ only: [], after, scope, condition }))
    }
  }
  const unfolded = [...failed].map(([item, error]): Unfolded => ({ item: item.given, error }))
  return unfolded.length > 0 ? { folded, failed: unfolded } : { folded }
}

/** Which movements are folded: of these items alone, or of all but these; behind which place in the table; of which scope. */
type Which = ({ readonly only: readonly Item[] } | { readonly except: readonly Item[] }) & {
  readonly after: string
  readonly scope: Scope
  readonly condition?: Piece
}

/**
 * Classes of errors that say nothing about a row: of the connection, the transaction, the schema,
 * the server and its resources (manual, "Appendix A"). Others come from a value, a constraint, or a
 * trigger of the user's, which may raise a code of its own.
 */
const NOT_OF_A_ROW = /^(?:08|0A|25|26|28|34|3D|3F|40|42|53|54|55|57|58|F0|HV|XX)/
/** Also what a policy says that refuses a row. */
const INSUFFICIENT_PRIVILEGE = '42501'

function isOfItem(error: unknown): boolean {
  if (isConcurrencyError(error, 'WRITE_SUPPRESSED')) return true
  const state = sqlState(error)
  return state !== undefined && (state === INSUFFICIENT_PRIVILEGE || !NOT_OF_A_ROW.test(state))
}

/** A condition on the items of the movements `m`. None for all of them. */
function conditionOf(map: StockMap, which: Which): Statement | undefined {
  const isOnly = 'only' in which
  const items = isOnly ? which.only : which.except
  if (!isOnly && items.length === 0) return undefined
  const columns = columnsOf(map.movement.item, 'm')
  return sql`\n    AND (${columns}) ${!isOnly && raw('NOT ')}IN (SELECT ${keyNames(map.item.key)} FROM ${rowsIn('item', keyColumns(map, items))})`
}

/**
 * Up to `limit` movements that are deferred, of items that are there, and that nobody else is folding. OFFSET
 * keeps the EXISTS from becoming a join, which would read all items for each batch.
 */
function deferredOf(map: Applying, limit: number, which: Which, lock = raw('FOR UPDATE OF m SKIP LOCKED')): Statement {
  const { item, movement } = map
  const isSame = movement.item.map((field, i) => {
    const own = item.key[i]
    return own && sql`t.${columnOf(own)} = m.${columnOf(field)}`
  })
  return sql`FROM ${movement.table} AS m
  WHERE ${join([inScope(movement, 'm', which.scope), sql`NOT m.${columnOf(movement.applied)}`, which.condition], ' AND ')} AND m.ctid > ${param(which.after, 'tid')}
    AND EXISTS (SELECT FROM ${item.table} AS t WHERE ${join([inScope(item, 't', which.scope), ...isSame], ' AND ')} OFFSET 0)${conditionOf(map, which)}
  LIMIT ${param(limit, 'int')}
  ${lock}`
}

/** How long a batch that has failed is waited for, in ms: others may have locked its movements, too. */
const LONGEST_ROLLBACK = 1_000

/**
 * The server answers with an error before it rolls back. Until then another connection finds the movements of the
 * batch locked, and would pass over them, as over those that somebody else is folding.
 */
async function waitForRollback(session: Session, map: Applying, limit: number, which: Which): Promise<void> {
  if (session.inTransaction) return // its savepoint was rolled back, and that was answered
  await session.rows(sql`WITH bound AS MATERIALIZED (
  SELECT ${raw(lockLimit(LONGEST_ROLLBACK))}
)
SELECT count(*)
FROM bound, LATERAL (
  SELECT
  ${deferredOf(map, limit, which, raw('FOR KEY SHARE OF m'))}
) AS deferred`)
}

/**
 * Rows of a CTE as a list of FROM. The planner takes it for ten rows, and finds what is joined with them by
 * its index, not by a scan of the table.
 */
function listOfRows(cte: string, names: readonly string[]): SqlText {
  return raw(`unnest(${names.map((name) => `ARRAY(SELECT ${name} FROM ${cte})`).join(', ')}) AS s(${names.join(', ')})`)
}

/**
 * Items that have deferred movements which nobody else is folding: movements that somebody else has
 * locked were not in the batch that failed.
 */
async function findDeferred(session: Session, map: Applying, limit: number, which: Which) {
  const { movement, item } = map
  const key = join(movement.item.map((field) => raw(`m.${columnOf(field)}::text`)))
  const rows = await session.rows<{ key: string[] }>(sql`SELECT DISTINCT key
FROM (
  SELECT ARRAY[${key}] AS key
  ${deferredOf(map, limit, which)}
) AS found`)
  return rows.map(({ key }) => itemOfRow(item, key))
}

/**
 * Folds up to `limit` deferred movements into the balances, in one statement: it is done as a
 * whole or not at all, so it can be stopped and started again at any point.
 *
 * Each movement has a flag of its own. A high-water mark would miss the movement that got its place
 * in the order first and was committed last. SKIP LOCKED shares the movements out among those who
 * fold at once; the items are then locked in the order of their keys, as everywhere. The sum
 * is added to the row as it is, so it may have been changed by others.
 *
 * The CTEs are not joined with one another: the planner knows nothing of their size, and would go
 * through one of them for each row of the other. The locks are taken by a sub-select that counts
 * them, and what was changed is looked up in a hash, which CASE keeps from becoming a join.
 *
 * @returns how many were there, of which that of an item that was deleted meanwhile is not folded
 */
export async function applyDeferred(session: Session, map: Applying, limit: number, which: Which): Promise<Batch> {
  await map.keys.check(session)
  const { item, movement, history } = map
  const { key } = item
  const [id, line] = [columnOf(movement.transactionId), columnOf(movement.line)]
  const onHand = columnOf(item.onHand)
  const keys = key.map((_, i) => `k${i}`)
  const numbers = history && numbersOf(map, history)
  // The scope is a constant as well, which tells Citus the one shard.
  const isItem = join([inScope(item, 't', which.scope), keysEqual(key, 't', 's')], ' AND ')
  const statement = sql`WITH batch AS MATERIALIZED (
  SELECT m.ctid AS place, m.${id} AS id, m.${line} AS line, m.${columnOf(movement.quantity)} AS quantity, ${columnsAsKeys(movement.item, 'm')}${numbers?.at}
  ${deferredOf(map, limit, which)}
), sums AS MATERIALIZED (
  SELECT ${keyNames(key)}, sum(quantity) AS quantity${numbers?.count} FROM batch GROUP BY ${keyNames(key)}
), locked AS MATERIALIZED (
  SELECT FROM (SELECT
  FROM ${listOfRows('sums', keys)} JOIN ${item.table} AS t ON ${isItem}
  ORDER BY ${columnsOf(key, 't')}
  FOR NO KEY UPDATE OF t) AS l
)${numbers?.moment}, changed AS (
  UPDATE ${item.table} AS t SET ${onHand} = t.${onHand} + s.quantity${numbers?.last}${touches(item, 't')}
  FROM ${listOfRows('sums', [...keys, 'quantity', ...(numbers ? ['count'] : [])])}
  WHERE ${isItem} AND (SELECT count(*) FROM locked) > 0
  RETURNING ${keyNames(key, 's.')}${numbers?.before}
), counted AS MATERIALIZED (
  ${numbers?.counted ?? sql`SELECT id, line FROM batch WHERE CASE WHEN (${keyNames(key)}) IN (SELECT ${keyNames(key)} FROM changed) THEN true END`}
), folded AS (
  UPDATE ${movement.table} AS m SET ${columnOf(movement.applied)} = true${numbers?.given}${touches(movement, 'm')}
  FROM ${listOfRows('counted', ['id', 'line', ...(numbers ? ['number', 'balance'] : [])])}
  WHERE ${join([inScope(movement, 'm', which.scope), raw(`m.${id} = s.id AND m.${line} = s.line`)], ' AND ')}
  RETURNING 1
)
SELECT b.count::int AS found, b.last, f.count::int AS folded,
  CASE WHEN f.count <> c.count THEN ${refusedCount(raw('f.count'), raw('c.count'))} END AS refusal
FROM (SELECT count(*), max(place)::text AS last FROM batch) AS b,
  (SELECT count(*) FROM folded) AS f, (SELECT count(*) FROM counted) AS c`
  try {
    return await rowOf<Batch>(session, statement)
  } catch (error) {
    // A balance that has it, and a movement that says it has not: it would be added again and again.
    if (refusalOf(error) !== undefined) throw new WriteSuppressedError(movement.model.name, {}, { cause: error })
    throw error
  }
}

/**
 * The parts of the statement that number what it folds. Behind each item, as it was, come its movements, in the order in
 * which they were recorded: the sums along them are their numbers and balances. An item that was not changed is not there,
 * nor are its movements then.
 */
function numbersOf({ item }: StockMap, history: HistoryMap) {
  const { last, sequence, balance, at } = history
  const [onHand, number, keys] = [columnOf(item.onHand), columnOf(last), keyNames(item.key)]
  return {
    at: raw(`, m.${columnOf(at)} AS at`),
    // By itself, since Citus takes no volatile function in an UPDATE.
    moment: raw(`, moment AS MATERIALIZED (
  SELECT ${momentIn(history, 'clock_timestamp()')} AS at FROM (SELECT count(*) FROM locked) AS l
)`),
    count: raw(', count(*) AS count'),
    last: raw(`, ${number} = t.${number} + s.count`),
    before: raw(`, t.${number} - s.count AS before, t.${onHand} - s.quantity AS quantity`),
    counted: raw(`SELECT id, line, number, balance
  FROM (
    SELECT id, line, sum(number) OVER item AS number, sum(quantity) OVER item AS balance, first_value(id) OVER item IS NULL AS is_changed
    FROM (
      SELECT ${keys}, NULL AS id, NULL AS line, NULL AS at, before AS number, quantity FROM changed
      UNION ALL
      SELECT ${keys}, id, line, at, 1, quantity FROM batch
    ) AS part
    WINDOW item AS (PARTITION BY ${keys} ORDER BY id IS NOT NULL, at NULLS FIRST, id, line ROWS UNBOUNDED PRECEDING)
  ) AS part
  WHERE id IS NOT NULL AND is_changed`),
    given: raw(
      `, ${columnOf(sequence)} = s.number, ${columnOf(balance)} = s.balance, ${columnOf(at)} = (SELECT at FROM moment)`,
    ),
  }
}
