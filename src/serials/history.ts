import type { Row, Session } from '../engine/session.js'
import type { Table } from '../sql/catalogue.js'
import { returning, toRecord } from '../sql/raw-record.js'
import { columnOf } from '../sql/sql.js'
import { param, sql } from '../sql/statement.js'
import type { HistoryMap } from './mapping.js'
import { matches } from './statements.js'
import { jsonOf, type Values } from './values.js'

export interface HistoryCall {
  /** The key of the serial, in the fields of the history. */
  readonly serial: Values
  /** The sequence of the last change that the caller has seen. */
  readonly after: number | bigint
  readonly limit: number
}

/**
 * The changes of a serial, in the order in which they were committed: each has its sequence from the row of the
 * serial, which it keeps locked until its commit. So no change comes later than one with a higher sequence.
 */
export async function readHistory(
  session: Session,
  { table, sequence, readable }: HistoryMap,
  columns: Table,
  { serial, after, limit }: HistoryCall,
): Promise<Row[]> {
  const json = param(jsonOf(serial))
  const rows = await session.rows(sql`SELECT ${returning(readable, 's')}
FROM ${table} AS s
WHERE ${json}::json IS NOT NULL${matches(serial, columns, json)} AND s.${columnOf(sequence)} > ${param(after, 'int8')}
ORDER BY s.${columnOf(sequence)}
LIMIT ${param(limit, 'int4')}`)
  return rows.map((row) => toRecord(row, readable))
}
