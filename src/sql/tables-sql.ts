/*
 * The statement of the catalogue: a file of its own, loaded by the first call that asks, for it is a tenth of all that a
 * program would load at its start.
 */

/**
 * A domain leads to its base type, and an array to the type of its elements, until neither is left.
 * The columns of an index are those of its key: columns of INCLUDE do not count. A view of one
 * table has the keys of that table.
 *
 * PostgreSQL records what depends on a column: keys, checks, indexes, policies, views, generated columns
 * (manual, "5.15. Dependency Tracking"). An index that only orders values constrains nothing, except on
 * texts, of which it refuses the long ones. The trigger of `versionTriggerSql` is known to change the version only.
 */
export const TABLES_SQL = `WITH RECURSIVE relation AS (
  SELECT given.position, c.oid, c.relkind,
    c.relkind IN ('r', 'p') AND NOT c.relhasrules AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_trigger AS g
      WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgname NOT LIKE 'concurrency\\_bump\\_%'
    ) AS is_quiet,
    c.relrowsecurity OR EXISTS (
      SELECT FROM pg_catalog.pg_constraint AS k
      WHERE k.conrelid = c.oid AND k.contype = 'c' AND (k.conkey IS NULL OR 0 = ANY (k.conkey))
    ) AS is_checked
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS given(schema, name, position)
  JOIN pg_catalog.pg_namespace AS n ON n.nspname = given.schema
  JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = given.name
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
), source AS (
  SELECT oid AS root, oid, relkind FROM relation
  UNION
  SELECT source.root, c.oid, c.relkind
  FROM source
  JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = source.oid
  JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid
    AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> source.oid
  JOIN pg_catalog.pg_class AS c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p', 'v')
  WHERE source.relkind = 'v'
), step AS (
  SELECT a.attrelid, a.attnum, a.atttypid AS type, a.atttypmod AS modifier, '' AS brackets, a.attnotnull AS is_required
  FROM relation
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = relation.oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT step.attrelid, step.attnum,
    CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END,
    CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE step.modifier END,
    CASE WHEN t.typtype = 'd' THEN step.brackets ELSE '[]' END,
    step.is_required OR (t.typtype = 'd' AND t.typnotnull AND step.brackets = '')
  FROM step
  JOIN pg_catalog.pg_type AS t ON t.oid = step.type
  WHERE t.typtype = 'd' OR (t.typcategory = 'A' AND t.typelem <> 0)
)
SELECT relation.position::int, to_regclass('pg_dist_partition') IS NOT NULL AS "isCitus", (
  SELECT jsonb_agg(jsonb_build_object(
    'name', a.attname,
    'type', CASE WHEN n.nspname = 'pg_catalog' THEN format_type(t.oid, -1) ELSE concat(quote_ident(n.nspname), '.', quote_ident(t.typname)) END || step.brackets,
    'exactType', CASE WHEN n.nspname = 'pg_catalog' THEN format_type(t.oid, step.modifier) ELSE concat(quote_ident(n.nspname), '.', quote_ident(t.typname)) END || step.brackets,
    'isRequired', step.is_required,
    'isGenerated', a.attgenerated <> '',
    'staysNull', relation.is_quiet AND NOT a.atthasdef AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_type AS d WHERE d.oid = a.atttypid AND d.typdefault IS NOT NULL
    ),
    'isUnkeyed', relation.relkind = 'r' AND relation.is_quiet AND NOT dependents.are_keys,
    'isUnconstrained', relation.relkind = 'r' AND relation.is_quiet AND NOT relation.is_checked AND NOT dependents.are_keys AND NOT dependents.are_constraints
      AND a.attgenerated = '' AND a.atttypid IN ('int4'::regtype, 'int8'::regtype, 'bool'::regtype, 'text'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
  ))
  FROM step
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = step.attrelid AND a.attnum = step.attnum
  JOIN pg_catalog.pg_type AS t ON t.oid = step.type AND t.typtype <> 'd' AND NOT (t.typcategory = 'A' AND t.typelem <> 0)
  JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
  CROSS JOIN LATERAL (
    SELECT coalesce(bool_or(i.indisunique OR k.contype IN ('f', 'u', 'p', 'x')), false) AS are_keys,
      coalesce(bool_or(NOT (
        coalesce(f.adnum = a.attnum, false)
        OR coalesce(k.contype = 'n', false)
        OR coalesce(r.ev_class <> relation.oid, false)
        OR coalesce(NOT i.indisunique AND i.indexprs IS NULL AND i.indpred IS NULL AND a.atttypid <> 'text'::regtype, false)
      )), false) AS are_constraints
    FROM pg_catalog.pg_depend AS d
    LEFT JOIN pg_catalog.pg_index AS i ON d.classid = 'pg_catalog.pg_class'::regclass AND i.indexrelid = d.objid
    LEFT JOIN pg_catalog.pg_constraint AS k ON d.classid = 'pg_catalog.pg_constraint'::regclass AND k.oid = d.objid
    LEFT JOIN pg_catalog.pg_rewrite AS r ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid
    LEFT JOIN pg_catalog.pg_attrdef AS f ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND f.oid = d.objid
    WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
  ) AS dependents
  WHERE step.attrelid = relation.oid
) AS columns, (
  SELECT coalesce(jsonb_agg(jsonb_build_object(
    'name', c.relname,
    'columns', (
      SELECT jsonb_agg(a.attname ORDER BY k.position)
      FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)
      LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
      WHERE k.position <= i.indnkeyatts
    ),
    'isPrimary', i.indisprimary,
    'reason', CASE
      WHEN i.indpred IS NOT NULL THEN 'partial'
      WHEN i.indexprs IS NOT NULL THEN 'expression'
      WHEN NOT i.indimmediate THEN 'deferrable'
      WHEN NOT (i.indisvalid AND i.indisready AND i.indislive) THEN 'invalid'
    END
  ) ORDER BY c.relname), '[]'::jsonb)
  FROM pg_catalog.pg_index AS i
  JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
  WHERE i.indisunique
    AND i.indrelid = (SELECT min(oid::int8)::oid FROM source WHERE root = relation.oid AND relkind <> 'v' HAVING count(*) = 1)
) AS indexes, (
  SELECT count(*) = 1 AND bool_and(relkind IN ('r', 'p')) FROM source WHERE root = relation.oid AND relkind <> 'v'
) AS "hasIndexes"
FROM relation`
