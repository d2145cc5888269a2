import type { Field } from '../engine/data-model.js'
import type { SqlStatement } from '../engine/session.js'
import { sqlTypeOf, stampColumns, stamps } from '../mapping/columns.js'
import type { Table } from '../sql/catalogue.js'
import type { ColumnValue } from '../sql/column-value.js'
import { GivenColumns, givenType, inColumnType } from '../sql/given-columns.js'
import { returning } from '../sql/raw-record.js'
import { refusal } from '../sql/refusal.js'
import { columnOf } from '../sql/sql.js'
import { join, type Parameter, param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import { type Written, writtenOnce } from '../sql/written.js'
import { lockLimit } from '../transactions/limits.js'
import type { DocumentSeries, SeriesMap } from './mapping.js'
import { areEqual, bump, keyOf, labelParts, localMoment, numberText } from './statements.js'

/** A document that is to get a number. */
export interface NewDocument {
  readonly transactionId: string
  readonly at: Date | undefined
  readonly values: Readonly<Record<string, ColumnValue>>
}

/** The common part of all documents of one statement. */
export interface DocumentForm {
  readonly map: SeriesMap
  readonly series: DocumentSeries
  /** The columns that are given; the database fills in the others. */
  readonly fields: readonly Field[]
  readonly table: Table
  /** The fields of a document that are given back. */
  readonly readable: readonly Field[]
  /** The statements for documents of this table and definition, by what else tells them apart. */
  readonly statements: Map<string, Written>
}

export interface CreateBounds {
  /** How long the statement may wait for a row, in ms. */
  readonly lockTimeout: number
  /** Whether transaction ids that are recorded are left out, which else are an error of the whole statement. */
  readonly looksForIds: boolean
}

/** A document with its number, as a statement gives it back. */
export interface DocumentRow {
  readonly $id: string
  readonly $value: bigint
  readonly $text: string
}

/**
 * Numbers documents and inserts them, all or nothing: one statement, so that the counter's row is locked from its
 * update to the commit and no longer. Each period's numbers go to its documents in the order of the list.
 * There are no rows for a period that has not so many numbers left; of it nothing is written. With `looksForIds` there
 * are none for a transaction id that has a number already.
 *
 * The counter is locked before anything else is written: the window keeps the documents back until the last counter
 * is done. A counter that had to be waited for is read as it is now, though the snapshot is older. A
 * transaction id that was committed during the wait is not in the snapshot, and nothing here relies on
 * that: its unique keys refuse it, whatever the snapshot, and with it the whole statement.
 */
export function createDocuments(
  form: DocumentForm,
  documents: readonly NewDocument[],
  bounds: CreateBounds,
): SqlStatement {
  const { series, fields, statements } = form
  const { column } = series.document.transactionId
  const rows = documents.map(({ transactionId, at, values }) => ({ ...values, [column]: transactionId, '#at': at }))
  const [key, json] = [keyOf(series), param(JSON.stringify(rows))]
  const title = `${bounds.looksForIds} ${bounds.lockTimeout} ${fields.map(({ name }) => name).join()}`
  return writtenOnce(statements, title, [...key, json], () => creating(form, { key, json }, bounds))
}

function creating(
  { map, series, fields, table, readable }: DocumentForm,
  { key, json }: { readonly key: readonly Parameter[]; readonly json: Parameter },
  { lockTimeout, looksForIds }: CreateBounds,
): Statement {
  const { number: noted } = map
  const { document, format, start } = series
  const id = columnOf(document.transactionId)
  const given = new GivenColumns([
    ...fields.map((field) => [columnOf(field), givenType(field, table)] as const),
    [id, sqlTypeOf(document.transactionId) ?? 'text'],
    ['"#at"', 'timestamptz'],
  ])
  const stamped = document.updatedAt.filter((field) => !fields.includes(field))
  const own = [document.number, ...(document.value ? [document.value] : [])]
  const numberIn = (field: Field) => raw(field.type === 'String' ? ', "#text"' : ', "#value"')
  const parts = { before: raw('"#before"'), value: raw('"#value"'), after: raw('"#after"') }
  const text = numberText(parts, param(format.width, 'int4'))
  return sql`WITH bound AS MATERIALIZED (
  SELECT ${raw(lockLimit(lockTimeout))}
), entry AS MATERIALIZED (
  SELECT given.*, label.period AS "#period", label.before AS "#before", label.after AS "#after"
  FROM bound, ${given.numbered(json, 'given', '"#"')}
  CROSS JOIN LATERAL (
    SELECT ${labelParts(format)}
    FROM (SELECT ${localMoment(raw('given."#at"'), param(series.timeZone, 'text'))}) AS moment
  ) AS label
${looksForIds && sql`  WHERE NOT ${isNumbered(map, key, raw(`given.${id}`))}\n`}), taken AS (
  ${bump(map, series, key, {
    size: raw('label.count'),
    more: sql`(excluded.${columnOf(map.counter.last)} - ${param(start, 'int8')} + 1)`,
    source: sql`(
    SELECT "#period" AS period, count(*)
    FROM entry
    GROUP BY 1
    HAVING count(*) - 1 <= ${param(series.highest - start, 'int8')}
    ORDER BY 1
  ) AS label`,
  })}
), numbered AS MATERIALIZED (
  SELECT entry.*, ${text} AS "#text"
  FROM (
    SELECT entry.*, taken.last::int8 - count(*) OVER (PARTITION BY "#period") + row_number() OVER (PARTITION BY "#period" ORDER BY "#") AS "#value"
    FROM entry JOIN taken ON taken.period = "#period"
  ) AS entry
), document AS (
  INSERT INTO ${document.table} (${join([...document.scope, ...fields, document.transactionId, ...own].map(columnOf))}${stampColumns(stamped)})
  SELECT ${join([...series.scope, ...fields.map((field) => raw(inColumnType(columnOf(field), field, table))), id])}${join(own.map(numberIn), '')}${stamps(stamped)}
  FROM numbered
  ORDER BY "#"
  RETURNING *
), noted AS (
  INSERT INTO ${noted.table} (${join([...noted.key, noted.transactionId, noted.period, noted.value, noted.text].map(columnOf))}${stampColumns(noted.updatedAt)})
  SELECT ${join(key)}, ${id}, "#period", "#value", "#text"${stamps(noted.updatedAt)}
  FROM numbered
  ORDER BY "#"
  RETURNING 1
)
SELECT numbered.${id} AS "$id", numbered."#value" AS "$value", numbered."#text" AS "$text", ${returning(readable, 'document')},
  CASE WHEN document.${id} IS NULL OR (SELECT count(*) FROM noted) <> (SELECT count(*) FROM numbered)
    THEN ${refusal('suppressed ', raw('numbered."#"'))}
  END AS "$refusal"
FROM numbered LEFT JOIN document ON document.${id} = numbered.${id}`
}

/** Whether the transaction id has a number of the series, as far as the statement's snapshot tells. */
function isNumbered({ number }: SeriesMap, key: readonly Parameter[], id: SqlText): Statement {
  const isKnown = areEqual([...number.key, number.transactionId], [...key, id], 'n.')
  return sql`EXISTS (SELECT FROM ${number.table} AS n WHERE ${isKnown})`
}

/** The documents of transaction ids that have a number of the series, as they are now. */
export function findDocuments(
  { number }: SeriesMap,
  series: DocumentSeries,
  readable: readonly Field[],
  ids: readonly string[],
): Statement {
  const { document, scope } = series
  const id = columnOf(number.transactionId)
  const own = [...document.scope, document.transactionId]
  return sql`SELECT n.${id} AS "$id", n.${columnOf(number.value)}::int8 AS "$value", n.${columnOf(number.text)} AS "$text", ${returning(readable, 'd')}
FROM ${number.table} AS n JOIN ${document.table} AS d ON ${areEqual(own, [...scope, raw(`n.${id}`)], 'd.')}
WHERE ${areEqual(number.key, keyOf(series), 'n.')} AND n.${id} = ANY(${param(ids, `${sqlTypeOf(number.transactionId)}[]`)})`
}
