import type { Field } from '../engine/data-model.js'
import type { Table } from './catalogue.js'
import { columnOf, literal } from './sql.js'

/** The name of a column, quoted where need be, and its type. */
type Definition = readonly [name: string, type: string]

/**
 * Values in a JSON parameter, as columns of a row or of rows in FROM. Each has the type of its own
 * column, and no other column of the table is touched: to make a row of the table's type would run
 * every column through its type, and a domain refuse the NULL of one that nobody asked for.
 */
export class GivenColumns {
  readonly #definitions: readonly Definition[]

  constructor(definitions: readonly Definition[]) {
    this.#definitions = definitions
  }

  /** Columns of a table under their own names. */
  static of(fields: readonly Field[], table: Table): GivenColumns {
    return new GivenColumns(fields.map((field) => [columnOf(field), givenType(field, table)]))
  }

  /** One row. */
  record(parameter: string, alias: string): string {
    return `json_to_record(${parameter}::json) AS ${alias}(${this.#list()})`
  }

  /** A row per entry of a list. */
  recordset(parameter: string, alias: string): string {
    return `json_to_recordset(${parameter}::json) AS ${alias}(${this.#list()})`
  }

  /** The same, with their numbers from 1 on in a column of the given name. */
  numbered(parameter: string, alias: string, number: string): string {
    const names = [...this.#definitions.map(([name]) => name), number].join(', ')
    return `ROWS FROM (json_to_recordset(${parameter}::json) AS (${this.#list()})) WITH ORDINALITY AS ${alias}(${names})`
  }

  #list(): string {
    return this.#definitions.map(([name, type]) => `${name} ${type}`).join(', ')
  }
}

/** The type in which a value is given. Some Json is given as text, so that every letter of it is kept. */
export function givenType(field: Field, table: Table): string {
  if (field.type === 'Json') return field.isList ? 'text[]' : 'text'
  return typeOf(field, table)
}

/** What was given, in the type of its column. */
export function inColumnType(given: string, field: Field, table: Table): string {
  return field.type === 'Json' ? `${given}::${typeOf(field, table)}` : given
}

/** One value out of a JSON object in a parameter, in the type of its column. */
export function givenValue(field: Field, table: Table, parameter: string): string {
  const name = literal(field.column)
  return field.isList
    ? `ARRAY(SELECT json_array_elements_text(${parameter}::json -> ${name}))::${typeOf(field, table)}`
    : `(${parameter}::json ->> ${name})::${typeOf(field, table)}`
}

/** A column that is not there, the database itself complains of. */
function typeOf(field: Field, { columns }: Table): string {
  return columns.get(field.column)?.type ?? 'text'
}
