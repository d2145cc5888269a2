import type { Field, Model } from '../engine/data-model.js'
import type { Session } from '../prisma/session.js'
import type { Catalogue, Table } from '../sql/catalogue.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'
import { GivenColumns, givenType } from '../sql/given-columns.js'
import { columnOf, tableOf } from '../sql/sql.js'
import { isRecord } from '../values/validation.js'

type Values = Readonly<Record<string, unknown>>

/** The values of a row, as the database compares them. */
export class StoredValues {
  readonly #scope: Session
  readonly #model: Model
  readonly #catalogue: Catalogue

  constructor(scope: Session, model: Model, catalogue: Catalogue) {
    this.#scope = scope
    this.#model = model
    this.#catalogue = catalogue
  }

  /**
   * The fields of which the row has another value than the column would make of the given one: a uuid
   * in lower case, a moment without its fraction, the nearest `real`.
   */
  async differing(key: Values, given: Values, names: readonly string[]): Promise<readonly string[]> {
    const keys = this.#read(key, Object.keys(key))
    const asked = this.#read(given, names)
    // What only Prisma can read is compared as it was given.
    const others = names.filter((name) => !asked.some(({ field }) => field.name === name))
    if (asked.length === 0 || keys.length < Object.keys(key).length) return names
    const table = await this.#catalogue.of(this.#model, this.#scope.query)
    const columns = new GivenColumns([
      ...keys.map(({ field }, i) => [`k${i}`, givenType(field, table)] as const),
      ...asked.map(({ field }, i) => [`v${i}`, exactType(field, table)] as const),
    ])
    const conditions = keys.map(({ field }, i) => `t.${columnOf(field)} = given.k${i}`)
    const results = asked.map(({ field }, i) => {
      const type = comparableType(field, table)
      return `t.${columnOf(field)}::${type} IS NOT DISTINCT FROM given.v${i}::${type} AS "${i}"`
    })
    const json = Object.fromEntries([
      ...keys.map(({ value }, i) => [`k${i}`, value] as const),
      ...asked.map(({ value }, i) => [`v${i}`, value] as const),
    ])
    const [row] = await this.#scope.query(
      `SELECT ${results.join(', ')}
FROM ${tableOf(this.#model)} AS t, ${columns.record('$1', 'given')}
WHERE ${conditions.join(' AND ')}`,
      JSON.stringify(json),
    )
    const differing = asked.filter((_, i) => row?.[i] !== true).map(({ field }) => field.name)
    return names.filter((name) => others.includes(name) || differing.includes(name))
  }

  #read(values: Values, names: readonly string[]): { field: Field; value: ColumnValue }[] {
    return names.flatMap((name) => {
      const field = this.#model.fields.get(name)
      const value = field && columnValue(itemsOf(values[name], field), field)
      return field === undefined || value === undefined ? [] : [{ field, value }]
    })
  }
}

/** A list may be given as `{ set }`. */
function itemsOf(value: unknown, { isList }: Field): unknown {
  return isList && isRecord(value) && 'set' in value ? value.set : value
}

/** The input function of this type does to a value what an INSERT into the column does to it. */
function exactType(field: Field, table: Table): string {
  return field.type === 'Json' ? givenType(field, table) : (table.columns.get(field.column)?.exactType ?? 'text')
}

/** Some types cannot be compared: `json` with its spaces, and `xml`. */
function comparableType(field: Field, table: Table): string {
  const brackets = field.isList ? '[]' : ''
  if (field.type === 'Json') return `jsonb${brackets}`
  const type = table.columns.get(field.column)?.type ?? 'text'
  return /^xml\b/.test(type) ? `text${brackets}` : type
}
