import type { Row, Session } from '../engine/session.js'
import type { Table } from '../sql/catalogue.js'
import { returning, toRecord } from '../sql/raw-record.js'
import { columnOf } from '../sql/sql.js'
import { raw, sql } from '../sql/statement.js'
import type { AllocateCall } from './allocate.js'
import { listsOf } from './lists.js'
import type { SerialsMap } from './mapping.js'
import { idsOf, inOrder } from './statements.js'

/** The state of the table for a call that took nothing. */
export interface Look {
  /** The request that is recorded under its transaction id. */
  readonly request: string | null
  /** If there is none: how many serials are free, locked or not, as far as its count. */
  readonly free: number
}

/**
 * Calls of one form, at one moment. LATERAL looks up each id by its key: the planner takes the calls for many, and
 * would read all of a table of 30,000 requests (2.3 ms instead of 0.3).
 */
export async function lookFor(
  session: Session,
  map: SerialsMap,
  columns: Table,
  calls: readonly AllocateCall[],
): Promise<readonly Look[]> {
  const { table, transactionId, request } = map.allocation
  const lists = listsOf(map, columns, calls)
  return session.rows<
    Row & Look
  >(sql`SELECT a.${columnOf(request)} AS request, CASE WHEN a.${columnOf(transactionId)} IS NULL THEN (
    SELECT count(*) FROM (${lists.free(raw(''), raw('call.count'))}) AS s
  ) ELSE 0 END::int4 AS free
FROM ${lists.calls} JOIN ${lists.pools} USING (pool) LEFT JOIN LATERAL (
  SELECT * FROM ${table} AS a WHERE a.${columnOf(transactionId)} = call.id OFFSET 0
) AS a ON true
ORDER BY call."$n"`)
}

/** The serials that transaction ids have now: those that they took, without those given back. */
export async function readTaken(
  session: Session,
  map: SerialsMap,
  ids: readonly string[],
): Promise<ReadonlyMap<string, readonly Row[]>> {
  const { table, transactionId, readable = [] } = map.serial
  const taken = new Map<string, Row[]>(ids.map((id) => [id, []]))
  const rows = await session.rows(sql`SELECT ${raw(returning(readable, 's'))}
FROM ${table} AS s
WHERE s.${columnOf(transactionId)} = ANY(${idsOf(map, ids)})
ORDER BY ${inOrder(map)}`)
  for (const row of rows) taken.get(String(row[transactionId.name]))?.push(toRecord(row, readable))
  return taken
}
