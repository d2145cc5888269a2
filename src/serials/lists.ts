import { sqlTypeOf } from '../mapping/columns.js'
import type { Table } from '../sql/catalogue.js'
import type { ColumnValue } from '../sql/column-value.js'
import { GivenColumns, givenType, inColumnType } from '../sql/given-columns.js'
import { columnOf } from '../sql/sql.js'
import { join, type Piece, param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import type { AllocateCall } from './allocate.js'
import { type ClaimedTable, ownerFields, type SerialsMap } from './mapping.js'
import { inOrder, isFree, ownerNames } from './statements.js'

/** Calls of one form, as a statement takes them. */
export interface CallLists {
  /**
   * In FROM, a row for each call: its number `"$n"` from 0 on, its pool, and the `last` of the places in the pool that
   * are for it, behind those of the calls before it.
   */
  readonly calls: Statement
  /** In FROM, a row for each pool, which is the free serials of one `where`. */
  readonly pools: Statement
  /** The conditions of `pool`, behind another one. */
  readonly conditions: Piece
  /** A condition on rows of `alias`, behind another one: the scope, where all calls have one. */
  isOfScope(table: ClaimedTable, alias: string): Piece
  /** The first free serials of `pool`, in their order. */
  free(columns: SqlText, limit: SqlText, lock?: SqlText): Statement
  /** Whether fewer than their counts will do. */
  readonly isPartial: boolean
  /** The assignments of `data`, behind another assignment. */
  readonly assignments: SqlText
}

/**
 * PostgreSQL does not know how much a LIMIT with a value is, and would plan for a tenth of all serials. A number
 * above it keeps the plan to what it is for. There are three texts of each statement, so that few are prepared.
 */
const PLANNED_LIMITS = [100, 10_000]

export function listsOf(map: SerialsMap, table: Table, calls: readonly AllocateCall[]): CallLists {
  const [form] = calls
  if (form === undefined) throw new Error('There is no call.')
  const { where, data, partial } = form
  const { entries, pools } = valuesOf(calls)
  const compared = where.fields.filter(({ name }) => where.given[name] !== null)
  const each = where.fields.map((field) => {
    const position = compared.indexOf(field)
    return raw(` AND s.${columnOf(field)} ${position === -1 ? 'IS NULL' : `= pool.w${position}`}`)
  })
  // A constant, by which Citus knows the one shard that the statement is for: only there it can lock rows.
  const scope = map.serial.scope.map((field, i) => param(form.scope[i], sqlTypeOf(field)))
  const isOneScope = calls.every((call) => call.scope.every((value, i) => value === form.scope[i]))
  const isOfScope = (table: ClaimedTable, alias: string) =>
    isOneScope &&
    join(
      table.scope.map((field, i) => sql` AND ${raw(alias)}.${columnOf(field)} = ${scope[i]}`),
      '',
    )
  const conditions = join([...each, isOfScope(map.serial, 's')], '')
  const most = Math.max(...pools.map((pool) => pool.most))
  const planned = PLANNED_LIMITS.find((limit) => most <= limit)
  const callColumns = new GivenColumns([
    ['"$n"', 'int4'],
    ['pool', 'int4'],
    ...ownerColumns(map),
    ['request', 'text'],
    ['count', 'int4'],
    ['last', 'int8'],
    ...data.fields.map((field, i): [string, string] => [`d${i}`, givenType(field, table)]),
  ])
  const poolColumns = new GivenColumns([
    ['pool', 'int4'],
    ['most', 'int8'],
    ...compared.map((field, i): [string, string] => [`w${i}`, givenType(field, table)]),
  ])
  return {
    calls: callColumns.recordset(param(JSON.stringify(entries)), 'call'),
    pools: poolColumns.recordset(param(JSON.stringify(pools)), 'pool'),
    free: (columns, limit, lock) => sql`SELECT * FROM (
      SELECT ${columns}
      FROM ${map.serial.table} AS s
      WHERE ${isFree(map)}${conditions}
      ORDER BY ${inOrder(map)}
      LIMIT ${limit}${lock}
    ) AS s${planned !== undefined && raw(` LIMIT ${planned}`)}`,
    conditions,
    isOfScope,
    isPartial: partial,
    assignments: join(
      data.fields.map((field, i) => raw(`, ${columnOf(field)} = ${inColumnType(`call.d${i}`, field, table)}`)),
      '',
    ),
  }
}

type Values = Readonly<Record<string, ColumnValue>>

interface Pool {
  readonly pool: number
  most: number
  readonly [value: `w${number}`]: ColumnValue
}

function valuesOf(calls: readonly AllocateCall[]) {
  const pools = new Map<string, Pool>()
  const entries = calls.map(({ scope, transactionId, request, count, where, data }, n) => {
    const values = where.stored.filter((value) => value !== null)
    const name = JSON.stringify(values)
    const pool = pools.get(name) ?? { pool: pools.size, most: 0, ...named('w', values) }
    pools.set(name, pool)
    pool.most += count
    const text = JSON.stringify(request)
    const entry = { $n: n, pool: pool.pool, id: transactionId, request: text, count, last: pool.most }
    return { ...entry, ...named('s', scope), ...named('d', data.stored) }
  })
  return { entries, pools: [...pools.values()] }
}

/** The values of an owner, as columns of a list. */
function ownerColumns(map: SerialsMap): readonly [string, string][] {
  const names = ownerNames(map)
  return ownerFields(map.allocation).map((field, i) => [names[i] ?? '', sqlTypeOf(field) ?? 'text'])
}

function named(prefix: 's' | 'w' | 'd', values: readonly ColumnValue[]): Values {
  return Object.fromEntries(values.map((value, i) => [`${prefix}${i}`, value]))
}
