import type { Session } from '../engine/session.js'
import { DuplicateSerialsError, WriteSuppressedError } from '../errors/index.js'
import { stampColumns, stamps } from '../mapping/columns.js'
import type { Table } from '../sql/catalogue.js'
import { GivenColumns, inColumnType } from '../sql/given-columns.js'
import { columnOf } from '../sql/sql.js'
import { join, param, raw, type Statement, sql } from '../sql/statement.js'
import type { SerialFormat } from './format.js'
import type { SerialsMap } from './mapping.js'
import { type Request, readRecorded } from './request.js'
import { claiming, type Owner, ownerNames, ownerValues } from './statements.js'
import { jsonOf, type Values } from './values.js'

/** A call of `import` that has been checked. */
export interface ImportCall extends Owner {
  /** The table of the serials. */
  readonly columns: Table
  readonly data: Values
  readonly source: Range | { readonly numbers: readonly string[] }
  readonly count: number
  readonly request: Request
}

/** The serials from one number to another, made by the database itself. */
export interface Range {
  readonly from: bigint
  readonly to: bigint
  readonly format: SerialFormat
}

export interface Imported {
  readonly imported: number
  readonly replayed: boolean
}

/** How many rows go into one statement: a million parameters, or one endless statement, help nobody. */
const CHUNK = 20_000

/** From how many new rows on the planner is told of them. */
const MANY = 10_000

/** How many of the numbers in the way an error names. */
const MOST_NAMED = 5

/**
 * Adds serials, all or nothing, chunk by chunk in one transaction. They are inserted in their order,
 * so that two imports that meet do not deadlock.
 */
export async function importSerials(tx: Session, map: SerialsMap, call: ImportCall): Promise<Imported> {
  const { transactionId, request, count } = call
  const values = join([...ownerValues(map, call), param(JSON.stringify(request), 'text'), param(count, 'int4')])
  const claim = sql`FROM (VALUES (${values})) AS call(${join(ownerNames(map))}, request, count)`
  if ((await tx.rows(claiming(map, claim))).length === 0) {
    const recorded = await readRecorded(tx, map, call)
    if (recorded) return { imported: recorded.count, replayed: true }
    throw new WriteSuppressedError(map.allocation.model.name, { transactionId })
  }
  for (const chunk of chunksOf(call.source)) {
    const missing = await insert(tx, map, call, chunk)
    if (missing.length > 0) throw new DuplicateSerialsError(transactionId, missing)
  }
  return { imported: count, replayed: false }
}

/**
 * Until it knows of a great many new rows, the planner takes the free serials for few, and sorts all
 * of them for every allocation. Autovacuum would tell it within a minute or so; a role that may not
 * do it leaves it at that, and so does a call that has no time left.
 */
export async function analyzeAfterImport(session: Session, { serial }: SerialsMap, { imported, replayed }: Imported) {
  if (imported < MANY || replayed || session.inTransaction) return
  await session.rows(sql`ANALYZE ${serial.table}`).catch(() => {}) // the import is committed, come what may
}

/** Lists of `FROM` with one row per serial, whose number is `entry.number`. */
function* chunksOf(source: ImportCall['source']): Generator<Statement> {
  if ('numbers' in source) {
    const { numbers } = source
    for (let i = 0; i < numbers.length; i += CHUNK) {
      yield sql`unnest(${param(numbers.slice(i, i + CHUNK), 'text[]')}) AS entry(number)`
    }
    return
  }
  const { from, to, format } = source
  const before = param(format.before, 'text')
  const after = param(format.after, 'text')
  const width = param(format.width, 'int4')
  for (let first = from; first <= to; first += BigInt(CHUNK)) {
    const last = first + BigInt(CHUNK) - 1n
    yield sql`(
    SELECT ${before} || lpad(n::text, greatest(${width}, length(n::text)), '0') || ${after} AS number
    FROM generate_series(${param(first, 'int8')}, ${param(last < to ? last : to, 'int8')}) AS n
    ORDER BY n
  ) AS entry`
  }
}

/** Resolves to some of the numbers that are there already, by now also those that another import was about to add. */
async function insert(tx: Session, map: SerialsMap, call: ImportCall, chunk: Statement): Promise<string[]> {
  const { table, number, key, updatedAt } = map.serial
  const { fields } = call.data
  const data = param(jsonOf(call.data))
  const stamped = updatedAt.filter((field) => !fields.includes(field))
  const columns = fields.map((field) => raw(`, ${columnOf(field)}`))
  const values = fields.map((field) => raw(`, ${inColumnType(`given.${columnOf(field)}`, field, call.columns)}`))
  const given = fields.length > 0 && sql`, ${GivenColumns.of(fields, call.columns).record(data, 'given')}`
  const rows = await tx.rows<{ number: string }>(sql`WITH entry AS MATERIALIZED (
  SELECT entry.number
  FROM ${chunk}
), inserted AS (
  INSERT INTO ${table} (${columnOf(number)}${join(columns, '')}${stampColumns(stamped)})
  SELECT entry.number${join(values, '')}${stamps(stamped)}
  FROM entry${given}
  WHERE ${data}::json IS NOT NULL
  ON CONFLICT (${join(key.map(columnOf))}) DO NOTHING
  RETURNING ${columnOf(number)} AS number
)
SELECT number FROM entry
WHERE NOT EXISTS (SELECT FROM inserted WHERE inserted.number = entry.number)
LIMIT ${raw(String(MOST_NAMED))}`)
  return rows.map((row) => row.number)
}
