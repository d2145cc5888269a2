import type { ClientSetup, SchemaSql } from '../engine/setup.js'
import type { Finding } from '../errors/index.js'
import { columnOf, tableOf } from '../sql/sql.js'
import type { DatabaseFacts } from './facts.js'

/** Relations of the schema for which the database has no foreign key. */
export function checkForeignKeys(
  { dataModel }: ClientSetup,
  { tables }: DatabaseFacts,
  schemaSql: SchemaSql | undefined,
): Finding[] {
  return Array.from(dataModel.values()).flatMap((model) =>
    [...model.fields.values()].flatMap(({ name, type, foreignKey }): Finding[] => {
      const other = dataModel.get(type)
      const sql = schemaSql?.foreignKey(model.name, name)
      // Without SQL it is Prisma that enforces the relation. A view has no foreign key, and nothing refers to one.
      if (!foreignKey || !other || sql === undefined) return []
      if ([model, other].some((one) => tables.get(one.name)?.hasIndexes === false)) return []
      const own = foreignKey.fields.flatMap((field) => model.fields.get(field) ?? [])
      const foreign = foreignKey.references.flatMap((field) => other.fields.get(field) ?? [])
      const isThere = tables
        .get(model.name)
        ?.foreignKeys.some(
          ({ schema, table, columns }) =>
            schema === other.schema &&
            table === other.table &&
            columns.length === own.length &&
            own.every(({ column }, i) => columns.some((pair) => pair[0] === column && pair[1] === foreign[i]?.column)),
        )
      if (isThere) return []
      return [
        {
          severity: 'warning',
          code: 'FOREIGN_KEY_MISSING',
          where: `${tableOf(model)} (${own.map(columnOf).join(', ')})`,
          what: `There is no foreign key to ${tableOf(other)}, which the relation ${model.name}.${name} says`,
          cost: 'A row can refer to one that is not there, and what the schema says of a deletion (onDelete) does not happen',
          sql,
        },
      ]
    }),
  )
}
