import { ConfigurationError } from '../errors.js'
import type { Field, Model } from '../prisma/data-model.js'
import type { Scope } from '../prisma/scope.js'
import { tableOf } from '../prisma/sql.js'

/** The primary keys of the models, asked of the catalogue once for each. */
export class PrimaryKeys {
  readonly #known = new Map<string, readonly Field[]>()

  /** The primary key's fields, in the key's order. */
  async of(model: Model, scope: Scope): Promise<readonly Field[]> {
    const known = this.#known.get(model.name)
    if (known) return known
    // Two first calls at once ask twice, and get the same answer.
    const fields = await askCatalogue(model, scope)
    this.#known.set(model.name, fields)
    return fields
  }
}

async function askCatalogue(model: Model, scope: Scope): Promise<readonly Field[]> {
  const rows = await scope.query(
    `SELECT a.attname::text AS column
FROM pg_index AS i
CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)
JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = $1::regclass AND i.indisprimary
ORDER BY k.position`,
    tableOf(model),
  )
  const byColumn = new Map([...model.fields.values()].map((field) => [field.column, field]))
  const fields = rows.map(({ column }) => byColumn.get(column as string))
  if (fields.length === 0 || fields.includes(undefined)) {
    const message = `${model.name} has no primary key that its Prisma model knows; updateManyVersioned locks rows in its order`
    throw new ConfigurationError([{ path: '', message }])
  }
  return fields as Field[]
}
