import type { Field } from '../engine/data-model.js'

/** The type of a field's column, by the name that the catalogue has for it, and as a migration writes it. */
export interface ColumnType {
  readonly name: string
  readonly sql: string
}

/** The types of Prisma's that have no `@db.`, with the length that Prisma gives them. */
const USUAL: Readonly<Record<string, readonly [name: string, size?: string]>> = {
  Int: ['integer'],
  BigInt: ['bigint'],
  String: ['text'],
  Boolean: ['boolean'],
  Float: ['double precision'],
  Decimal: ['numeric', '(65,30)'],
  DateTime: ['timestamp without time zone', '(3)'],
  Json: ['jsonb'],
  Bytes: ['bytea'],
}

/** Those behind `@db.` whose name is another one in the catalogue. */
const NATIVE: Readonly<Record<string, string>> = {
  SmallInt: 'smallint',
  Integer: 'integer',
  BigInt: 'bigint',
  Real: 'real',
  DoublePrecision: 'double precision',
  Decimal: 'numeric',
  VarChar: 'character varying',
  Char: 'character',
  VarBit: 'bit varying',
  ByteA: 'bytea',
  JsonB: 'jsonb',
  Timestamp: 'timestamp without time zone',
  Timestamptz: 'timestamp with time zone',
  Time: 'time without time zone',
  Timetz: 'time with time zone',
}

/** `undefined` where nothing is known: of an enum, and of a type that Prisma does not support. */
export function columnTypeOf({ kind, type, isList, nativeType }: Field): ColumnType | undefined {
  if (kind !== 'scalar') return undefined
  const [, native, given = ''] = /^(\w+)(\(.*\))?$/.exec(nativeType ?? '') ?? []
  const [usual, usualSize = ''] = USUAL[type] ?? []
  const base = native === undefined ? usual : (NATIVE[native] ?? native.toLowerCase())
  if (base === undefined) return undefined
  const brackets = isList ? '[]' : ''
  const size = native === undefined ? usualSize : given
  // `timestamp(3) without time zone`
  const sized = base.includes(' time zone') ? base.replace(' ', `${size} `) : `${base}${size}`
  return { name: `${base}${brackets}`, sql: `${sized}${brackets}` }
}

/** Types whose values are compared and cast alike. */
const ALIKE: Readonly<Record<string, string>> = {
  'character varying': 'text',
  bpchar: 'character',
  '"bit"': 'bit',
}

/** Whether two types are the same but for their lengths. A type of an extension has its schema before its name. */
export function isSameType(wanted: string, found: string): boolean {
  const kind = (type: string) => {
    const [, name = type, brackets = ''] = /^(?:.*\.)?"?(.*?)"?((?:\[\])?)$/.exec(type) ?? []
    return `${ALIKE[name] ?? name}${brackets}`
  }
  return kind(wanted) === kind(found)
}
