import { ConfigurationError } from '../errors.js'
import type { Model } from './data-model.js'
import { tableOf } from './sql.js'

/** Sends SQL with its values: `$queryRawUnsafe` of a client, or `query` of a scope. */
export type Query = (sql: string, ...values: unknown[]) => PromiseLike<unknown>

/** A column, as the database has it. */
export interface Column {
  /**
   * The type to cast a value to: `integer`, `text[]`, `"sales"."Status"`. A domain is given as its
   * base type, and a type of the user's with its schema. Lengths and scales are left out: a cast to
   * `varchar(5)` would cut a text off, while the assignment to the column refuses it.
   */
  readonly type: string
  /** The same with lengths and scales, such as `timestamp(0) without time zone`: what the column makes of a value. */
  readonly exactType: string
  /** Whether it refuses NULL, by itself or by its domain. */
  readonly isRequired: boolean
  /** Whether the database computes it, so that it cannot be written. */
  readonly isGenerated: boolean
}

/** The columns, in the order of the index, of which no two rows have the same values. */
export interface UniqueKey {
  readonly columns: readonly string[]
  readonly isPrimary: boolean
}

/** A unique index that does not keep every two rows apart at every moment. */
export interface UnfitIndex {
  readonly name: string
  /** Its columns; an expression is `null`. */
  readonly columns: readonly (string | null)[]
  readonly reason: 'partial' | 'deferrable' | 'invalid' | 'expression'
}

/** What the catalogue says about the table of a model. */
export interface Table {
  /** By the columns' names. */
  readonly columns: ReadonlyMap<string, Column>
  /** A view has none. That of a partitioned table holds over all of its partitions. */
  readonly uniqueKeys: readonly UniqueKey[]
  readonly unfitIndexes: readonly UnfitIndex[]
}

/**
 * The tables of the models, asked of the database once for each: migrations are expected to be
 * applied before a program starts. What is not there is asked for again.
 */
export class Catalogue {
  readonly #tables = new Map<string, Table>()

  /** What has been asked for already. */
  known(model: Model): Table | undefined {
    return this.#tables.get(model.name)
  }

  /**
   * One statement, which fails in no state of the database, so that it can be sent in a transaction
   * of the caller's. Two first calls at once may both send it.
   *
   * @throws ConfigurationError if the table is not there
   */
  async of(model: Model, query: Query): Promise<Table> {
    const known = this.#tables.get(model.name)
    if (known) return known
    const [row] = (await query(TABLE_SQL, model.schema, model.table)) as (TableRow | undefined)[]
    if (row === undefined) {
      const message = `the table ${tableOf(model)} of the model ${model.name} is not in the database. Apply your migrations.`
      throw new ConfigurationError([{ path: '', message }])
    }
    const table = readTable(row)
    this.#tables.set(model.name, table)
    return table
  }

  /** Asks again with the next call. */
  forget(model: Model): void {
    this.#tables.delete(model.name)
  }
}

interface TableRow {
  readonly columns: readonly (Column & { readonly name: string })[]
  readonly indexes: readonly (UnfitIndex & {
    readonly isPrimary: boolean
    readonly reason: UnfitIndex['reason'] | null
  })[]
}

function readTable({ columns, indexes }: TableRow): Table {
  return {
    columns: new Map(columns.map(({ name, ...column }) => [name, column])),
    uniqueKeys: indexes
      .filter(({ reason }) => reason === null)
      .map(({ columns, isPrimary }) => ({ columns: columns as string[], isPrimary })),
    unfitIndexes: indexes
      .filter(({ reason }) => reason !== null)
      .map(({ name, columns, reason }) => ({ name, columns, reason })),
  }
}

/**
 * A domain leads to its base type, and an array to the type of its elements, until neither is left.
 * The columns of an index are those of its key: what INCLUDE adds does not count for it.
 */
const TABLE_SQL = `WITH RECURSIVE relation AS (
  SELECT c.oid
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
), step AS (
  SELECT a.attnum, a.atttypid AS type, a.atttypmod AS modifier, '' AS brackets, a.attnotnull AS is_required
  FROM relation
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = relation.oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT step.attnum,
    CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END,
    CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE step.modifier END,
    CASE WHEN t.typtype = 'd' THEN step.brackets ELSE '[]' END,
    step.is_required OR (t.typtype = 'd' AND t.typnotnull AND step.brackets = '')
  FROM step
  JOIN pg_catalog.pg_type AS t ON t.oid = step.type
  WHERE t.typtype = 'd' OR (t.typcategory = 'A' AND t.typelem <> 0)
)
SELECT (
  SELECT jsonb_agg(jsonb_build_object(
    'name', a.attname,
    'type', CASE WHEN n.nspname = 'pg_catalog' THEN format_type(t.oid, -1) ELSE concat(quote_ident(n.nspname), '.', quote_ident(t.typname)) END || step.brackets,
    'exactType', CASE WHEN n.nspname = 'pg_catalog' THEN format_type(t.oid, step.modifier) ELSE concat(quote_ident(n.nspname), '.', quote_ident(t.typname)) END || step.brackets,
    'isRequired', step.is_required,
    'isGenerated', a.attgenerated <> ''
  ))
  FROM step
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = relation.oid AND a.attnum = step.attnum
  JOIN pg_catalog.pg_type AS t ON t.oid = step.type AND t.typtype <> 'd' AND NOT (t.typcategory = 'A' AND t.typelem <> 0)
  JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
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
  WHERE i.indrelid = relation.oid AND i.indisunique
) AS indexes
FROM relation`
