import { type Field, scalarsOf } from '../engine/data-model.js'
import { sqlState } from '../engine/error-facts.js'
import type { Session } from '../engine/session.js'
import type { ClientSetup } from '../engine/setup.js'
import type { Finding } from '../errors/index.js'
import { columnOf, literal } from '../sql/sql.js'
import { join, param, raw, sql } from '../sql/statement.js'
import type { StockMap } from '../stock/mapping.js'
import { isStock } from './needs.js'

/** How many rows are looked at, in the order of their keys. */
const MOST_ROWS = 100_000
const MOST_FOUND = 20
/** How many items a finding names. */
const MOST_NAMED = 3

/** An item whose slots are not numbered from 0 on, one behind the other. */
interface WronglyNumbered {
  /** As JSON, with its scope. */
  readonly item: string
  readonly hasHead: boolean
}

/** Items with slots that are not numbered from 0 on. Of the checks it is the only one that reads rows of the user's. */
export async function checkSlots({ features }: ClientSetup, session: Session): Promise<Finding[]> {
  const found: Finding[] = []
  for (const { map } of features.filter(isStock)) found.push(...(await checkLedger(session, map)))
  return found
}

async function checkLedger(session: Session, map: StockMap): Promise<Finding[]> {
  const { name, item } = map
  if (!item.slots) return []
  const wrong = await wronglyNumbered(session, map)
  const [headless, others] = [wrong.filter(({ hasHead }) => !hasHead), wrong.filter(({ hasHead }) => hasHead)]
  const where = `${item.table}.${columnOf(item.slots)}`
  const headlessFinding: Finding = {
    severity: 'error',
    code: 'SLOTS',
    where,
    what: `Items have no row with the slot 0: ${named(headless)}`,
    cost: `${name}.setSlots does not find them, and keeps nobody out who looks at all of their slots`,
    sql: headsSql(map),
  }
  const gapFinding: Finding = {
    severity: 'warning',
    code: 'SLOTS',
    where,
    what: `Items have slots that are not numbered from 0 on without a gap: ${named(others)}`,
    cost: `A process whose slot is not there locks all slots of the item for each movement. ${name}.setSlots({ item, count }) numbers them anew`,
    sql: undefined,
  }
  return [...(headless.length > 0 ? [headlessFinding] : []), ...(others.length > 0 ? [gapFinding] : [])]
}

/**
 * Those without a head come first. The beginning of an item that is numbered rightly is so too, where the rows end in it.
 * None where the table cannot be read: that is a finding of its own.
 */
async function wronglyNumbered(session: Session, { item }: StockMap): Promise<readonly WronglyNumbered[]> {
  const { table, key, rowKey, slots } = item
  if (!slots) return []
  const slot = raw(`t.${columnOf(slots)}`)
  const keys = join(key.map((field) => raw(`t.${columnOf(field)}`)))
  const rows = join(rowKey.map((field) => raw(`t.${columnOf(field)}`)))
  const pairs = key.map((field) => `${literal(field.name)}, t.${columnOf(field)}`).join(', ')
  const name = raw(key.length === 1 ? `to_json(${keys})` : `json_build_object(${pairs})`)
  try {
    return await session.rows<{ item: string; hasHead: boolean }>(
      sql`SELECT ${name}::text AS item, bool_or(${slot} = 0) AS "hasHead"
FROM (
  SELECT ${rows} FROM ${table} AS t
  ORDER BY ${rows}
  LIMIT ${param(MOST_ROWS, 'int4')}
) AS t
GROUP BY ${keys}
HAVING min(${slot}) <> 0 OR max(${slot})::int8 <> count(DISTINCT ${slot}) - 1
ORDER BY "hasHead", ${keys}
LIMIT ${param(MOST_FOUND, 'int4')}`,
    )
  } catch (error) {
    // A table or a column that is missing, is of another type, or may not be read; shards on which that is not possible; a
    // server that gives it too little time.
    if (/^(42|0A|57014)/.test(sqlState(error) ?? '')) return []
    throw error
  }
}

function named(items: readonly WronglyNumbered[]): string {
  const names = items.slice(0, MOST_NAMED).map(({ item }) => item)
  return names.join(', ') + (items.length > MOST_NAMED ? ' and others' : '')
}

/**
 * SQL that gives each item without a head one, as a copy of its lowest row, with nothing on hand.
 *
 * @returns `undefined` where a column that is part of another key would be the same in two rows
 */
function headsSql({ item, history }: StockMap): string | undefined {
  const { model, table, key, rowKey, slots, onHand, opening } = item
  if (!slots) return undefined
  const counts = [slots, onHand, opening, history?.last].filter((field) => !!field)
  const others = scalarsOf(model).filter((field) => !rowKey.includes(field) && !counts.includes(field))
  if (others.some(({ name }) => model.inKeys.has(name))) return undefined
  const isSame = key.map((field) => `h.${columnOf(field)} = t.${columnOf(field)}`).join(' AND ')
  const of = (fields: readonly Field[]) => fields.map((field) => `t.${columnOf(field)}`).join(', ')
  return `INSERT INTO ${table} (${[...key, ...counts, ...others].map(columnOf).join(', ')})
SELECT DISTINCT ON (${of(key)}) ${of(key)}, ${counts.map(() => '0').join(', ')}${others.length > 0 ? `, ${of(others)}` : ''}
FROM ${table} AS t
WHERE NOT EXISTS (SELECT FROM ${table} AS h WHERE ${isSame} AND h.${columnOf(slots)} = 0)
ORDER BY ${of(rowKey)};`
}
