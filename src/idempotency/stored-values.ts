import type { Field } from '../engine/data-model.js'
import type { RecordSession } from '../engine/records.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'
import { comparableType, exactType, GivenColumns, givenType } from '../sql/given-columns.js'
import { columnOf, tableOf } from '../sql/sql.js'
import { join, param, raw, sql } from '../sql/statement.js'
import { isRecord } from '../values/validation.js'
import type { Compared } from './compare.js'

/** A value in a JSON object, with its column. */
interface Given {
  readonly name: string
  readonly field: Field
  readonly value: ColumnValue
}

/**
 * The fields of which the row has another value than the column would make of the given one: a uuid
 * in lower case, a moment without its fraction, the nearest `real`.
 */
export async function differingInDatabase(
  session: Pick<RecordSession, 'rows'>,
  { catalogue, model, payload }: Compared,
  fields: readonly Field[],
): Promise<readonly string[]> {
  const values = { ...payload.key, ...payload.scalars }
  const keys = readable(payload.keyFields, values, 'k')
  const asked = readable(fields, values, 'v')
  if (asked.length === 0 || keys.length < payload.keyFields.length) return fields.map(({ name }) => name)
  const table = await catalogue.of(model, session)
  const columns = new GivenColumns([
    ...keys.map(({ name, field }) => [name, givenType(field, table)] as const),
    ...asked.map(({ name, field }) => [name, exactType(field, table)] as const),
  ])
  const conditions = keys.map(({ name, field }) => raw(`t.${columnOf(field)} = given.${name}`))
  const results = asked.map(({ name, field }) => {
    const type = comparableType(field, table)
    return raw(`t.${columnOf(field)}::${type} IS NOT DISTINCT FROM given.${name}::${type} AS ${name}`)
  })
  const json = param(JSON.stringify(Object.fromEntries([...keys, ...asked].map(({ name, value }) => [name, value]))))
  const [row] = await session.rows(sql`SELECT ${join(results)}
FROM ${tableOf(model)} AS t, ${columns.record(json, 'given')}
WHERE ${join(conditions, ' AND ')}`)
  const same = new Set(asked.flatMap(({ name, field }) => (row?.[name] === true ? [field] : [])))
  // A value that only Prisma can read is compared as it was given, so it differs.
  return fields.filter((field) => !same.has(field)).map(({ name }) => name)
}

/** The values that a statement of ours can send, under names of their own. */
function readable(fields: readonly Field[], values: Readonly<Record<string, unknown>>, prefix: string): Given[] {
  return fields.flatMap((field, i) => {
    const value = columnValue(itemsOf(values[field.name], field), field)
    return value === undefined ? [] : [{ name: `${prefix}${i}`, field, value }]
  })
}

/** A list may be given as `{ set }`. */
function itemsOf(value: unknown, { isList }: Field): unknown {
  return isList && isRecord(value) && 'set' in value ? value.set : value
}
