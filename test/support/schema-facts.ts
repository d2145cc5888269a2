/**
 * The tables that a schema of Prisma asks for, and those in the database: two accounts in the same
 * words. It knows the syntax that the schema of this project uses, and throws at anything else.
 */

export interface TableFacts {
  /** Per column: its type as psql shows it, whether it takes NULL, and its default. */
  readonly columns: Readonly<Record<string, string>>
  readonly primaryKey: readonly string[]
  readonly uniques: readonly string[]
  readonly indexes: readonly string[]
  readonly foreignKeys: readonly string[]
}

export interface SchemaFacts {
  readonly tables: Readonly<Record<string, TableFacts>>
  readonly enums: Readonly<Record<string, readonly string[]>>
}

type Query = (sql: string, values?: unknown[]) => Promise<Record<string, unknown>[]>

interface Block {
  readonly name: string
  readonly dbName: string
  readonly lines: readonly string[]
}

export function factsOfSchema(text: string): SchemaFacts {
  const models = blocksOf('model', text)
  const enums = blocksOf('enum', text)
  return {
    tables: Object.fromEntries(models.map((model) => [model.dbName, factsOfModel(model, models, enums)])),
    enums: Object.fromEntries(
      enums.map(({ dbName, lines }) => [
        dbName,
        lines.filter((line) => !line.startsWith('@@')).map((line) => mapOf(line) ?? line),
      ]),
    ),
  }
}

function blocksOf(keyword: string, text: string): Block[] {
  return [...text.matchAll(new RegExp(`^${keyword} (\\w+) \\{\\n([^}]*(?:\\{\\}[^}]*)*)^\\}`, 'gm'))].map(
    ([, name, body]) => {
      const lines = body
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== '' && !line.startsWith('//'))
      const mapped = lines.map((line) => /^@@map\("(.*)"\)$/.exec(line)?.[1]).find((found) => found !== undefined)
      return { name, dbName: mapped ?? name, lines }
    },
  )
}

const mapOf = (line: string) => /[^@]@map\("(.*?)"\)/.exec(line)?.[1]

interface FieldLine {
  readonly name: string
  readonly column: string
  readonly type: string
  readonly isList: boolean
  readonly isOptional: boolean
  readonly line: string
}

const fieldsOf = ({ lines }: Block): FieldLine[] =>
  lines
    .filter((line) => !line.startsWith('@@'))
    .map((line) => {
      const [, name, type, modifier] = /^(\w+)\s+(\w+)(\[\]|\?)?/.exec(line) ?? []
      return { name, column: mapOf(line) ?? name, type, isList: modifier === '[]', isOptional: modifier === '?', line }
    })

function factsOfModel(model: Block, models: readonly Block[], enums: readonly Block[]): TableFacts {
  const fields = fieldsOf(model)
  const stored = fields.filter(({ type }) => !models.some(({ name }) => name === type))
  const columnsOf = (block: Block, names: string) =>
    names.split(',').map((name) => fieldsOf(block).find((field) => field.name === name.trim())?.column)
  const blockKeys = (attribute: string) =>
    model.lines.flatMap((line) => {
      const found = new RegExp(`^@@${attribute}\\(\\[(.*?)\\]`).exec(line)
      return found ? [columnsOf(model, found[1]).join(', ')] : []
    })
  const fieldKeys = (attribute: string) =>
    stored.filter(({ line }) => new RegExp(`\\s@${attribute}\\b`).test(line)).map(({ column }) => column)

  return {
    columns: Object.fromEntries(stored.map((field) => [field.column, factsOfField(field, enums)])),
    primaryKey: [...fieldKeys('id'), ...blockKeys('id').flatMap((key) => key.split(', '))],
    uniques: [...fieldKeys('unique'), ...blockKeys('unique')].sort(),
    indexes: blockKeys('index').sort(),
    foreignKeys: fields
      .flatMap(({ line, type, isOptional }) => {
        const [, own, foreign] = /@relation\(.*?fields: \[(.*?)\], references: \[(.*?)\]/.exec(line) ?? []
        const target = models.find(({ name }) => name === type)
        if (own === undefined || target === undefined) return []
        const onDelete = /onDelete: (\w+)/.exec(line)?.[1] ?? (isOptional ? 'SetNull' : 'Restrict')
        const onUpdate = /onUpdate: (\w+)/.exec(line)?.[1] ?? 'Cascade'
        return `${columnsOf(model, own).join(', ')} -> ${target.dbName}(${columnsOf(target, foreign).join(', ')}) ${onDelete} ${onUpdate}`
      })
      .sort(),
  }
}

function factsOfField({ type, isList, isOptional, line, name }: FieldLine, enums: readonly Block[]): string {
  const enumeration = enums.find((block) => block.name === type)
  const base = enumeration ? quotedIfNeeded(enumeration.dbName) : columnType(type, line, name)
  // Prisma makes the columns of lists without NOT NULL.
  const nullable = isOptional || isList ? '' : ' NOT NULL'
  const fallback = defaultOf(line, enumeration)
  return `${base}${isList ? '[]' : ''}${nullable}${fallback === undefined ? '' : ` DEFAULT ${fallback}`}`
}

const TYPES: Readonly<Record<string, string>> = {
  Int: 'integer',
  BigInt: 'bigint',
  Float: 'double precision',
  Boolean: 'boolean',
  String: 'text',
  DateTime: 'timestamp(3) without time zone',
  Json: 'jsonb',
  Bytes: 'bytea',
  Decimal: 'numeric(65,30)',
}

function columnType(type: string, line: string, name: string): string {
  const [native, kind, size] = /@db\.(\w+)(?:\((.*?)\))?/.exec(line) ?? []
  if (native === undefined && TYPES[type] !== undefined) return TYPES[type]
  if (kind === 'Decimal') return `numeric(${size.replace(/\s/g, '')})`
  if (kind === 'Timestamptz') return `timestamp(${size}) with time zone`
  if (kind === 'VarChar') return `character varying(${size})`
  if (kind === 'Date' || kind === 'Uuid') return kind.toLowerCase()
  throw new Error(`The test does not know the type of ${name}: ${line}`)
}

function defaultOf(line: string, enumeration: Block | undefined): string | undefined {
  const value = /@default\(("(?:[^"\\]|\\.)*"|[\w.-]+(?:\(\))?)\)/.exec(line)?.[1]
  if (value === undefined || value === 'uuid()' || value === 'cuid()') return undefined // made by Prisma's client
  if (value === 'autoincrement()') return 'autoincrement'
  if (value === 'now()') return 'CURRENT_TIMESTAMP'
  if (enumeration) {
    const member = enumeration.lines.find((item) => item.split(/\s/)[0] === value)
    return member === undefined ? value : (mapOf(member) ?? value)
  }
  if (/^\w+\s+Bytes/.test(line)) return '\\x'
  return value.startsWith('"') ? JSON.parse(value) : value
}

const quotedIfNeeded = (name: string) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name}"`)

/** The same account of what is really in the database. */
export async function factsOfDatabase(query: Query): Promise<SchemaFacts> {
  const columns = await query(`
SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required,
  pg_get_expr(d.adbin, d.adrelid) AS fallback
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
ORDER BY c.relname, a.attnum`)
  const indexes = await query(`
SELECT c.relname AS table, i.indisprimary AS is_primary, i.indisunique AS is_unique,
  i.indpred IS NOT NULL OR i.indexprs IS NOT NULL AS is_special,
  (SELECT array_agg(a.attname::text ORDER BY k.n)
   FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)
   JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum) AS columns
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indrelid
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace`)
  const foreignKeys = await query(`
SELECT c.relname AS table, f.relname AS foreign_table, k.confdeltype AS on_delete, k.confupdtype AS on_update,
  (SELECT array_agg(a.attname::text ORDER BY u.n)
   FROM unnest(k.conkey) WITH ORDINALITY AS u(attnum, n)
   JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = u.attnum) AS columns,
  (SELECT array_agg(a.attname::text ORDER BY u.n)
   FROM unnest(k.confkey) WITH ORDINALITY AS u(attnum, n)
   JOIN pg_attribute AS a ON a.attrelid = f.oid AND a.attnum = u.attnum) AS foreign_columns
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_class AS f ON f.oid = k.confrelid
WHERE k.contype = 'f' AND c.relnamespace = 'public'::regnamespace`)
  const enums = await query(`
SELECT t.typname AS name, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS values
FROM pg_type AS t
JOIN pg_enum AS e ON e.enumtypid = t.oid
GROUP BY t.typname`)

  const tables = new Set(columns.map(({ table }) => table as string))
  const joined = (value: unknown) => (value as string[]).join(', ')
  const factsOf = (table: string): TableFacts => {
    const own = indexes.filter((index) => index.table === table && !index.is_special)
    const primary = own.find(({ is_primary }) => is_primary)
    return {
      columns: Object.fromEntries(
        columns
          .filter((column) => column.table === table)
          .map(({ column, type, required, fallback }) => [
            column,
            `${type}${required ? ' NOT NULL' : ''}${fallback === null ? '' : ` DEFAULT ${plainDefault(fallback as string)}`}`,
          ]),
      ),
      primaryKey: (primary?.columns ?? []) as string[],
      uniques: own
        .filter(({ is_primary, is_unique }) => is_unique && !is_primary)
        .map((index) => joined(index.columns))
        .sort(),
      indexes: own
        .filter(({ is_unique }) => !is_unique)
        .map((index) => joined(index.columns))
        .sort(),
      foreignKeys: foreignKeys
        .filter((key) => key.table === table)
        .map(
          (key) =>
            `${joined(key.columns)} -> ${key.foreign_table}(${joined(key.foreign_columns)}) ${ACTIONS[key.on_delete as string]} ${ACTIONS[key.on_update as string]}`,
        )
        .sort(),
    }
  }
  return {
    tables: Object.fromEntries([...tables].map((table) => [table, factsOf(table)])),
    enums: Object.fromEntries(enums.map(({ name, values }) => [name, values as string[]])),
  }
}

const ACTIONS: Readonly<Record<string, string>> = {
  a: 'NoAction',
  c: 'Cascade',
  d: 'SetDefault',
  n: 'SetNull',
  r: 'Restrict',
}

/** `'EUR'::text` is EUR, and `nextval(…)` is what Prisma calls autoincrement. */
function plainDefault(expression: string): string {
  if (/^nextval\(.*\)$/.test(expression)) return 'autoincrement'
  return /^'(.*)'::[^']*$/.exec(expression)?.[1] ?? expression
}
