import type { Field } from '../engine/data-model.js'
import type { Table } from './catalogue.js'
import { columnOf, literal } from './sql.js'
import { join, type Parameter, raw, type SqlText, type Statement, sql } from './statement.js'

/** The name of a column, quoted where need be, and its type. */
type Definition = readonly [name: string, type: string]

/**
 * Values in a JSON parameter, as columns of a row or of rows in FROM. Each has the type of its own
 * column, and no other column of the table is touched: to make a row of the table's type would run
 * every column through its type, and a domain refuse the NULL of one that nobody asked for.
 */
export class GivenColumns {
  readonly #definitions: readonly Definition[]
  #text: SqlText | undefined

  constructor(definitions: readonly Definition[]) {
    this.#definitions = definitions
  }

  /** Columns of a table under their own names. */
  static of(fields: readonly Field[], table: Table): GivenColumns {
    return new GivenColumns(fields.map((field) => [columnOf(field), givenType(field, table)]))
  }

  /** One row. */
  record(json: Parameter, alias: string): Statement {
    return sql`json_to_record(${json}::json) AS ${raw(alias)}(${this.#list()})`
  }

  /** A row per entry of a list. */
  recordset(json: Parameter, alias: string): Statement {
    return sql`json_to_recordset(${json}::json) AS ${raw(alias)}(${this.#list()})`
  }

  /** The same, with their numbers from 1 on in a column of the given name. */
  numbered(json: Parameter, alias: string, number: string): Statement {
    const names = join([...this.#definitions.map(([name]) => raw(name)), raw(number)])
    return sql`ROWS FROM (json_to_recordset(${json}::json) AS (${this.#list()})) WITH ORDINALITY AS ${raw(alias)}(${names})`
  }

  /** A row per entry of a list, beside the columns of another function, which has these names. */
  beside(other: Statement, json: Parameter, alias: string, names: SqlText): Statement {
    const own = join(this.#definitions.map(([name]) => raw(name)))
    return sql`ROWS FROM (${other}, json_to_recordset(${json}::json) AS (${this.#list()})) AS ${raw(alias)}(${names}, ${own})`
  }

  #list(): SqlText {
    this.#text ??= join(this.#definitions.map(([name, type]) => raw(`${name} ${type}`)))
    return this.#text
  }
}

/** The type in which a value is given. Some Json is given as text, so that every letter of it is kept. */
export function givenType(field: Field, table: Table): SqlText {
  if (field.type === 'Json') return raw(field.isList ? 'text[]' : 'text')
  return typeOf(field, table)
}

/** A given value, in the type of its column. */
export function inColumnType(given: string, field: Field, table: Table): SqlText {
  return raw(field.type === 'Json' ? `${given}::${typeOf(field, table)}` : given)
}

/** One value out of a JSON object in a parameter, in the type of its column. */
export function givenValue(field: Field, table: Table, json: Parameter): Statement {
  const name = literal(field.column)
  const type = typeOf(field, table)
  return field.isList
    ? sql`ARRAY(SELECT json_array_elements_text(${json}::json -> ${name}))::${type}`
    : sql`(${json}::json ->> ${name})::${type}`
}

/** A column that is not there, the database itself complains of. The catalogue has quoted its types. */
function typeOf(field: Field, { columns }: Table): SqlText {
  return raw(columns.get(field.column)?.type ?? 'text')
}

/** The input function of this type does to a value what an INSERT into the column does to it. */
export function exactType(field: Field, table: Table): string {
  return field.type === 'Json' ? givenType(field, table) : (table.columns.get(field.column)?.exactType ?? 'text')
}

/** Some types cannot be compared: `json` with its spaces, and `xml`. */
export function comparableType(field: Field, table: Table): string {
  const brackets = field.isList ? '[]' : ''
  if (field.type === 'Json') return `jsonb${brackets}`
  const type = table.columns.get(field.column)?.type ?? 'text'
  return /^xml\b/.test(type) ? `text${brackets}` : type
}
