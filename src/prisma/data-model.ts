import type { DataModel, Field, FieldKind, Model } from '../engine/data-model.js'
import { omittedFields, type PrismaClientLike } from './client.js'
import { type LazyMap, lazyMap } from './lazy-map.js'
import { isNullObject } from './null-object.js'
import { type FieldText, type ModelText, readSchemaText, type SchemaText } from './schema-text.js'
import { versionColumnsOf } from './version-columns.js'

/** As much of a model as all clients of a generated package have in common. */
type SharedModel = Omit<Model, 'schema' | 'version' | 'omitted'> & { readonly schema: string | undefined }

/** The data model of a client: its models, with the names that they have in the database. */
export function readDataModel(client: PrismaClientLike): DataModel {
  const versions = versionColumnsOf(client)
  const shared = sharedModels(client._runtimeDataModel, client._engineConfig.inlineSchema)
  // Prisma itself puts it before a table's name where the model has no `@@schema`.
  const defaultSchema = client._engineConfig.adapter?.options?.schema ?? 'public'
  return lazyMap(shared.keys(), (name): Model | undefined => {
    const model = shared.get(name)
    const omitted = omittedFields(client, name)
    return model && { ...model, schema: model.schema ?? defaultSchema, version: versions?.fieldOf(name), omitted }
  })
}

/** The data model of a schema without a client. Nothing is known of version columns. */
export function readDataModelOf(runtime: RuntimeDataModel, schemaText: string, defaultSchema: string): DataModel {
  const shared = sharedModels(runtime, schemaText)
  return lazyMap(shared.keys(), (name): Model | undefined => {
    const model = shared.get(name)
    return model && { ...model, schema: model.schema ?? defaultSchema, version: undefined, omitted: NO_FIELDS }
  })
}

type RuntimeDataModel = PrismaClientLike['_runtimeDataModel']

/** A model as a client has it at run time, and Prisma's parser. */
export type RuntimeModel = RuntimeDataModel['models'][string]

const SHARED = new WeakMap<object, LazyMap<SharedModel>>()

/** Read once for all clients of a generated package, and all layers on them: they share their runtime data model. */
function sharedModels(runtime: RuntimeDataModel, schemaText: string): LazyMap<SharedModel> {
  const known = SHARED.get(runtime)
  if (known) return known
  const text = readSchemaText(schemaText)
  const referred = text.emulatesForeignKeys ? referredFields(runtime, text) : undefined
  const models = lazyMap(Object.keys(runtime.models), (name): SharedModel | undefined => {
    const model = runtime.models[name]
    if (model === undefined) return undefined
    const own = text.models.get(name)
    const fields = new Map(model.fields.map((field) => [field.name, readField(field, own, text)]))
    const all = own?.keys ?? []
    // A key that has a field which the client does not know, by `@ignore`, cannot be used there either.
    const keys = all.filter((key) => !key.isPartial && key.fields.every((field) => fields.has(field)))
    return {
      name,
      table: model.dbName ?? name,
      schema: model.schema ?? undefined,
      fields,
      keys: keys.sort((a, b) => a.fields.length - b.fields.length),
      inKeys: new Set(all.flatMap((key) => key.fields)),
      emulatedKeys: referred?.get(name) ?? NO_FIELDS,
      standsForNull: isNullObject,
    }
  })
  SHARED.set(runtime, models)
  return models
}

const NO_FIELDS: ReadonlySet<string> = new Set()

/** Of each model, the fields that relations refer to. */
function referredFields({ models }: RuntimeDataModel, text: SchemaText) {
  const referred = new Map<string, Set<string>>()
  for (const [name, { fields }] of Object.entries(models)) {
    for (const { name: field, type } of fields) {
      const references = text.models.get(name)?.fields.get(field)?.foreignKey?.references ?? []
      referred.set(type, new Set([...(referred.get(type) ?? []), ...references]))
    }
  }
  return referred
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

function readField(field: RuntimeModel['fields'][number], model: ModelText | undefined, text: SchemaText): Field {
  return {
    ...(model?.fields.get(field.name) ?? NOT_UNDERSTOOD),
    name: field.name,
    column: field.dbName ?? field.name,
    kind: fieldKind(field.kind),
    type: field.type,
    relationName: field.relationName ?? undefined,
    enumValues: field.kind === 'enum' ? text.enums.get(field.type) : undefined,
  }
}

function fieldKind(kind: string): FieldKind {
  if (kind === 'object') return 'relation'
  return kind === 'enum' || kind === 'unsupported' ? kind : 'scalar'
}
