import { DuplicateSerialsError, WriteSuppressedError } from '../errors/index.js'
import { stampColumns, stamps } from '../mapping/columns.js'
import { isTransactionClient, type PrismaClientLike } from '../prisma/client.js'
import type { Table } from '../sql/catalogue.js'
import { GivenColumns, inColumnType } from '../sql/given-columns.js'
import { columnOf } from '../sql/sql.js'
import type { SerialFormat } from './format.js'
import type { SerialsMap } from './mapping.js'
import { checkSame, type Request, readNoted } from './request.js'
import { claiming } from './statements.js'
import type { Values } from './values.js'

/** A call of `import` that has been checked. */
export interface ImportCall {
  /** The table of the serials. */
  readonly columns: Table
  readonly transactionId: string
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
export async function importSerials(tx: PrismaClientLike, map: SerialsMap, call: ImportCall): Promise<Imported> {
  const { transactionId, request, count } = call
  const claimed = (await tx.$queryRawUnsafe(claiming(map), transactionId, JSON.stringify(request), count)) as unknown[]
  if (claimed.length === 0) return replay(tx, map, call)
  for (const chunk of chunksOf(call.source)) {
    const missing = await insert(tx, map, call, chunk)
    if (missing.length > 0) throw new DuplicateSerialsError(transactionId, missing)
  }
  return { imported: count, replayed: false }
}

/**
 * Until it knows of a great many new rows, the planner takes the free serials for few, and sorts all
 * of them for every allocation. Autovacuum would tell it within a minute or so; a role that may not
 * do it leaves it at that.
 */
export async function analyzeAfterImport(
  client: PrismaClientLike,
  { serial }: SerialsMap,
  { imported, replayed }: Imported,
) {
  if (imported < MANY || replayed || isTransactionClient(client)) return
  await client.$queryRawUnsafe(`ANALYZE ${serial.table}`).catch(() => {}) // the import is committed, come what may
}

interface Chunk {
  /** A list of `FROM` with one row per serial, whose number is `entry.number`. */
  readonly from: string
  /** For the parameters from $2 on. */
  readonly values: readonly unknown[]
}

function* chunksOf(source: ImportCall['source']): Generator<Chunk> {
  if ('numbers' in source) {
    const { numbers } = source
    for (let i = 0; i < numbers.length; i += CHUNK) {
      yield { from: 'unnest($2::text[]) AS entry(number)', values: [numbers.slice(i, i + CHUNK)] }
    }
    return
  }
  const { from, to, format } = source
  for (let first = from; first <= to; first += BigInt(CHUNK)) {
    const last = first + BigInt(CHUNK) - 1n
    yield {
      from: `(
    SELECT $2::text || lpad(n::text, greatest($3::int4, length(n::text)), '0') || $4::text AS number
    FROM generate_series($5::int8, $6::int8) AS n
    ORDER BY n
  ) AS entry`,
      values: [format.before, format.width, format.after, first, last < to ? last : to],
    }
  }
}

/** Resolves to some of the numbers that are there already, by now also those that another import was about to add. */
async function insert(
  tx: PrismaClientLike,
  map: SerialsMap,
  { data, columns: table }: ImportCall,
  chunk: Chunk,
): Promise<string[]> {
  const { number, key, updatedAt } = map.serial
  const stamped = updatedAt.filter((field) => !data.fields.includes(field))
  const columns = data.fields.map((field) => `, ${columnOf(field)}`).join('')
  const values = data.fields.map((field) => `, ${inColumnType(`given.${columnOf(field)}`, field, table)}`).join('')
  const given = data.fields.length === 0 ? '' : `, ${GivenColumns.of(data.fields, table).record('$1', 'given')}`
  const rows = (await tx.$queryRawUnsafe(
    `WITH entry AS MATERIALIZED (
  SELECT entry.number
  FROM ${chunk.from}
), inserted AS (
  INSERT INTO ${map.serial.table} (${columnOf(number)}${columns}${stampColumns(stamped)})
  SELECT entry.number${values}${stamps(stamped)}
  FROM entry${given}
  WHERE $1::json IS NOT NULL
  ON CONFLICT (${key.map(columnOf).join(', ')}) DO NOTHING
  RETURNING ${columnOf(number)} AS number
)
SELECT number FROM entry
WHERE NOT EXISTS (SELECT FROM inserted WHERE inserted.number = entry.number)
LIMIT ${MOST_NAMED}`,
    data.json,
    ...chunk.values,
  )) as { number: string }[]
  return rows.map((row) => row.number)
}

async function replay(tx: PrismaClientLike, map: SerialsMap, call: ImportCall): Promise<Imported> {
  const { transactionId, request } = call
  const noted = await readNoted(tx, map, transactionId)
  if (noted === undefined) throw new WriteSuppressedError(map.allocation.model.name, { transactionId })
  checkSame(map, transactionId, request, noted)
  return { imported: noted.count, replayed: true }
}
