import { Absent, type RecordSession } from '../engine/records.js'
import { type EventCarrier, timed } from '../events/call-events.js'
import type { Catalogue } from '../sql/catalogue.js'
import { GivenColumns } from '../sql/given-columns.js'
import { keyJson, type RowKey, rowKeyOf } from '../sql/row-key.js'
import { columnOf, tableOf } from '../sql/sql.js'
import { join, param, raw, sql } from '../sql/statement.js'
import { requireKey, type Where } from './arguments.js'
import type { VersionedModel } from './versioned-models.js'

interface LockTarget {
  readonly versioned: VersionedModel
  readonly row: Where
  readonly key: RowKey
  readonly catalogue: Catalogue
  readonly deadline: EventCarrier
}

/**
 * Locks the row until the transaction ends, and waits for the writer that has it now. A lock for an update
 * is FOR NO KEY UPDATE, which lets foreign keys to the row be checked meanwhile; a delete needs
 * FOR UPDATE (PostgreSQL manual, "13.3.2. Row-Level Locks").
 */
export async function lockRow(
  session: RecordSession,
  target: LockTarget,
  strength: 'NO KEY UPDATE' | 'UPDATE',
): Promise<void> {
  const { versioned, catalogue } = target
  const key = await clearKey(session, target)
  if (key === undefined) return
  requireKey(key, versioned, 'where')
  const fields = key.parts.map(({ field }) => field)
  const given = GivenColumns.of(fields, await catalogue.of(versioned.model, session))
  const conditions = fields.map((field) => raw(`t.${columnOf(field)} = k.${columnOf(field)}`))
  const statement = sql`SELECT 1
FROM ${tableOf(versioned.model)} AS t, ${given.record(param(JSON.stringify(keyJson(key))), 'k')}
WHERE ${join(conditions, ' AND ')}
FOR ${raw(strength)} OF t`
  await timed(target.deadline.events, 'row', () => session.rows(statement))
}

/** Where only Prisma can read a value of the key, it is asked for the row's own. `undefined` if there is no such row. */
async function clearKey(
  session: RecordSession,
  { versioned, row, key }: LockTarget,
): Promise<Pick<RowKey, 'parts'> | undefined> {
  if (key.unclear.length === 0) return key
  const select = Object.fromEntries(key.unclear.map(({ field }) => [field.name, true]))
  const record = await session.read({ where: row, select })
  if (record instanceof Absent) return undefined // the write itself will tell
  return { parts: [...key.parts, ...rowKeyOf(record, versioned.model).parts] }
}
