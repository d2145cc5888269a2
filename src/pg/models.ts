import type { DataModel, Expression, Field, FieldDefault, Model } from '../engine/data-model.js'
import type { RootSession } from '../engine/session.js'
import { ConfigurationError, type ConfigurationIssue } from '../errors/index.js'
import { VersionedModels } from '../versioning/versioned-models.js'
import type { PgOptions } from './options.js'

/** How a model is stored, as Prisma's schema says it by `@@map`, `@@schema`, `@map` and `@updatedAt`. */
export interface ModelMapping {
  /** The table's name. Default: the model's. */
  readonly table?: string | undefined
  /** The schema that the table is in. Default: the first one in the search path that has such a table. */
  readonly schema?: string | undefined
  /** The columns of fields that are called otherwise, such as `{ productId: 'product_id' }`. */
  readonly fields?: Readonly<Record<string, string>> | undefined
  /** The fields that every write sets to the time. Default: a moment called `updatedAt`, if there is one. */
  readonly updatedAt?: readonly string[] | undefined
}

interface ColumnRow {
  readonly name: string
  /** The name of the type, or of the base type of a domain, or of the elements of an array. */
  readonly type: string
  /** Its type as SQL writes it, such as `numeric(12,2)`. */
  readonly sql: string
  readonly isList: boolean
  readonly isRequired: boolean
  /** The default, as SQL writes it; `generated` where the database makes the value. */
  readonly fallback: string | null
  /** The values of an enum. */
  readonly values: readonly string[] | null
}

interface TableRow {
  readonly schema: string
  readonly table: string
  readonly columns: readonly ColumnRow[]
  /** Each unique key of columns that holds for all rows at every moment. */
  readonly keys: readonly (readonly string[])[]
  /** The columns of all unique indexes, also of those that hold for some rows only. */
  readonly inKeys: readonly string[]
}

/** The tables of the search path, in its order, and those of the schemas that the models name. */
const TABLES = `SELECT n.nspname AS schema, c.relname AS table, (
  SELECT coalesce(jsonb_agg(jsonb_build_object(
    'name', a.attname,
    'type', b.typname,
    'sql', format_type(CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END, CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END),
    'isList', e.oid IS NOT NULL,
    'isRequired', a.attnotnull OR t.typnotnull,
    'fallback', CASE WHEN a.attidentity <> '' OR a.attgenerated <> '' THEN 'generated' ELSE pg_get_expr(d.adbin, d.adrelid) END,
    'values', (SELECT jsonb_agg(v.enumlabel ORDER BY v.enumsortorder) FROM pg_catalog.pg_enum AS v WHERE v.enumtypid = b.oid)
  ) ORDER BY a.attnum), '[]'::jsonb)
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem AND t.typcategory = 'A'
  JOIN pg_catalog.pg_type AS b ON b.oid = coalesce(e.oid, nullif(t.typbasetype, 0), t.oid)
  LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
) AS columns, (
  SELECT coalesce(jsonb_agg(k.columns ORDER BY k.is_primary DESC, k.name), '[]'::jsonb) FROM keys AS k WHERE k.oid = c.oid AND k.is_full
) AS keys, (
  SELECT coalesce(jsonb_agg(DISTINCT name), '[]'::jsonb) FROM keys AS k, jsonb_array_elements_text(k.columns) AS name WHERE k.oid = c.oid
) AS "inKeys"
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'f') AND (n.nspname = ANY (current_schemas(false)) OR n.nspname = ANY ($1::text[]))
ORDER BY array_position(current_schemas(false), n.nspname), n.nspname, c.relname`

const KEYS = `WITH keys AS (
  SELECT i.indrelid AS oid, i.indisprimary AS is_primary, x.relname AS name, (
    SELECT jsonb_agg(a.attname ORDER BY k.position)
    FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE k.position <= i.indnkeyatts
  ) AS columns,
  i.indpred IS NULL AND i.indexprs IS NULL AND i.indimmediate AND i.indisvalid AND i.indisready AS is_full
  FROM pg_catalog.pg_index AS i
  JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
  WHERE i.indisunique
)
`

/**
 * The models of a database: each table of the search path is a model of its name, and each column a field,
 * unless the options say otherwise.
 *
 * @throws ConfigurationError for a table or column that the options name and that is not there
 */
export async function readModels(session: RootSession, { models = {}, version }: PgOptions): Promise<DataModel> {
  const schemas = Object.values(models).flatMap(({ schema }) => schema ?? [])
  const tables = await session.rows<TableRow>({ text: KEYS + TABLES, values: [schemas] })
  const issues: ConfigurationIssue[] = []
  const found = new Map<string, Model>()
  for (const [name, mapping] of Object.entries(models)) {
    const { schema, table = name } = mapping
    const row = tables.find((each) => each.table === table && (schema === undefined || each.schema === schema))
    if (row) found.set(name, modelOf(name, row, mapping, issues))
    else issues.push({ path: `models.${name}`, message: `the database has no table ${table}` })
  }
  const isMapped = ({ schema, table }: TableRow) =>
    [...found.values()].some((model) => model.schema === schema && model.table === table)
  for (const row of tables) {
    if (!found.has(row.table) && !isMapped(row)) found.set(row.table, modelOf(row.table, row, {}, issues))
  }
  if (issues.length > 0) throw new ConfigurationError(issues)
  return withVersions(found, version)
}

/** The models, each with its version column. */
export function withVersions(models: DataModel, settings: PgOptions['version']): DataModel {
  const versions = new VersionedModels(models, settings)
  return new Map(
    Array.from(models.values(), (model) => [model.name, { ...model, version: versions.fieldOf(model.name) }]),
  )
}

function modelOf(name: string, row: TableRow, mapping: ModelMapping, issues: ConfigurationIssue[]): Model {
  const names = new Map(Object.entries(mapping.fields ?? {}).map(([field, column]) => [column, field]))
  for (const [column, field] of names) {
    if (row.columns.some((each) => each.name === column)) continue
    issues.push({ path: `models.${name}.fields.${field}`, message: `the table ${row.table} has no column ${column}` })
  }
  const nameOf = (column: string) => names.get(column) ?? column
  const fields = row.columns.map((column) => fieldOf(nameOf(column.name), column, mapping.updatedAt))
  const keys = row.keys.map((columns) => columns.map(nameOf)).sort((a, b) => a.length - b.length)
  return {
    name,
    table: row.table,
    schema: row.schema,
    fields: new Map(fields.map((field) => [field.name, field])),
    keys: keys.map((key) => ({ name: key.join('_'), fields: key })),
    emulatedKeys: new Set(),
    inKeys: new Set(row.inKeys.map(nameOf)),
    version: undefined,
    omitted: new Set(),
  }
}

function fieldOf(name: string, column: ColumnRow, updatedAt: readonly string[] | undefined): Field {
  const [type, nativeType] = typeOf(column)
  const isMoment = type === 'DateTime' && !column.isList
  return {
    name,
    column: column.name,
    kind: column.values ? 'enum' : type === undefined ? 'unsupported' : 'scalar',
    type: type ?? column.type,
    isList: column.isList,
    isOptional: !column.isRequired,
    isUpdatedAt: isMoment && (updatedAt?.includes(name) ?? /^updated_?at$/i.test(name)),
    fallback: fallbackOf(column),
    nativeType,
    foreignKey: undefined,
    relationName: undefined,
    enumValues: column.values ? new Map(column.values.map((value) => [value, value])) : undefined,
  }
}

/** A version column is told by its default of 0. */
function fallbackOf({ fallback }: ColumnRow): FieldDefault {
  if (fallback === null) return { kind: 'none' }
  const [, number] = /^\(?'?(-?\d+)'?\)?(?:::\w+)?$/.exec(fallback) ?? []
  const value: Expression | undefined = number === undefined ? undefined : { kind: 'number', text: number }
  return value ? { kind: 'value', value } : { kind: 'database' }
}

/** By the database's name of a type: Prisma's, and what it writes behind `@db.` where that tells something. */
const TYPES: Readonly<Record<string, readonly [type: string, nativeType?: string]>> = {
  bool: ['Boolean'],
  int2: ['Int', 'SmallInt'],
  int4: ['Int'],
  oid: ['Int', 'Oid'],
  int8: ['BigInt'],
  float4: ['Float', 'Real'],
  float8: ['Float'],
  numeric: ['Decimal', 'Decimal'],
  money: ['Decimal', 'Money'],
  text: ['String'],
  varchar: ['String', 'VarChar'],
  bpchar: ['String', 'Char'],
  citext: ['String', 'Citext'],
  uuid: ['String', 'Uuid'],
  xml: ['String', 'Xml'],
  inet: ['String', 'Inet'],
  bit: ['String', 'Bit'],
  varbit: ['String', 'VarBit'],
  bytea: ['Bytes'],
  json: ['Json', 'Json'],
  jsonb: ['Json'],
  date: ['DateTime', 'Date'],
  time: ['DateTime', 'Time'],
  timetz: ['DateTime', 'Timetz'],
  timestamp: ['DateTime', 'Timestamp'],
  timestamptz: ['DateTime', 'Timestamptz'],
}

function typeOf({
  type,
  sql,
  values,
}: ColumnRow): readonly [type: string | undefined, nativeType?: string | undefined] {
  if (values) return [type]
  const [own, native] = TYPES[type] ?? [undefined]
  const [, size] = /\((\d+(?:,\s*\d+)?)\)/.exec(sql) ?? []
  if (native === 'Decimal') return size === undefined ? [own] : [own, `Decimal(${size.replace(/,\s*/, ', ')})`]
  return [own, native === undefined || size === undefined ? native : `${native}(${size})`]
}
