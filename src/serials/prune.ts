import type { Field } from '../engine/data-model.js'
import { rowOf, type Session } from '../engine/session.js'
import { ConfigurationError } from '../errors/index.js'
import { columnsAsKeys, columnsOf, keyNames, keysEqual, lastFirst, sqlTypeOf } from '../mapping/columns.js'
import { callOptions } from '../retry/call-options.js'
import type { Scope } from '../sql/scope.js'
import { columnOf, momentIn } from '../sql/sql.js'
import { join, type Piece, param, raw, type Statement, sql } from '../sql/statement.js'
import { readPast } from '../values/moment.js'
import * as s from '../values/schema.js'
import { checkArguments } from '../values/validation.js'
import { type HistoryMap, ownerFields, type SerialsMap } from './mapping.js'

const pruneSchema = s.strictObject({
  forgetBefore: s.unknown(),
  changesBefore: s.optional(s.unknown()),
  batchSize: s.optional(s.whole().check(s.gte(1), s.lte(100_000, 'must be at most 100,000'))),
  signal: callOptions.signal,
})

/** A call of `prune` that has been checked. */
interface Pruning {
  readonly scope: Scope
  /** When allocations were recorded. */
  readonly createdAt: Field
  /** Moments, in ms since 1970. */
  readonly forgetBefore: number
  readonly changes: { readonly history: HistoryMap; readonly before: number } | undefined
  readonly batchSize: number
}

/** @throws ConfigurationError if the models do not tell how old their rows are */
export function readPrune({ allocation, history }: SerialsMap, args: unknown) {
  const { batchSize = 1_000, signal, ...given } = checkArguments(pruneSchema, args)
  const forgetBefore = readPast(given.forgetBefore, 'forgetBefore', 'transaction ids of today would run again')
  const createdAt = allocation.createdAt ?? allocation.model.fields.get('createdAt')
  if (createdAt?.type !== 'DateTime' || createdAt.isList) {
    const message = `must name a DateTime field of ${allocation.model.name} with a default, for allocations to be pruned`
    throw new ConfigurationError([{ path: 'allocation.createdAt', message }])
  }
  if (given.changesBefore === undefined) return { forgetBefore, createdAt, changes: undefined, batchSize, signal }
  const before = readPast(given.changesBefore, 'changesBefore', 'the changes of today would be gone')
  if (history) return { forgetBefore, createdAt, changes: { history, before }, batchSize, signal }
  throw new ConfigurationError([{ path: 'history', message: 'is needed by changesBefore: the model of the changes' }])
}

/** Runs a page: a transaction by itself, or a part of the caller's. */
type RunPage = <R>(body: (tx: Session) => Promise<R>) => Promise<R>

/** Deletes what is over, page by page, so it may be killed anywhere. */
export async function pruneSerials(run: RunPage, map: SerialsMap, pruning: Pruning) {
  const { changes } = pruning
  const allocations = await everyPage(run, (after) => allocationPage(map, pruning, after))
  const page = changes && ((after?: Place) => changePage(map, { ...pruning, ...changes }, after))
  return { allocations, changes: page ? await everyPage(run, page) : 0 }
}

/** The last row of a page, its key as texts. */
type Place = readonly string[]

interface PageRow {
  readonly last: Place | null
  readonly deleted: number
}

async function everyPage(run: RunPage, statementOf: (after?: Place) => Statement): Promise<number> {
  let count = 0
  for (let after: Place | undefined; ; ) {
    const { last, deleted }: PageRow = await run((tx) =>
      rowOf<PageRow & Record<string, unknown>>(tx, statementOf(after)),
    )
    count += deleted
    if (last === null) return count
    after = last
  }
}

/**
 * The transaction ids that have no serials, for these are never given any again: an allocation takes them with the row
 * that it records. A `release` that has locked one of them is passed over. A page looks at so many rows, old or not, which
 * is over soon, however large the table is.
 */
function allocationPage(map: SerialsMap, pruning: Pruning, after: Place | undefined): Statement {
  const { allocation, serial } = map
  const { createdAt, forgetBefore, scope, batchSize } = pruning
  const [owner, own] = [ownerFields(allocation), ownerFields(serial)]
  const isInScope = inScope(allocation.scope, 'a', scope)
  return sql`WITH page AS MATERIALIZED (
  SELECT ${columnsAsKeys(owner, 'a')}
  FROM ${allocation.table} AS a
  WHERE true${isInScope}${behind(owner, 'a', after)}
  ORDER BY ${columnsOf(owner, 'a')}
  LIMIT ${param(batchSize, 'int')}
), old AS MATERIALIZED (
  SELECT page.*
  FROM page JOIN ${allocation.table} AS a ON ${keysEqual(owner, 'a', 'page')}
  WHERE a.${columnOf(createdAt)} < ${momentOf(createdAt, forgetBefore)} AND NOT EXISTS (SELECT FROM ${serial.table} AS s WHERE ${keysEqual(own, 's', 'page')}${inScope(serial.scope, 's', scope)})${isInScope}
  FOR UPDATE OF a SKIP LOCKED
), gone AS (
  DELETE FROM ${allocation.table} AS a USING old
  WHERE ${keysEqual(owner, 'a', 'old')}${isInScope}
  RETURNING 1
)
${placeAndCount(owner)}`
}

/**
 * The beginnings of histories, so that what is left has no gap, and never the last change of a serial, which tells since
 * when it is as it is. The rows are locked in one order: of two that prune at once, the second deletes what is left.
 */
function changePage(
  { serial }: SerialsMap,
  { history, before, scope, batchSize }: Pruning & NonNullable<Pruning['changes']>,
  after: Place | undefined,
): Statement {
  const { table, sequence, changedAt } = history
  const scoped = serial.scope.flatMap(({ name }) => history.key.find((field) => field.name === name) ?? [])
  const key = inOrderOfKey(history)
  const rows = [...key, sequence]
  const number = columnOf(sequence)
  const isInScope = inScope(scoped, 'h', scope)
  const sameAs = (alias: string) => sql`${keysEqual(key, alias, 'part')}${inScope(scoped, alias, scope)}`
  return sql`WITH page AS MATERIALIZED (
  SELECT ${columnsAsKeys(rows, 'h')}, h.${number} AS number, h.${columnOf(changedAt)} < ${momentOf(changedAt, before)} AS is_old
  FROM ${table} AS h
  WHERE true${isInScope}${behind(rows, 'h', after)}
  ORDER BY ${columnsOf(rows, 'h')}
  LIMIT ${param(batchSize, 'int')}
), part AS MATERIALIZED (
  SELECT ${keyNames(key)}, min(number) AS first, coalesce(min(number) FILTER (WHERE NOT is_old), max(number) + 1) AS next
  FROM page GROUP BY ${keyNames(key)}
), old AS MATERIALIZED (
  SELECT ${columnsAsKeys(rows, 'h')}
  FROM part JOIN ${table} AS h ON ${sameAs('h')} AND h.${number} >= part.first AND h.${number} < part.next
  WHERE NOT EXISTS (SELECT FROM ${table} AS b WHERE ${sameAs('b')} AND b.${number} < part.first)
    AND EXISTS (SELECT FROM ${table} AS l WHERE ${sameAs('l')} AND l.${number} > h.${number})
  ORDER BY ${columnsOf(rows, 'h')}
  FOR UPDATE OF h
), gone AS (
  DELETE FROM ${table} AS h USING old
  WHERE ${keysEqual(rows, 'h', 'old')}${isInScope}
  RETURNING 1
)
${placeAndCount(rows)}`
}

/** The fields of a serial's key in the order of the index that the history has of them. */
function inOrderOfKey({ model, key, sequence }: HistoryMap): readonly Field[] {
  const names = [...key.map(({ name }) => name), sequence.name]
  const index = model.keys.find(
    ({ fields }) => fields.length === names.length && fields.every((n) => names.includes(n)),
  )
  return (index?.fields ?? []).flatMap((name) => key.find((field) => field.name === name) ?? [])
}

function placeAndCount(fields: readonly Field[]): Statement {
  const texts = raw(`json_build_array(${fields.map((_, i) => `k${i}::text`).join(', ')})`)
  return sql`SELECT (SELECT ${texts} FROM page ORDER BY ${lastFirst(fields)} LIMIT 1) AS last,
  (SELECT count(*) FROM gone)::int AS deleted`
}

function inScope(fields: readonly Field[], alias: string, scope: Scope): Piece {
  return join(
    fields.map((field, i) => sql` AND ${raw(alias)}.${columnOf(field)} = ${param(scope[i], sqlTypeOf(field))}`),
    '',
  )
}

function behind(fields: readonly Field[], alias: string, after: Place | undefined): Piece {
  if (after === undefined) return undefined
  const place = join(fields.map((field, i) => sql`${param(after[i], sqlTypeOf(field))}`))
  return sql` AND (${columnsOf(fields, alias)}) > (${place})`
}

function momentOf(field: Field, time: number): Piece {
  return momentIn(field, sql`${param(new Date(time).toISOString(), 'timestamptz')}`)
}
