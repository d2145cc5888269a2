import type { Argument, Expression, FieldDefault, ForeignKey, RelationMode } from '../engine/data-model.js'
import { type Attribute, type FieldDeclaration, parseSchema } from './schema-syntax.js'

/**
 * Facts that only the schema's text has: Prisma's runtime data model leaves out nullability,
 * lists, defaults, `@updatedAt`, native types, unique keys and the database names of enum values.
 */
export interface SchemaText {
  readonly models: ReadonlyMap<string, ReadonlyMap<string, FieldText>>
  /** Per model, its unique keys, the primary key among them. */
  readonly keys: ReadonlyMap<string, readonly UniqueKey[]>
  /** Per enum, each value's name in the database. */
  readonly enums: ReadonlyMap<string, ReadonlyMap<string, string>>
  readonly relationMode: RelationMode
}

export interface UniqueKey {
  /** By which `where` calls it: the field, or the name of several, such as `orderId_productId`. */
  readonly name: string
  readonly fields: readonly string[]
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
  const models = new Map<string, ReadonlyMap<string, FieldText>>()
  const keys = new Map<string, readonly UniqueKey[]>()
  const enums = new Map<string, ReadonlyMap<string, string>>()
  let relationMode: RelationMode = 'foreignKeys'
  for (const block of parseSchema(text)) {
    switch (block.keyword) {
      case 'model':
      case 'view':
        models.set(block.name, new Map(block.fields.map((field) => [field.name, fieldText(field)])))
        keys.set(block.name, [
          ...block.fields.flatMap((field) => fieldKey(field)),
          ...block.attributes.flatMap((attribute) => blockKey(attribute)),
        ])
        break
      case 'enum':
        enums.set(block.name, new Map(block.values.map((value) => [value.name, mappedName(value)])))
        break
      case 'datasource':
        if (textOf(block.settings.get('relationMode')) === 'prisma') relationMode = 'prisma'
        break
    }
  }
  return { models, keys, enums, relationMode }
}

function fieldText({ isList, isOptional, attributes }: FieldDeclaration): FieldText {
  const native = attributes.find(({ name }) => name.includes('.'))
  return {
    isList,
    isOptional,
    isUpdatedAt: has(attributes, 'updatedAt'),
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
  const attribute = attributes.find(({ name }) => name === 'default')
  if (attribute === undefined) return { kind: 'none' }
  const value = argumentOf(attribute, 'value')
  if (value === undefined) return { kind: 'unknown' }
  if (value.kind !== 'call') return { kind: 'value', value }
  if (value.name === 'now' || value.name === 'autoincrement') return { kind: value.name }
  if (value.name === 'dbgenerated') return { kind: 'database' }
  return { kind: BY_CLIENT.has(value.name) ? 'client' : 'unknown' }
}

function fieldKey({ name, attributes }: FieldDeclaration): UniqueKey[] {
  return attributes.filter(isKey).map((attribute) => ({ name, fields: [name], isPartial: isPartial(attribute) }))
}

/** `where` calls a key of one field by the field, whatever the name of the key. */
function blockKey(attribute: Attribute): UniqueKey[] {
  const fields = isKey(attribute) ? namesOf(argumentOf(attribute, 'fields')) : undefined
  if (fields === undefined || fields.length === 0) return []
  const named = textOf(attribute.args.find(({ name }) => name === 'name')?.value)
  const name = fields.length === 1 ? (fields[0] as string) : (named ?? fields.join('_'))
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
  const args = attributes.find(({ name }) => name === 'relation')?.args ?? []
  const names = (wanted: string) => namesOf(args.find(({ name }) => name === wanted)?.value)
  const fields = names('fields')
  const references = names('references')
  return fields && references && { fields, references }
}

/** The name of a model, a field, an enum or one of its values in the database. */
export function mappedName({ name, attributes }: Named): string {
  return textOf(attributeValue(attributes, 'map', 'name')) ?? name
}

interface Named {
  readonly name: string
  readonly attributes: readonly Attribute[]
}

/** An argument of the attribute of this name, where there is one. */
export function attributeValue(attributes: readonly Attribute[], name: string, wanted: string): Expression | undefined {
  const attribute = attributes.find((candidate) => candidate.name === name)
  return attribute && argumentOf(attribute, wanted)
}

const has = (attributes: readonly Attribute[], wanted: string) => attributes.some(({ name }) => name === wanted)

/** The argument of this name, which may also stand without it, before or behind others. */
export function argumentOf({ args }: Attribute, wanted: string): Expression | undefined {
  const isWanted = ({ name }: Argument) => name === undefined || name === wanted
  return args.find(isWanted)?.value
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
