import type { Model } from '../engine/data-model.js'
import type { Row, Session } from '../engine/session.js'
import { WriteSuppressedError } from '../errors/index.js'
import { sqlTypeOf, stampColumns, stamps } from '../mapping/columns.js'
import type { DocumentEngine } from '../series/document-creator.js'
import type { DocumentMap } from '../series/mapping.js'
import { Catalogue } from '../sql/catalogue.js'
import { columnValue } from '../sql/column-value.js'
import { GivenColumns, inColumnType } from '../sql/given-columns.js'
import { returning, toRecord } from '../sql/raw-record.js'
import { columnOf } from '../sql/sql.js'
import { join, param, raw, sql } from '../sql/statement.js'
import type { RetryingRoot } from '../transactions/method.js'

/** Documents by SQL alone. */
export function pgDocuments(root: RetryingRoot): DocumentEngine {
  const catalogue = new Catalogue()
  return {
    judges: false,
    readable: (_, model) => fieldsOf(model),
    rootOf: () => root,
    async find(tx, { model, table, scope, transactionId }, key) {
      const fields = fieldsOf(model)
      const isKey = [...scope, transactionId].map(
        (field) => sql`${raw(`d.${columnOf(field)}`)} = ${param(key[field.name], sqlTypeOf(field))}`,
      )
      const [found] = await tx.rows(sql`SELECT ${returning(fields, 'd')}
FROM ${table} AS d
WHERE ${join(isKey, ' AND ')}`)
      return found && toRecord(found, fields)
    },
    insert: (tx, document, row) => insert(tx, document, row, catalogue),
  }
}

async function insert(tx: Session, document: DocumentMap, row: Row, catalogue: Catalogue): Promise<Row> {
  const { model, table, updatedAt } = document
  const columns = await catalogue.of(model, tx)
  const fields = fieldsOf(model).filter(({ name }) => Object.hasOwn(row, name))
  const json = JSON.stringify(
    Object.fromEntries(fields.map((field) => [field.column, columnValue(row[field.name], field)])),
  )
  const stamped = updatedAt.filter((field) => !fields.includes(field))
  const values = fields.map((field) => raw(inColumnType(`given.${columnOf(field)}`, field, columns)))
  const [inserted] = await tx.rows(
    sql`INSERT INTO ${table} AS d (${join(fields.map(columnOf))}${stampColumns(stamped)})
SELECT ${join(values)}${stamps(stamped)}
FROM ${GivenColumns.of(fields, columns).record(param(json), 'given')}
RETURNING ${returning(fieldsOf(model), 'd')}`,
  )
  if (inserted === undefined) throw new WriteSuppressedError(model.name, {})
  return toRecord(inserted, fieldsOf(model))
}

/** A row is what SQL gives, so each of its fields can be read. */
function fieldsOf(model: Model) {
  return [...model.fields.values()]
}
