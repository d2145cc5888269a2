import type { Database } from './database.js'

const PARTS = 3

/**
 * Makes tables anew as hash partitions by one column each. Every unique key that has the column stays; others, and foreign
 * keys, a partitioned table cannot have.
 */
export async function partition(
  { query }: Pick<Database, 'query'>,
  columns: Readonly<Record<string, string>>,
): Promise<void> {
  const keys = await query(
    `SELECT t.relname AS table, array_agg(a.attname::text ORDER BY k.n) AS columns
FROM pg_index AS i
JOIN pg_class AS t ON t.oid = i.indrelid
CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, n)
JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indisunique AND t.relnamespace = 'public'::regnamespace
GROUP BY i.indexrelid, t.relname`,
  )
  const sequences = await query(
    `SELECT t.relname AS table, d.objid::regclass::text AS name
FROM pg_depend AS d
JOIN pg_class AS t ON t.oid = d.refobjid
JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
WHERE d.deptype = 'a'`,
  )
  const statements = Object.entries(columns).flatMap(([table, column]) => {
    const own = <T extends object>(all: readonly T[]) => all.filter((row) => 'table' in row && row.table === table)
    const whole = `"${table} whole"`
    const kept = own(keys).flatMap(({ columns }) =>
      (columns as string[]).includes(column) ? [columns as string[]] : [],
    )
    return [
      `ALTER TABLE "${table}" RENAME TO ${whole}`,
      ...own(sequences).map(({ name }) => `ALTER SEQUENCE ${name} OWNED BY NONE`),
      `CREATE TABLE "${table}" (LIKE ${whole} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY HASH ("${column}")`,
      ...Array.from(
        { length: PARTS },
        (_, i) =>
          `CREATE TABLE "${table} ${i}" PARTITION OF "${table}" FOR VALUES WITH (MODULUS ${PARTS}, REMAINDER ${i})`,
      ),
      ...kept.map((key) => `CREATE UNIQUE INDEX ON "${table}" (${key.map((name) => `"${name}"`).join(', ')})`),
      `DROP TABLE ${whole} CASCADE`,
    ]
  })
  await query(statements.join(';\n'))
}
