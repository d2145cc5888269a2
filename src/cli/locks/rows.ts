import type { ClientBase } from 'pg'
import { literal, quoted } from '../../sql/sql.js'
import type { Relation, Wait } from './activity.js'

/** The keys of rows, by `rowName` of a wait. */
export type RowKeys = ReadonlyMap<string, string>

/** More rows than anybody reads. */
const MOST_ROWS = 50

interface KeyColumns {
  readonly oid: number
  readonly columns: readonly string[]
}

/**
 * The primary keys of the rows that are waited for, as JSON. Where a row is has been read a moment ago: a row that
 * was changed meanwhile is in another place, and its key is not known. Nor is that of a table which this role may not
 * read, or which has no primary key.
 */
export async function readRowKeys(client: ClientBase, waits: readonly Wait[]): Promise<RowKeys> {
  const places = new Map(waits.flatMap((wait) => (wait.relation && wait.place ? [[rowName(wait), wait]] : [])))
  const wanted = [...places].slice(0, MOST_ROWS)
  const oids = wanted.flatMap(([, { relation }]) => relation?.oid ?? [])
  if (oids.length === 0) return new Map()
  const { rows } = await client.query<KeyColumns>(
    `SELECT i.indrelid::int8::float8 AS oid, (
  SELECT json_agg(a.attname ORDER BY k.position)
  FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
) AS columns
FROM pg_catalog.pg_index AS i
WHERE i.indisprimary AND i.indrelid = ANY ($1::oid[])`,
    [oids],
  )
  const columns = new Map(rows.map((row) => [row.oid, row.columns]))
  const found = new Map<string, string>()
  for (const [name, { relation, place }] of wanted) {
    const key = relation && place && (await keyAt(client, relation, place, columns.get(relation.oid) ?? []))
    if (key) found.set(name, key)
  }
  return found
}

/** A name of the row: its table, and its place there. */
export function rowName({ relation, place }: Wait): string {
  return `${relation?.oid} ${place}`
}

/** It may not wait in its turn, as for a migration that has locked the table. */
const LIMITS = "SET LOCAL lock_timeout = '300ms'; SET LOCAL statement_timeout = '1s'"

async function keyAt(
  client: ClientBase,
  { schema, name }: Relation,
  place: string,
  columns: readonly string[],
): Promise<string | undefined> {
  if (columns.length === 0) return undefined
  const values = columns.map((column) => `${literal(column)}, t.${quoted(column)}`).join(', ')
  await client.query(`BEGIN READ ONLY; ${LIMITS}`)
  try {
    const { rows } = await client.query<{ key: string }>(
      `SELECT json_build_object(${values})::text AS key FROM ${quoted(schema)}.${quoted(name)} AS t WHERE t.ctid = $1::tid`,
      [place],
    )
    return rows[0]?.key
  } catch {
    return undefined
  } finally {
    await client.query('ROLLBACK')
  }
}
