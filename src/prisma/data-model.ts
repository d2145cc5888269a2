import { omittedFields, type PrismaClientLike } from './client.js'
import { type ForeignKey, readSchemaText, type SchemaText } from './schema-text.js'

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
  /** Whether the database itself fills it in where an INSERT leaves it out. */
  readonly hasDefault: boolean
  /** The column's type where the schema gives one (`@db.`), such as `Decimal(12, 2)`. */
  readonly nativeType: string | undefined
  /** On the side of a relation that holds the foreign key. */
  readonly foreignKey: ForeignKey | undefined
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
  /** The fields that the client leaves out unless they are asked for. */
  readonly omitted: ReadonlySet<string>
}

export type DataModel = ReadonlyMap<string, Model>

/** The data model of a client: its models, with the names that they have in the database. */
export function readDataModel(client: PrismaClientLike): DataModel {
  const text = readSchemaText(client._engineConfig.inlineSchema)
  // What Prisma itself puts before a table's name where the model has no `@@schema`.
  const defaultSchema = client._engineConfig.adapter?.options?.schema ?? 'public'
  const models = Object.entries(client._runtimeDataModel.models).map(([name, model]): [string, Model] => {
    const keys = text.keys.get(name) ?? []
    return [
      name,
      {
        name,
        table: model.dbName ?? name,
        schema: model.schema ?? defaultSchema,
        fields: new Map(model.fields.map((field) => [field.name, readField(name, field, text)])),
        uniques: new Set(keys.filter((key) => key.length === 1).flat()),
        keys,
        omitted: omittedFields(client, name),
      },
    ]
  })
  return new Map(models)
}

interface RuntimeField {
  readonly name: string
  readonly kind: string
  readonly type: string
  readonly dbName?: string | null
}

function readField(model: string, field: RuntimeField, text: SchemaText): Field {
  const line = text.models.get(model)?.get(field.name)
  return {
    name: field.name,
    column: field.dbName ?? field.name,
    kind: fieldKind(field.kind),
    type: field.type,
    isList: line?.isList ?? false,
    isOptional: line?.isOptional ?? false,
    isUpdatedAt: line?.isUpdatedAt ?? false,
    hasDefault: line?.hasDefault ?? false,
    nativeType: line?.nativeType,
    foreignKey: line?.foreignKey,
    enumValues: field.kind === 'enum' ? text.enums.get(field.type) : undefined,
  }
}

function fieldKind(kind: string): FieldKind {
  if (kind === 'object') return 'relation'
  return kind === 'enum' || kind === 'unsupported' ? kind : 'scalar'
}
