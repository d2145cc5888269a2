import type { DataModel, Field, FieldDefault, FieldKind, Model } from '../engine/data-model.js'
import { omittedFields, type PrismaClientLike } from './client.js'
import { type FieldText, readSchemaText, type SchemaText } from './schema-text.js'
import { versionColumnsOf } from './version-columns.js'

/** The data model of a client: its models, with the names that they have in the database. */
export function readDataModel(client: PrismaClientLike): DataModel {
  const text = schemaTextOf(client)
  const versions = versionColumnsOf(client)
  // Prisma itself puts it before a table's name where the model has no `@@schema`.
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
