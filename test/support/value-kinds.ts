/** A scalar type of Prisma's on a type of PostgreSQL's. */
export interface ValueKind {
  readonly name: string
  /** Prisma's scalar type, or the name of an enum. */
  readonly type: string
  /** The rest of the line in the Prisma schema. */
  readonly native: string
  readonly sql: string
}

const kind = (name: string, type: string, sql: string, native = ''): ValueKind => ({ name, type, native, sql })

/** Every native type of PostgreSQL that Prisma knows, and enums. */
export const VALUE_KINDS: readonly ValueKind[] = [
  kind('Text', 'String', 'text'),
  kind('VarChar', 'String', 'varchar(5)', '@db.VarChar(5)'),
  kind('AnyVarChar', 'String', 'varchar', '@db.VarChar'),
  kind('Char', 'String', 'char(5)', '@db.Char(5)'),
  kind('Uuid', 'String', 'uuid', '@db.Uuid'),
  kind('Citext', 'String', 'citext', '@db.Citext'),
  kind('Xml', 'String', 'xml', '@db.Xml'),
  kind('Inet', 'String', 'inet', '@db.Inet'),
  kind('Bit', 'String', 'bit(4)', '@db.Bit(4)'),
  kind('VarBit', 'String', 'varbit(4)', '@db.VarBit(4)'),
  kind('Bool', 'Boolean', 'boolean'),
  kind('Integer', 'Int', 'integer'),
  kind('SmallInt', 'Int', 'smallint', '@db.SmallInt'),
  kind('Oid', 'Int', 'oid', '@db.Oid'),
  kind('Int8', 'BigInt', 'bigint'),
  kind('Double', 'Float', 'double precision'),
  kind('Real', 'Float', 'real', '@db.Real'),
  kind('Numeric', 'Decimal', 'numeric(65,30)'),
  kind('Price', 'Decimal', 'numeric(12,2)', '@db.Decimal(12, 2)'),
  kind('Money', 'Decimal', 'money', '@db.Money'),
  kind('Timestamp', 'DateTime', 'timestamp(3)'),
  kind('Second', 'DateTime', 'timestamp(0)', '@db.Timestamp(0)'),
  kind('Timestamptz', 'DateTime', 'timestamptz(6)', '@db.Timestamptz(6)'),
  kind('Day', 'DateTime', 'date', '@db.Date'),
  kind('Time', 'DateTime', 'time(6)', '@db.Time(6)'),
  kind('TimeSecond', 'DateTime', 'time(0)', '@db.Time(0)'),
  kind('Timetz', 'DateTime', 'timetz(6)', '@db.Timetz(6)'),
  kind('JsonText', 'Json', 'json', '@db.Json'),
  kind('JsonB', 'Json', 'jsonb'),
  kind('Bytea', 'Bytes', 'bytea'),
  kind('Mood', 'Mood', '"Mood"'),
]

/** Prisma's adapter writes lists of these, and cannot read them. */
export const UNREADABLE: ReadonlySet<string> = new Set(['ManyCitext', 'ManyTimetz'])

const isReadable = (column: string) => !UNREADABLE.has(/\w+/.exec(column)?.[0] ?? '')

/** The model that notes the serials; the serials themselves have a column of every kind. */
const UNITS = `model UnitAllocation {
  transactionId String @id
  request       String
  count         Int
}
`

/** A model per kind with one value, and one with a list of values. */
export function schemaOfKinds(kinds: readonly ValueKind[] = VALUE_KINDS): string {
  const model = (name: string, value: string) => `model ${name} {
  id      Int    @id @default(autoincrement())
  code    String @unique
  value   ${value}
  version Int    @default(0)
}
`
  return [
    'enum Mood {\n  GOOD\n  BAD @map("very bad")\n}\n',
    UNITS,
    `model Unit {
  number        String  @id
  code          String?
  transactionId String?
${kinds
  .flatMap(({ name, type, native }) => [`One${name} ${type}? ${native}`, `Many${name} ${type}[] ${native}`])
  .filter(isReadable)
  .map((line) => `  ${line}`)
  .join('\n')}
}
`,
    ...kinds.flatMap(({ name, type, native }) => [
      model(`One${name}`, `${type}? ${native}`),
      model(`Many${name}`, `${type}[] ${native}`),
    ]),
  ].join('\n')
}

/** The tables of these models. */
export function tablesOfKinds(kinds: readonly ValueKind[] = VALUE_KINDS): string {
  const table = (name: string, type: string) =>
    `CREATE TABLE "${name}" (id serial PRIMARY KEY, code text NOT NULL UNIQUE, value ${type}, version int4 NOT NULL DEFAULT 0);`
  const units = kinds.flatMap(({ name, sql }) => [`"One${name}" ${sql}`, `"Many${name}" ${sql}[]`]).filter(isReadable)
  return [
    'CREATE EXTENSION IF NOT EXISTS citext;',
    `CREATE TYPE "Mood" AS ENUM ('GOOD', 'very bad');`,
    'CREATE TABLE "UnitAllocation" ("transactionId" text PRIMARY KEY, request text NOT NULL, count int4 NOT NULL);',
    `CREATE TABLE "Unit" (number text PRIMARY KEY, code text, "transactionId" text, ${units.join(', ')});`,
    ...kinds.flatMap(({ name, sql }) => [table(`One${name}`, sql), table(`Many${name}`, `${sql}[]`)]),
  ].join('\n')
}
