import type { Field, Model } from '../engine/data-model.js'
import type { Session } from '../prisma/session.js'
import { tableOf } from '../sql/sql.js'

/** What the catalogue says about the columns of a model that are written together with others. */
export interface ColumnFacts {
  /** No other row, of any table, has a say in what is written here: no foreign key, no unique key. */
  readonly alone: ReadonlySet<Field>
  /** Besides, nothing looks at each single state: no check, trigger, policy or generated column. */
  readonly free: ReadonlySet<Field>
}

const NONE: ColumnFacts = { alone: new Set(), free: new Set() }

/** The facts of the models' tables, asked of the catalogue once for each. */
export class TablesFacts {
  readonly #known = new Map<string, ColumnFacts>()

  known(model: Model): ColumnFacts | undefined {
    return this.#known.get(model.name)
  }

  /** Where the catalogue cannot be read, nothing is said, and it is asked again. */
  async of(model: Model, scope: Session): Promise<ColumnFacts> {
    const known = this.#known.get(model.name)
    if (known) return known
    try {
      const facts = await askCatalogue(model, scope)
      this.#known.set(model.name, facts)
      return facts
    } catch {
      return NONE
    }
  }
}

/**
 * PostgreSQL itself notes what depends on a column (manual, "5.15. Dependency Tracking"): keys,
 * checks, indexes, triggers, policies, generated columns. A column that nothing depends on has no
 * meaning to the database beyond its value. Indexes that only order values don't count; those on
 * texts do, which refuse a value that is too long.
 */
async function askCatalogue(model: Model, scope: Session): Promise<ColumnFacts> {
  const rows = await scope.query(
    `SELECT a.attname::text AS column,
  NOT EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgname NOT LIKE 'concurrency\\_bump\\_%')
    AND NOT c.relhasrules AS is_quiet,
  NOT EXISTS (
    SELECT FROM pg_depend AS d
    LEFT JOIN pg_index AS i ON d.classid = 'pg_class'::regclass AND i.indexrelid = d.objid
    LEFT JOIN pg_constraint AS k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = a.attnum
      AND (i.indisunique OR k.contype IN ('f', 'u', 'p', 'x'))
  ) AS is_alone,
  NOT c.relrowsecurity AND a.attgenerated = ''
    AND a.atttypid IN ('int4'::regtype, 'int8'::regtype, 'bool'::regtype, 'text'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
    AND NOT EXISTS (
      SELECT FROM pg_constraint AS k
      WHERE k.conrelid = c.oid AND k.contype = 'c' AND (k.conkey IS NULL OR 0 = ANY (k.conkey))
    )
    AND NOT EXISTS (
      SELECT FROM pg_depend AS d
      LEFT JOIN pg_index AS i ON d.classid = 'pg_class'::regclass AND i.indexrelid = d.objid
      LEFT JOIN pg_constraint AS k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
      LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
      LEFT JOIN pg_attrdef AS f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
      WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = a.attnum
        AND NOT coalesce(f.adnum = a.attnum, false)
        AND NOT coalesce(k.contype = 'n', false)
        AND NOT coalesce(r.ev_class <> c.oid, false)
        AND NOT coalesce(NOT i.indisunique AND i.indexprs IS NULL AND i.indpred IS NULL AND a.atttypid <> 'text'::regtype, false)
    ) AS is_free,
  a.attnotnull AS is_required
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.oid = $1::regclass AND c.relkind = 'r'`,
    tableOf(model),
  )
  const byColumn = new Map(rows.map((row) => [row.column, row]))
  const alone = new Set<Field>()
  const free = new Set<Field>()
  for (const field of model.fields.values()) {
    const row = byColumn.get(field.column)
    if (!row?.is_quiet || !row.is_alone) continue
    alone.add(field)
    if (row.is_free && !(row.is_required && field.isOptional)) free.add(field)
  }
  return { alone, free }
}
