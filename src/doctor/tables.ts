import type { Field, Model } from '../engine/data-model.js'
import type { ClientSetup, SchemaSql } from '../engine/setup.js'
import type { Finding } from '../errors/index.js'
import { columnOf, tableOf } from '../sql/sql.js'
import { columnTypeOf, isSameType } from './column-types.js'
import type { DatabaseFacts, TableFacts } from './facts.js'
import type { Needs } from './needs.js'
import { versionOf } from './versions.js'

/** Tables and columns that are not there, are of another type than the schema says, or are NOT NULL against it. */
export function checkTables(
  { dataModel }: ClientSetup,
  needs: Needs,
  facts: DatabaseFacts,
  schemaSql: SchemaSql | undefined,
): Finding[] {
  return Array.from(dataModel.values()).flatMap((model) => {
    const table = facts.tables.get(model.name)
    return table ? checkColumns(model, { table, needs, schemaSql }) : [missingTable(model, needs, schemaSql)]
  })
}

function missingTable(model: Model, { tables }: Needs, schemaSql: SchemaSql | undefined): Finding {
  const features = [...new Set(tables.filter((table) => table.model.name === model.name).map(({ feature }) => feature))]
  return {
    severity: 'error',
    code: 'TABLE_MISSING',
    where: tableOf(model),
    what: `The table of the model ${model.name} is not in the database: a migration was not applied`,
    cost: `Every call of ${[...features, model.name].join(', ')} fails`,
    sql: schemaSql?.table(model.name),
  }
}

interface Wanted {
  readonly table: TableFacts
  readonly needs: Needs
  readonly schemaSql: SchemaSql | undefined
}

function checkColumns(model: Model, { table, needs: { tables, keys }, schemaSql }: Wanted): Finding[] {
  const version = versionOf(model)
  const relied = new Set([
    ...tables
      .filter((one) => one.model.name === model.name)
      .flatMap(({ fields }) => [...fields].map(({ name }) => name)),
    ...keys.filter((one) => one.model.name === model.name).flatMap(({ fields }) => fields.map(({ name }) => name)),
    ...[...model.fields.values()].flatMap(({ foreignKey }) => foreignKey?.fields ?? []),
    ...(version ? [version.name] : []),
  ])
  return [...model.fields.values()].flatMap((field) => {
    if (field.kind === 'relation') return []
    const column = table.columns.get(field.column)
    if (column === undefined) return [missingColumn(model, field, schemaSql)]
    const isRelied = relied.has(field.name)
    const required = field.isOptional && column.isRequired ? [wronglyRequired(model, field, isRelied)] : []
    const wanted = columnTypeOf(field)
    if (wanted === undefined || isSameType(wanted.name, column.type)) return required
    return [...required, wrongType({ model, field, wanted: wanted.sql, found: column.exactType }, isRelied)]
  })
}

function missingColumn(model: Model, field: Field, schemaSql: SchemaSql | undefined): Finding {
  return {
    severity: 'error',
    code: 'COLUMN_MISSING',
    where: `${tableOf(model)}.${columnOf(field)}`,
    what: `The column of ${model.name}.${field.name} is not in the database: a migration was not applied`,
    cost: `Every call fails that reads or writes it, and every one of Prisma's that does not leave it out`,
    sql: schemaSql?.column(model.name, field.name),
  }
}

function wronglyRequired(model: Model, field: Field, isRelied: boolean): Finding {
  const [table, column] = [tableOf(model), columnOf(field)]
  return {
    severity: isRelied ? 'error' : 'warning',
    code: 'COLUMN_REQUIRED',
    where: `${table}.${column}`,
    what: `The column is NOT NULL, and ${model.name}.${field.name} is optional in the schema`,
    cost: 'Every call fails that leaves it empty, such as a reservation without an end',
    sql: `ALTER TABLE ${table} ALTER COLUMN ${column} DROP NOT NULL;`,
  }
}

interface WrongType {
  readonly model: Model
  readonly field: Field
  readonly wanted: string
  readonly found: string
}

function wrongType({ model, field, wanted, found }: WrongType, isRelied: boolean): Finding {
  const [table, column] = [tableOf(model), columnOf(field)]
  return {
    severity: isRelied ? 'error' : 'warning',
    code: 'COLUMN_TYPE',
    where: `${table}.${column}`,
    what: `The column is ${found}, and the schema says ${wanted}`,
    cost: isRelied
      ? 'Its values are compared in another way than calls expect: a key or a foreign key of another type is not found, or does not fit, and a moment is taken for another one'
      : 'Values that fit the schema may not fit the column, or are read as others',
    sql: `ALTER TABLE ${table} ALTER COLUMN ${column} TYPE ${wanted} USING ${column}::${wanted};`,
  }
}
