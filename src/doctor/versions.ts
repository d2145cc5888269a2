import type { Field, Model } from '../engine/data-model.js'
import type { ClientSetup } from '../engine/setup.js'
import type { Finding } from '../errors/index.js'
import { columnOf, tableOf } from '../sql/sql.js'
import type { DatabaseFacts } from './facts.js'

/** The version column of a model, where it has one. */
export function versionOf({ version, fields }: Model): Field | undefined {
  return typeof version === 'string' ? fields.get(version) : undefined
}

/** Version columns that take NULL, or have no value of their own in a row that is made by others. */
export function checkVersions({ dataModel }: ClientSetup, { tables }: DatabaseFacts): Finding[] {
  return Array.from(dataModel.values()).flatMap((model): Finding[] => {
    const version = versionOf(model)
    const facts = tables.get(model.name)
    const column = version && facts?.columns.get(version.column)
    if (!version || !column || !facts?.hasIndexes) return []
    const [table, name] = [tableOf(model), columnOf(version)]
    const where = `${table}.${name}`
    const found: Finding[] = []
    if (!column.isRequired) {
      found.push({
        severity: 'error',
        code: 'VERSION_NULLABLE',
        where,
        what: 'The version column takes NULL',
        cost: 'A row whose version is NULL is equal to no version: it can never be written by version, and NULL + 1 stays NULL',
        sql: `UPDATE ${table} SET ${name} = 0 WHERE ${name} IS NULL;\nALTER TABLE ${table} ALTER COLUMN ${name} SET DEFAULT 0, ALTER COLUMN ${name} SET NOT NULL;`,
      })
    } else if (!facts.defaults.has(version.column)) {
      found.push({
        severity: 'warning',
        code: 'VERSION_DEFAULT',
        where,
        what: 'The version column has no default',
        cost: 'An INSERT that leaves it out fails: raw SQL, another program, and statements of this package that make rows',
        sql: `ALTER TABLE ${table} ALTER COLUMN ${name} SET DEFAULT 0;`,
      })
    }
    return found
  })
}
