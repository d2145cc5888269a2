import type { Expression, FieldDefault, ForeignKey, UniqueKey } from '../engine/data-model.js'
import { type LazyMap, lazyMap } from './lazy-map.js'
import { type Attribute, type Block, type Entry, parseBlock, splitSchema } from './schema-syntax.js'

/**
 * Facts that only the schema's text has: Prisma's runtime data model leaves out nullability,
 * lists, defaults, `@updatedAt`, native types, unique keys and the database names of enum values.
 */
export interface SchemaText {
  readonly models: LazyMap<ModelText>
  /** Per enum, each value's name in the database. */
  readonly enums: LazyMap<ReadonlyMap<string, string>>
  /** Whether Prisma enforces foreign keys, with statements of its own, and not the database. */
  readonly emulatesForeignKeys: boolean
}

export interface ModelText {
  readonly fields: ReadonlyMap<string, FieldText>
  /** Its unique keys, the primary key among them. */
  readonly keys: readonly KeyText[]
}

export interface KeyText extends UniqueKey {
  /** Whether it keeps only some rows apart, so that it names none, for Prisma neither. */
  readonly isPartial: boolean
}

export interface FieldText {
  readonly isList: boolean
  readonly isOptional: boolean
  readonly isUpdatedAt: boolean
  readonly fallback: FieldDefault
  /** The type behind `@db.`, such as `Decimal(12, 2)`. */
  readonly nativeType: string | undefined
  /** On the side of a relation that holds the foreign key: its fields, and those they refer to. */
  readonly foreignKey: ForeignKey | undefined
}

export function readSchemaText(text: string): SchemaText {
  const blocks = splitSchema(text)
  const read = <T>(keywords: RegExp, readBlock: (block: Block) => T) => {
    const found = new Map(
      blocks.filter(({ keyword }) => keywords.test(keyword)).map((block) => [block.name, block] as const),
    )
    return lazyMap(found.keys(), (name) => {
      const block = found.get(name)
      return block && readBlock(parseBlock(block))
    })
  }
  const source = blocks.find(({ keyword }) => keyword === 'datasource')
  const settings = source && parseBlock(source).entries
  return {
    models: read(/model|view/, ({ entries, attributes }) => ({
      fields: new Map(entries.map((field) => [field.name, fieldText(field)])),
      keys: [...entries.flatMap(fieldKey), ...attributes.flatMap(blockKey)],
    })),
    enums: read(/enum/, ({ entries }) => new Map(entries.map((value) => [value.name, mappedName(value)]))),
    emulatesForeignKeys: textOf(settings?.find(({ name }) => name === 'relationMode')?.value) === 'prisma',
  }
}

function fieldText({ isList, isOptional, attributes }: Entry): FieldText {
  const native = attributes.find(({ name }) => name.includes('.'))
  return {
    isList,
    isOptional,
    isUpdatedAt: attributeOf(attributes, 'updatedAt') !== undefined,
    fallback: defaultOf(attributes),
    nativeType: native && nativeType(native),
    foreignKey: foreignKeyOf(attributes),
  }
}

const KNOWN = new Set(['id', 'unique', 'default', 'updatedAt', 'map', 'relation', 'ignore'])
const BY_CLIENT = new Set(['uuid', 'cuid', 'nanoid', 'ulid'])

function defaultOf(attributes: readonly Attribute[]): FieldDefault {
  // An attribute of a later Prisma may well be one that fills the field in.
  if (!attributes.every(({ name }) => KNOWN.has(name) || name.includes('.'))) return { kind: 'unknown' }
  const attribute = attributeOf(attributes, 'default')
  if (attribute === undefined) return { kind: 'none' }
  const value = argumentOf(attribute, 'value')
  if (value === undefined) return { kind: 'unknown' }
  if (value.kind !== 'call') return { kind: 'value', value }
  if (value.name === 'now' || value.name === 'autoincrement') return { kind: value.name }
  if (value.name === 'dbgenerated') return { kind: 'database' }
  return BY_CLIENT.has(value.name) ? { kind: 'client', value } : { kind: 'unknown' }
}

function fieldKey({ name, attributes }: Entry): KeyText[] {
  return attributes.filter(isKey).map((attribute) => ({ name, fields: [name], isPartial: isPartial(attribute) }))
}

/** `where` calls a key of one field by the field, whatever the name of the key. */
function blockKey(attribute: Attribute): KeyText[] {
  const fields = isKey(attribute) ? namesOf(argumentOf(attribute, 'fields')) : undefined
  if (fields === undefined || fields.length === 0) return []
  const named = textOf(argumentNamed(attribute, 'name'))
  const name = fields.length > 1 && named !== undefined ? named : fields.join('_')
  return [{ name, fields, isPartial: isPartial(attribute) }]
}

const isKey = ({ name }: Attribute) => name === 'id' || name === 'unique'
const isPartial = ({ args }: Attribute) => args.some(({ name }) => name === 'where')

function nativeType({ name, args }: Attribute): string {
  const type = name.slice(name.indexOf('.') + 1)
  const values = args.map(({ value }) => (value.kind === 'number' ? value.text : (textOf(value) ?? '?')))
  return values.length === 0 ? type : `${type}(${values.join(', ')})`
}

function foreignKeyOf(attributes: readonly Attribute[]): ForeignKey | undefined {
  const relation = attributeOf(attributes, 'relation')
  const fields = namesOf(argumentNamed(relation, 'fields'))
  const references = namesOf(argumentNamed(relation, 'references'))
  return fields && references && { fields, references }
}

/** The name of a model, a field, an enum or one of its values in the database. */
export function mappedName({ name, attributes }: Pick<Entry, 'name' | 'attributes'>): string {
  return textOf(argumentOf(attributeOf(attributes, 'map'), 'name')) ?? name
}

export function attributeOf(attributes: readonly Attribute[], wanted: string): Attribute | undefined {
  return attributes.find(({ name }) => name === wanted)
}

export function argumentNamed(attribute: Attribute | undefined, wanted: string): Expression | undefined {
  return attribute?.args.find(({ name }) => name === wanted)?.value
}

/** The argument of this name, which may also stand without it, before or behind others. */
export function argumentOf(attribute: Attribute | undefined, wanted: string): Expression | undefined {
  return attribute?.args.find(({ name }) => name === undefined || name === wanted)?.value
}

/** `[a, b(sort: Desc)]` is `['a', 'b']`, and `a` is `['a']`. */
export function namesOf(value: Expression | undefined): readonly string[] | undefined {
  const items = value?.kind === 'list' ? value.items : value && [value]
  const names = items?.map((item) => (item.kind === 'name' || item.kind === 'call' ? item.name : undefined))
  return names?.every((name) => name !== undefined) ? names : undefined
}

export function textOf(value: Expression | undefined): string | undefined {
  return value?.kind === 'text' ? value.text : undefined
}
