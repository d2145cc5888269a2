import { omittedFields, type PrismaClientLike } from './client.js'
import {
  type FieldDefault,
  type FieldText,
  type ForeignKey,
  type RelationMode,
  readSchemaText,
  type SchemaText,
} from './schema-text.js'
import { versionColumnsOf } from './version-columns.js'

export type FieldKind = 'scalar' | 'enum' | 'relation' | 'unsupported'

export interface Field {
  readonly name: string
  /** The column's name in the database (`@map`). */
  readonly column: string
  readonly kind: FieldKind
  /** A Prisma scalar such as `Int`, or the name of the enum or of the related model. */
  readonly type: string
  readonly isList: boolean
  readonly isOptional: boolean
  readonly isUpdatedAt: boolean
  /** What it has where an INSERT leaves it out. */
  readonly fallback: FieldDefault
  /** Whether the database itself fills it in then. A `uuid()` or `cuid()` is made by Prisma's client. */
  readonly hasDefault: boolean
  /** The column's type where the schema gives one (`@db.`), such as `Decimal(12, 2)`. */
  readonly nativeType: string | undefined
  /** On the side of a relation that holds the foreign key. */
  readonly foreignKey: ForeignKey | undefined
  /** Of a relation: what both of its sides have in common. */
  readonly relationName: string | undefined
  /** For an enum: each value's name in the database. */
  readonly enumValues: ReadonlyMap<string, string> | undefined
}

export interface Model {
  readonly name: string
  /** The table's name in the database (`@@map`), and the schema it is in. */
  readonly table: string
  readonly schema: string
  readonly fields: ReadonlyMap<string, Field>
  /** The fields that are a unique key by themselves. */
  readonly uniques: ReadonlySet<string>
  /** The fields of each unique key, the primary key among them. */
  readonly keys: readonly (readonly string[])[]
  /** The fields of each unique key that has several, by its name in `where`, such as `orderId_productId`. */
  readonly compoundKeys: ReadonlyMap<string, readonly string[]>
  /** Who keeps foreign keys true. It is the same for all models. */
  readonly relationMode: RelationMode
  /**
   * The fields that relations refer to, where Prisma itself (`relationMode = "prisma"`) changes the rows that
   * refer to them, by statements of its own. Empty where the database does.
   */
  readonly emulatedKeys: ReadonlySet<string>
  /** The fields of any key that keeps rows apart, also of one that is unique only among some of them. */
  readonly inKeys: ReadonlySet<string>
  /** The version column's field, as `concurrency()` below knows it; `false` where its options say that there is none. */
  readonly version: string | false | undefined
  /** The fields that the client leaves out unless they are asked for. */
  readonly omitted: ReadonlySet<string>
}

export type DataModel = ReadonlyMap<string, Model>

/** The data model of a client: its models, with the names that they have in the database. */
export function readDataModel(client: PrismaClientLike): DataModel {
  const text = schemaTextOf(client)
  const versions = versionColumnsOf(client)
  // What Prisma itself puts before a table's name where the model has no `@@schema`.
  const defaultSchema = client._engineConfig.adapter?.options?.schema ?? 'public'
  const models = Object.entries(client._runtimeDataModel.models).map(([name, model]): [string, Model] => {
    // A key that has a field which the client does not know, by `@ignore`, cannot be used there either.
    const known = new Set(model.fields.map((field) => field.name))
    const all = text.keys.get(name) ?? []
    const keys = all.filter(({ fields, isPartial }) => !isPartial && fields.every((field) => known.has(field)))
    return [
      name,
      {
        name,
        table: model.dbName ?? name,
        schema: model.schema ?? defaultSchema,
        fields: new Map(model.fields.map((field) => [field.name, readField(name, field, text)])),
        uniques: new Set(keys.filter(({ fields }) => fields.length === 1).map((key) => key.name)),
        keys: keys.map(({ fields }) => fields),
        compoundKeys: new Map(keys.filter(({ fields }) => fields.length > 1).map((key) => [key.name, key.fields])),
        inKeys: new Set(all.flatMap(({ fields }) => fields)),
        version: versions?.fieldOf(name),
        relationMode: text.relationMode,
        emulatedKeys: text.relationMode === 'prisma' ? referencesTo(name, client, text) : NO_FIELDS,
        omitted: omittedFields(client, name),
      },
    ]
  })
  return new Map(models)
}

const NO_FIELDS: ReadonlySet<string> = new Set()

function referencesTo(name: string, { _runtimeDataModel }: PrismaClientLike, text: SchemaText): ReadonlySet<string> {
  const relations = Object.entries(_runtimeDataModel.models).flatMap(([model, { fields }]) =>
    fields
      .filter(({ type }) => type === name)
      .map((field) => text.models.get(model)?.get(field.name)?.foreignKey?.references ?? []),
  )
  return new Set(relations.flat())
}

const TEXTS = new WeakMap<object, SchemaText>()

/** Read once for all clients of a generated package: they share their runtime data model. */
function schemaTextOf({ _runtimeDataModel, _engineConfig }: PrismaClientLike): SchemaText {
  const known = TEXTS.get(_runtimeDataModel)
  if (known) return known
  const text = readSchemaText(_engineConfig.inlineSchema)
  TEXTS.set(_runtimeDataModel, text)
  return text
}

/** The fields of a unique key, by the name that `where` has for it; `undefined` where it is no key. */
export function uniqueKeyOf({ uniques, compoundKeys }: Model, name: string): readonly string[] | undefined {
  return uniques.has(name) ? [name] : compoundKeys.get(name)
}

interface RuntimeField {
  readonly name: string
  readonly kind: string
  readonly type: string
  readonly dbName?: string | null
  readonly relationName?: string | null
}

/** A field that the text does not have, or not in a way that is understood. */
const NOT_UNDERSTOOD: FieldText = {
  isList: false,
  isOptional: false,
  isUpdatedAt: false,
  fallback: { kind: 'unknown' },
  nativeType: undefined,
  foreignKey: undefined,
}

const BY_DATABASE: readonly FieldDefault['kind'][] = ['value', 'now', 'autoincrement', 'database']

function readField(model: string, field: RuntimeField, text: SchemaText): Field {
  const own = text.models.get(model)?.get(field.name) ?? NOT_UNDERSTOOD
  return {
    ...own,
    name: field.name,
    column: field.dbName ?? field.name,
    kind: fieldKind(field.kind),
    type: field.type,
    hasDefault: BY_DATABASE.includes(own.fallback.kind),
    relationName: field.relationName ?? undefined,
    enumValues: field.kind === 'enum' ? text.enums.get(field.type) : undefined,
  }
}

function fieldKind(kind: string): FieldKind {
  if (kind === 'object') return 'relation'
  return kind === 'enum' || kind === 'unsupported' ? kind : 'scalar'
}
