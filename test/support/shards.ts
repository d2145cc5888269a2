import type { Database } from './database.js'

/** Lets the catalogue of a database say of tables what that of Citus says: the columns by which they are distributed. */
export async function sayShards(database: Pick<Database, 'query'>, shards: Readonly<Record<string, string>>) {
  await database.query(`SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass, partmethod "char", partkey text);
CREATE FUNCTION pg_catalog.column_to_column_name(regclass, text) RETURNS text LANGUAGE sql AS 'SELECT $2'`)
  const tables = Object.keys(shards).map((table) => `"${table}"`)
  await database.query(
    "INSERT INTO pg_dist_partition SELECT name::regclass, 'h', key FROM unnest($1::text[], $2::text[]) AS given(name, key)",
    [tables, Object.values(shards)],
  )
}
