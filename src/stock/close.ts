import type { Field } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError } from '../errors/index.js'
import { columnsOf, keysEqual, sqlTypeOf, touches } from '../mapping/columns.js'
import type { Scope } from '../sql/scope.js'
import { columnOf, momentOf } from '../sql/sql.js'
import { join, type Piece, param, raw, sql } from '../sql/statement.js'
import { hasNewSnapshots } from '../transactions/new-snapshot.js'
import * as s from '../values/schema.js'
import { checkArguments } from '../values/validation.js'
import { inScope } from './in-scope.js'
import { type Item, itemOfRow } from './item.js'
import type { Args } from './lines.js'
import type { StockMap } from './mapping.js'
import { type Closable, readDate } from './period.js'
import { dateText, dateType } from './period-sql.js'
import { foldAll, type RunOne } from './project.js'
import { keyColumns, rowsIn, where } from './statements.js'

export const batchSchema = s.object({
  batchSize: s.optional(s.whole().check(s.gte(1), s.lte(100_000, 'must be at most 100,000'))),
})
const closeSchema = s.object({ reopen: s.optional(s.boolean()) })

/** How often what is deferred is folded for items that could not be closed. */
const MOST_ROUNDS = 10

/** How the pages of a call are run: each commits by itself, unless the call is part of a transaction. */
export interface PageRunner {
  readonly inTransaction: boolean
  /** A transaction of a few statements, at READ COMMITTED; in a caller's transaction, a part of it. */
  page<R>(body: (tx: Session) => Promise<R>): Promise<R>
  readonly fold: RunOne
}

interface Closing extends Closable {
  readonly scope: Scope
  /** In ms since 1970; `null` opens all periods. */
  readonly until: number | null
  readonly isReopening: boolean
  readonly batchSize: number
}

/**
 * Closes the periods of all items of a scope, page by page in the order of their keys.
 *
 * A page locks its items, so a movement of one of them is committed before, or finds it closed. The second statement of the
 * page sees what was deferred until then: an item of which something is deferred in the period stays open, and is
 * folded and tried again. Items that others have locked are passed over at first, and then waited for one by one, so that
 * a transaction that is open for long does not keep the others of its page locked.
 */
export async function closePeriods(run: PageRunner, map: StockMap, args: Args) {
  const closing = readClosing(map, args)
  const { applied } = map.movement
  if (applied) await run.page(checkSnapshot)
  const fold = async () => {
    const condition = dated(closing, 'm')
    if (applied && condition) {
      const applying = { ...map, movement: { ...map.movement, applied } }
      await foldAll(run.fold, applying, { scope: closing.scope, batchSize: closing.batchSize, condition })
    }
  }
  await fold()
  const skipped = run.inTransaction ? { closed: 0 } : await closePages(run, map, { ...closing, lock: SKIP_LOCKED })
  let closed = skipped.closed
  const patient = {
    ...closing,
    batchSize: run.inTransaction ? closing.batchSize : 1,
    lock: undefined,
    isOfCaller: run.inTransaction,
  }
  for (let round = 1; ; round++) {
    const page = await closePages(run, map, patient)
    closed += page.closed
    if (page.open.length === 0) return { closed }
    if (round === MOST_ROUNDS) return { closed, open: page.open.map(({ given }) => given) }
    await fold()
  }
}

/** In an older snapshot, such as that of a caller's transaction may be, there is nothing of what was deferred since. */
async function checkSnapshot(tx: Session): Promise<void> {
  if (await hasNewSnapshots(tx)) return
  throw new InvalidArgumentError('close', 'must be made at READ COMMITTED: a snapshot hides what was deferred since.')
}

function readClosing(map: StockMap, args: Args): Closing {
  const { date, closedUntil } = map.period ?? {}
  if (!date || !closedUntil) {
    const message = `must name an optional DateTime field of ${map.item.model.name}, for periods to be closed`
    throw new ConfigurationError([{ path: 'item.closedUntil', message }])
  }
  const { batchSize = 1_000 } = checkArguments(batchSchema, { batchSize: args.batchSize })
  const { reopen: isReopening = false } = checkArguments(closeSchema, { reopen: args.reopen })
  if (args.until === null && !isReopening) {
    throw new InvalidArgumentError('until', 'is null, which opens all periods: that needs reopen: true.')
  }
  const until = args.until === null ? null : readDate({ date }, args.until, 'until')
  return { date, closedUntil, scope: args.scope, until, isReopening, batchSize }
}

const SKIP_LOCKED = raw(' SKIP LOCKED')

interface Pages extends Closing {
  readonly lock: Piece
  /** In a transaction of the caller's, which may have had items before. */
  readonly isOfCaller?: boolean
}

async function closePages(run: PageRunner, map: StockMap, closing: Pages) {
  const open: Item[] = []
  let closed = 0
  for (let after: Item | undefined; ; ) {
    const page = await run.page(async (tx) => {
      const items = await lockPage(tx, map, closing, after)
      return { items, open: items.length > 0 ? await closeItems(tx, map, closing, items) : [] }
    })
    after = page.items.at(-1)
    if (after === undefined) return { closed, open }
    open.push(...page.open)
    closed += page.items.length - page.open.length
  }
}

/** The next items that are to be closed, locked: also against movements that are deferred, which lock them for nobody else. */
async function lockPage(tx: Session, map: StockMap, closing: Pages, after: Item | undefined): Promise<Item[]> {
  const { table, key } = map.item
  const { closedUntil, scope, batchSize, isReopening, lock } = closing
  const until = untilIn(closing)
  const column = raw(`t.${columnOf(closedUntil)}`)
  const isOther = isReopening ? sql`${column} IS DISTINCT FROM ${until}` : sql`(${column} < ${until}) IS NOT FALSE`
  const place = after && join(key.map((field, i) => sql`${param(after.key[i], sqlTypeOf(field))}`))
  const conditions = [inScope(map.item, 't', scope), isOther, place && sql`(${columnsOf(key, 't')}) > (${place})`]
  const rows = await tx.rows<{ key: string[] }>(
    sql`SELECT ARRAY[${join(key.map((field) => raw(`t.${columnOf(field)}::text`)))}] AS key
FROM ${table} AS t${where(conditions)}
ORDER BY ${columnsOf(key, 't')}
LIMIT ${param(batchSize, 'int')}
FOR UPDATE OF t${lock}`,
  )
  return rows.map(({ key }) => itemOfRow(map.item, key))
}

/**
 * Closes locked items. Resolves to those that stay open, for something of them is deferred.
 *
 * A movement that is being deferred waits for the closed row, since the update carries the lock of `lockPage`. PostgreSQL
 * forgets that where one transaction has locked or changed the row twice, of which one was in a savepoint: the row has a
 * list of lockers then (manual, "Multixacts and Wraparound"), in which the update counts as any other. So such a close is
 * refused: a row with one locker names the one that has made its new version.
 */
async function closeItems(tx: Session, map: StockMap, closing: Pages, items: readonly Item[]): Promise<Item[]> {
  const { item, movement } = map
  const { until, closedUntil, isOfCaller } = closing
  const isDeferred = [raw(keysEqual(movement.item, 'm', 'item')), dated(closing, 'm')]
  const isFolded =
    movement.applied &&
    sql`NOT EXISTS (
    SELECT FROM ${movement.table} AS m
    WHERE ${join([...isDeferred.filter((one) => !!one), sql`NOT m.${columnOf(movement.applied)}`], ' AND ')}
  )`
  const looksAtLock = isOfCaller && movement.applied !== undefined
  const before = looksAtLock && raw(` JOIN ${item.table} AS o ON ${keysEqual(item.key, 'o', 'item')}`)
  const rows = await tx.rows<{ key: string[]; isSure?: boolean }>(sql`UPDATE ${item.table} AS t
SET ${columnOf(closedUntil)} = ${untilIn(closing)}${touches(item, 't')}
FROM ${rowsIn('item', keyColumns(map, items))}${before}${where([keysEqual(item.key, 't', 'item'), until !== null && isFolded])}
RETURNING ARRAY[${join(item.key.map((field) => raw(`t.${columnOf(field)}::text`)))}] AS key${looksAtLock && raw(', o.xmax = t.xmin AS "isSure"')}`)
  if (rows.some(({ isSure }) => isSure === false)) {
    throw new InvalidArgumentError(
      'close',
      'must not come behind other work of its transaction with the same items where one of the two is in a savepoint: close the period first, or on the client.',
    )
  }
  const closed = new Set(rows.map(({ key }) => itemOfRow(item, key).id))
  return items.filter(({ id }) => !closed.has(id))
}

/** The movements of `alias` have a date in the period; `undefined` for none. */
function dated({ date, until }: Closing, alias: string): Piece {
  return until !== null && sql`${raw(alias)}.${columnOf(date)} <= ${dateParam(date, until)}`
}

function untilIn({ date, until }: Closing): Piece {
  return dateParam(date, until)
}

/** A date, as the value of a column. */
export function dateParam(date: Field, value: number | null): Piece {
  const given = sql`${param(dateText(value), dateType(date))}`
  return date.nativeType === 'Date' ? given : momentOf(date, given)
}
