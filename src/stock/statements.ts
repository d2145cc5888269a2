import { columnsOf, keyNames, keysEqual, sqlTypeOf, stampColumns, stamps } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import { join, type Parameter, type Piece, param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import { lockLimit } from '../transactions/limits.js'
import type { Item } from './item.js'
import type { LineData } from './line-data.js'
import { columnsOfLines, type LinesMap, type StockMap } from './mapping.js'
import type { Claimed } from './request.js'

/** Parts that the statements of the stock have in common. */

/** One column of a list of FROM. A statement that has it twice has its parameter once. */
export interface Column {
  readonly name: SqlText
  readonly value: Parameter
  readonly isOne: boolean
}

export function column<T>(
  name: string,
  type: string | undefined,
  rows: readonly T[],
  pick: (row: T, index: number) => unknown,
): Column {
  const values = rows.map(pick)
  const isOne = rows.length === 1
  return { name: raw(name), value: isOne ? param(values[0], type) : param(values, `${type}[]`), isOne }
}

/** The rows of a column of the scope: one stands for all, if all are of one scope. */
export function shared<T>(rows: readonly T[], pick: (row: T) => unknown): readonly T[] {
  return new Set(rows.map(pick)).size === 1 ? rows.slice(0, 1) : rows
}

/**
 * Rows of parameters as a list of FROM. A single row is not sent as arrays: its values are constants to the
 * planner, and the statement of one movement takes the server half the time (0.10 ms instead of 0.19). So is the scope
 * that all rows have: by it Citus knows the one shard that the statement is for, and only there it can lock rows.
 */
export function rowsIn(alias: string, columns: readonly Column[], end?: SqlText): Statement {
  const [ones, many] = [columns.filter(({ isOne }) => isOne), columns.filter(({ isOne }) => !isOne)]
  // In the order of the values, which is not that of the columns where the second of two is the common one.
  const names = raw(`AS ${alias}(${namesOf([...ones, ...many])})`)
  const list = sql`unnest(${valuesOf(many)})`
  if (ones.length === 0) return sql`${list} ${names}`
  return sql`(SELECT ${valuesOf(ones)}${many.length > 0 && sql`, u.* FROM ${list} AS u`}${end}) ${names}`
}

export function valuesOf(columns: readonly Column[]): Statement {
  return join(columns.map(({ value }) => value))
}

export function namesOf(columns: readonly Column[]): SqlText {
  return join(columns.map(({ name }) => name))
}

/** The keys of items, column by column: `k0`, `k1`. */
export function keyColumns({ item }: StockMap, items: readonly Item[]): Column[] {
  return item.key.map((field, i) => {
    const pick = ({ key }: Item) => key[i] ?? null
    return column(`k${i}`, sqlTypeOf(field), i < item.scope.length ? shared(items, pick) : items, pick)
  })
}

/** Items as a list of FROM: `item(k0, k1, position)`, numbered from 1 on. */
export function itemsIn(map: StockMap, items: readonly Item[]): Statement {
  return rowsIn('item', [...keyColumns(map, items), positions(items)])
}

export function positions(rows: readonly unknown[]): Column {
  return column('position', 'int4', rows, (_, i) => i + 1)
}

/** One value of each, as an array. */
export function listOf<T>(items: readonly T[], pick: (item: T) => unknown, type: string | undefined): Parameter {
  return param(items.map(pick), `${type}[]`)
}

/** A condition that limits every wait for a lock, in ms. */
export function limited(limit: number | undefined): SqlText | undefined {
  return limit === undefined ? undefined : raw(`(SELECT ${lockLimit(limit)}) IS NOT NULL`)
}

/** Conditions, each on a line of its own; nothing where there is none. */
export function where(conditions: readonly Piece[]): Statement | undefined {
  const given = conditions.filter((condition) => condition)
  return given.length > 0 ? sql`\n  WHERE ${join(given, '\n    AND ')}` : undefined
}

/**
 * Locks items `t`, in the order of their keys, so that two batches that meet do not deadlock, and reads them
 * as they are once they are locked: a row that had to be waited for is the present one.
 *
 * Where it is observed, each row has the time until it was locked. That is an expression outside of the SELECT that locks:
 * PostgreSQL evaluates one inside before the lock, and only again if the row was changed meanwhile.
 */
export function lockedItems(
  { item, history, period, observe }: StockMap,
  source: Piece,
  conditions: readonly Piece[],
  more?: Piece,
): Statement {
  const { table, key, onHand, reserved, minimum, maximum } = item
  // The lock is inside of another SELECT: Citus reads rows of a CTE wrongly that it has locked beside others.
  return sql`SELECT *${observe && WAITED} FROM (SELECT item.position, t.${columnOf(onHand)} AS on_hand,
    ${raw(reserved ? `t.${columnOf(reserved)}` : '0')} AS reserved, ${raw(minimum ? `t.${columnOf(minimum)}` : '0')} AS minimum${maximum && raw(`, t.${columnOf(maximum)} AS maximum`)}${history && raw(`, t.${columnOf(history.last)} AS sequence`)}${period?.sql?.locked}${more}
  FROM ${source} JOIN ${table} AS t ON ${keysEqual(key, 't', 'item')}${where(conditions)}
  ORDER BY ${columnsOf(key, 't')}
  FOR NO KEY UPDATE OF t) AS l`
}

const WAITED = raw(', (extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1000)::float8 AS waited')

/** The columns that are read of them, for the list of a SELECT. */
export function lockedBalance({ item: { maximum }, history, period, observe }: StockMap): SqlText {
  return raw(`l.position, l.on_hand::text AS "onHand", l.reserved::text, l.minimum::text${maximum ? ', l.maximum::text' : ''}${history ? ', l.sequence::text' : ''}${period?.sql?.read ?? ''}${observe ? ', l.waited' : ''},
  (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now`)
}

/** Lines to be recorded. */
export interface Entry extends Claimed {
  readonly line: number
  readonly item: Item
  readonly quantity: bigint
  readonly data?: LineData
  /** The business date, in ms since 1970; without it, it is that of today. */
  readonly date?: number | undefined
}

/** The columns of lines that are written besides those that all lines have. */
export interface Claim<E extends Entry> {
  readonly lines: LinesMap
  readonly entries: readonly E[]
  /** Columns of parameters, and the columns of the table that they or constants are for. */
  readonly parameters?: (entries: readonly E[]) => readonly Column[]
  readonly columns: Piece
  readonly values: Piece
}

/** A claim as CTEs, and conditions on it. */
export interface ClaimParts {
  readonly ctes: Statement
  /** The transaction ids with their scopes, as a list of FROM: `m(k0, id)`. */
  readonly ids: Statement
  /** Expressions: every id was claimed; and none of the lines behind the first ones is missing. */
  readonly isClaimed: Statement
  readonly isComplete: Statement | undefined
}

/**
 * Claims transaction ids by their first lines: `claim`. If another call has one of them, its commit is waited
 * for, and the line is not inserted. The other lines are only inserted when all ids were claimed: `rest`.
 */
export function claimParts<E extends Entry>(
  map: StockMap,
  claim: Claim<E>,
  conditions: (ids: Statement) => readonly Piece[],
): ClaimParts {
  const first = claim.entries.filter(({ line }) => line === 0)
  const others = claim.entries.filter(({ line }) => line > 0)
  const id = idColumns(claim.lines, first)
  const ids = rowsIn('m', id)
  const isClaimed = sql`(SELECT count(*) FROM claim) = ${param(first.length, 'int')}`
  const firstLines = sql`claim AS (
  ${insertion(map, claim, first, id)}${where(conditions(ids))}${first.length > 1 && sql`\n  ORDER BY ${idNames(claim.lines, 'm.')}`}
  ON CONFLICT DO NOTHING
  RETURNING 1
)`
  if (others.length === 0) return { ctes: firstLines, ids, isClaimed, isComplete: undefined }
  const rest = sql`rest AS (
  ${insertion(map, claim, others, idColumns(claim.lines, others))}${where([isClaimed])}
  RETURNING 1
)`
  const isComplete = sql`(SELECT count(*) FROM rest) = ${param(others.length, 'int')}`
  return { ctes: sql`${firstLines}, ${rest}`, ids, isClaimed, isComplete }
}

/** Transaction ids with their scopes, column by column: `k0`, `id`. The scope is the beginning of an item's key. */
export function idColumns({ scope, transactionId }: LinesMap, all: readonly Claimed[]): Column[] {
  return [
    ...scope.map((field, i) => {
      const pick = (one: Claimed) => one.scope[i]
      return column(`k${i}`, sqlTypeOf(field), shared(all, pick), pick)
    }),
    column('id', sqlTypeOf(transactionId), all, (one) => one.transactionId),
  ]
}

/** `m.k0, m.id` */
export function idNames({ scope }: LinesMap, alias = ''): SqlText {
  return raw([...scope.map((_, i) => `${alias}k${i}`), `${alias}id`].join(', '))
}

/** The lines of `alias` are of the transaction id and scope of `m`. */
export function isOf({ scope, transactionId }: LinesMap, alias: string): SqlText {
  const inScope = scope.map((field, i) => `${alias}.${columnOf(field)} = m.k${i} AND `).join('')
  return raw(`${inScope}${alias}.${columnOf(transactionId)} = m.id`)
}

/** The planner must not compute a value beforehand that is beyond its column, of a line that is not inserted: OFFSET. */
function insertion<E extends Entry>(
  map: StockMap,
  claim: Claim<E>,
  entries: readonly E[],
  ids: readonly Column[],
): Statement {
  const { lines, parameters, columns, values } = claim
  const { quantities, period } = map
  const items = entries.map(({ item }) => item)
  const all = [
    ...ids,
    column('line', 'int4', entries, ({ line }) => line),
    ...keyColumns(map, items).slice(lines.scope.length),
    column('quantity', quantities.sqlType, entries, ({ quantity }) => quantities.text(quantity)),
    ...(period?.sql && lines === map.movement ? [period.sql.column(entries)] : []),
    ...(parameters?.(entries) ?? []),
  ]
  const data = entries.find((entry) => entry.data)?.data?.columns
  const own = data?.source(
    all,
    entries.map((entry) => entry.data),
  )
  const stamped = own ? lines.updatedAt.filter((field) => !own.fields.includes(field)) : lines.updatedAt
  const names = raw(join(columnsOfLines(lines).map(columnOf)) + stampColumns(stamped))
  return sql`INSERT INTO ${lines.table} (${names}${columns}${own && stampColumns(own.fields)})
  SELECT m.id, m.line, ${keyNames(lines.item, 'm.')}, m.quantity${stamps(stamped)}${values}${own?.values}
  FROM ${own?.from ?? rowsIn('m', all, raw(' OFFSET 0'))}`
}

/** The columns that only movements have, and the first of their values: the date. */
export function flagColumns({ movement: { applied, refused }, period }: StockMap): SqlText {
  return stampColumns([period?.date, applied, refused].filter((field) => !!field))
}

/**
 * A transaction id has one meaning, over movements and reservations. These are rows of two tables,
 * and maybe of different items, so no row and no unique key is common to them: a record under
 * an id takes an advisory lock of the id, shared for movements, and alone for a reservation. The lock
 * is held until the transaction ends, so the second one sees what the first has written.
 * Without reservations there is nothing to tell apart, and no lock.
 */
function lockKey({ movement }: StockMap, alias = ''): SqlText {
  const table = movement.table.replaceAll("'", "''")
  const names = [...movement.scope.map((_, i) => `k${i}`), 'id']
  return raw(
    names.reduce(
      (seed, name) => `hashtextextended(${alias}${name}::text, ${seed})`,
      `hashtextextended('$stock ${table}', 0)`,
    ),
  )
}

/** A condition that locks transaction ids, and waits for them. All statements take them in one order. */
export function idsAreLocked(
  map: StockMap,
  ids: readonly Claimed[],
  isReserving: (id: Claimed) => boolean,
  limit: SqlText | undefined,
): Statement {
  const key = lockKey(map)
  const list = rowsIn('m', [...idColumns(map.movement, ids), column('reserving', 'bool', ids, isReserving)])
  return sql`(
    SELECT count(CASE WHEN reserving THEN pg_advisory_xact_lock(${key})::text ELSE pg_advisory_xact_lock_shared(${key})::text END)
    FROM (
      SELECT * FROM ${list} ORDER BY ${idNames(map.movement)}
    ) AS m${limit && sql`\n    WHERE ${limit}`}
  ) IS NOT NULL`
}

/**
 * A condition for a single statement that records movements: nobody is reserving one of the `ids`, and
 * none is reserved. It does not wait: a commit during a wait would not be seen, for the
 * statement keeps its snapshot. A call that is refused here waits for the lock in a statement of its own.
 * The condition refers to no row, so it comes before any lock of a row.
 *
 * One instant is left, between the snapshot and these locks: a reservation that is committed just then is
 * not seen. No lock but that of a table can be had before the snapshot of the same statement, and past the
 * snapshot PostgreSQL shows a statement only what it meets in a unique index or in a row that it locks; a
 * movement and a reservation of two items meet in neither. Only another statement could tell.
 */
export function idsAreUnreserved(map: StockMap, ids: Statement): Statement | undefined {
  const { reservation } = map
  if (reservation === undefined) return undefined
  return sql`(SELECT bool_and(pg_try_advisory_xact_lock_shared(${lockKey(map, 'm.')})) FROM ${ids})
    AND NOT EXISTS (SELECT FROM ${reservation.table} AS r JOIN ${ids} ON ${isOf(reservation, 'r')})`
}

/** A condition: none of the `ids` is recorded, as far as the statement's snapshot tells. */
export function idsAreNew({ movement }: StockMap, ids: Statement): Statement {
  return sql`NOT EXISTS (SELECT FROM ${movement.table} AS t JOIN ${ids} ON ${isOf(movement, 't')})`
}
