import type { Field } from '../engine/data-model.js'
import type { Row, Session } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError } from '../errors/index.js'
import { returning, toRecord } from '../sql/raw-record.js'
import type { Scope } from '../sql/scope.js'
import { columnOf } from '../sql/sql.js'
import { param, sql } from '../sql/statement.js'
import * as s from '../values/schema.js'
import { checkArguments } from '../values/validation.js'
import type { HistoryMap, SerialsMap } from './mapping.js'
import { whole } from './numbers.js'
import { matches } from './statements.js'
import { inScope, jsonOf, type Refusals, readWhere, type Values } from './values.js'

const historySchema = s.strictObject({
  after: s.optional(whole),
  limit: s.optional(s.whole().check(s.gte(1), s.lte(1_000))),
})
export interface HistoryCall {
  readonly scope: Scope
  /** The key of the serial, and the page, as they were given. */
  readonly serial: unknown
  readonly page: unknown
  /** Fields that the key must not name. */
  readonly refused: Refusals
}

/**
 * The changes of a serial, in the order in which they were committed: each has its sequence from the row of the
 * serial, which it keeps locked until its commit. So no change comes later than one with a higher sequence.
 */
export async function readHistory(session: Session, map: SerialsMap, call: HistoryCall): Promise<Row[]> {
  const { history } = map
  if (history === undefined) {
    throw new ConfigurationError([
      { path: 'history', message: 'is needed by $serials.history: the model of the changes' },
    ])
  }
  const { after = 0, limit = 100 } = checkArguments(historySchema, call.page ?? {})
  const { table, sequence, readable, model } = history
  const serial = keyOf(history, map.serial.scope, call)
  const columns = await map.catalogue.of(model, session)
  const json = param(jsonOf(serial))
  const rows = await session.rows(sql`SELECT ${returning(readable, 's')}
FROM ${table} AS s
WHERE ${json}::json IS NOT NULL${matches(serial, columns, json)} AND s.${columnOf(sequence)} > ${param(after, 'int8')}
ORDER BY s.${columnOf(sequence)}
LIMIT ${param(limit, 'int4')}`)
  const changes = rows.map((row) => toRecord(row, readable))
  checkBeginning(BigInt(after), changes[0]?.[sequence.name])
  return changes
}

/** The sequences have no gap, so one behind a page is of changes that are pruned. */
function checkBeginning(after: bigint, first: unknown): void {
  if (after === 0n || typeof first !== 'number' || BigInt(first) === after + 1n) return
  throw new InvalidArgumentError(
    'after',
    `is before the history begins, at ${first}: the changes between were pruned. Leave it out.`,
  )
}

/** The key of the serial, in the fields of the history. */
function keyOf({ model, key }: HistoryMap, scoped: readonly Field[], { serial, scope, refused }: HistoryCall): Values {
  const given = readWhere('serial', serial, model, refused)
  const isScoped = ({ name }: Field) => scoped.some((field) => field.name === name)
  for (const field of key) {
    const isGiven = isScoped(field) || given.fields.some(({ name }) => name === field.name)
    if (!isGiven)
      throw new InvalidArgumentError(`serial.${field.name}`, 'is needed: it is part of the key of a serial.')
  }
  const other = given.fields.find((field) => !key.includes(field))
  if (other) throw new InvalidArgumentError(`serial.${other.name}`, 'is not part of the key of a serial.')
  return inScope(given, key.filter(isScoped), scope)
}
