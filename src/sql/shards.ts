import type { Model } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import { param, sql } from './statement.js'

/** The columns by which Citus distributes the tables of models, by the models' names. Those on no shard are not among them. */
export async function readShards(
  models: readonly Model[],
  session: Pick<Session, 'rows'>,
): Promise<ReadonlyMap<string, string>> {
  const schemas = models.map(({ schema }) => schema)
  const names = models.map(({ table }) => table)
  const rows = await session.rows<{ position: number; column: string }>(sql`SELECT given.position::int,
  pg_catalog.column_to_column_name(p.logicalrelid, p.partkey) AS column
FROM unnest(${param(schemas, 'text[]')}, ${param(names, 'text[]')}) WITH ORDINALITY AS given(schema, name, position)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = given.schema
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = given.name
JOIN pg_catalog.pg_dist_partition AS p ON p.logicalrelid = c.oid
WHERE p.partkey IS NOT NULL`)
  return new Map(rows.map(({ position, column }) => [models[position - 1]?.name ?? '', column]))
}
