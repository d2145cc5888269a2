import type { DataModel, Field, Model } from '../engine/data-model.js'
import { ConfigurationError, type ConfigurationIssue } from '../errors/index.js'

/** What a mapped field must be like. */
export interface FieldRule {
  /** Prisma's types that it may have. */
  readonly types: readonly string[]
  /** Whether it may hold NULL. Default false. */
  readonly isOptional?: boolean
}

export const TEXT: FieldRule = { types: ['String'] }
export const WHOLE_NUMBER: FieldRule = { types: ['Int', 'BigInt'] }
export const NUMBER: FieldRule = { types: ['Int', 'BigInt', 'Decimal'] }
export const FLAG: FieldRule = { types: ['Boolean'] }
export const MOMENT: FieldRule = { types: ['DateTime'] }

/** Finds the models and fields that options name, and collects every mistake before it complains. */
export class MappingCheck {
  readonly #dataModel: DataModel
  readonly #issues: ConfigurationIssue[] = []

  constructor(dataModel: DataModel) {
    this.#dataModel = dataModel
  }

  report(path: string, message: string): void {
    this.#issues.push({ path, message })
  }

  model(path: string, name: string): Model {
    const model = this.#dataModel.get(name)
    if (model) return model
    this.report(path, `there is no model ${name} in the schema; there are ${[...this.#dataModel.keys()].join(', ')}`)
    return MISSING_MODEL
  }

  field(path: string, model: Model, name: string, rule: FieldRule): Field {
    if (model === MISSING_MODEL) return MISSING_FIELD // has been reported
    const field = model.fields.get(name)
    if (field === undefined) this.report(path, `${model.name} has no field ${name}`)
    else if (field.isList || !rule.types.includes(field.type)) {
      this.report(path, `${model.name}.${name} must be ${rule.types.join(' or ')}, and is ${field.type}`)
    } else if (field.isOptional && !rule.isOptional) {
      this.report(path, `${model.name}.${name} must not be optional`)
    } else return field
    return MISSING_FIELD
  }

  /** A field that there need not be: `undefined` where it was not named and the model has none of the default name. */
  optionalField(
    path: string,
    model: Model,
    name: string | undefined,
    rule: FieldRule,
    usual: string,
  ): Field | undefined {
    const found = name ?? (model.fields.has(usual) ? usual : undefined)
    return found === undefined ? undefined : this.field(path, model, found, rule)
  }

  /**
   * The version column, if the model has one: `concurrency()` below knows it. The mapping may name it
   * again, or name one of a model that `concurrency()` does not version.
   */
  version(path: string, model: Model, name: string | undefined): Field | undefined {
    const known = model.version
    if (name === undefined) return known ? model.fields.get(known) : undefined
    if (known === undefined || known === name) return this.field(path, model, name, WHOLE_NUMBER)
    if (known === false) {
      this.report(path, `names ${name}, but concurrency({ version }) says that ${model.name} has no version column`)
    } else {
      this.report(path, `must be ${known}, the version column that concurrency() has for ${model.name}; leave it out`)
    }
    return undefined
  }

  /** The fields must be a unique key, in any order: the database is to keep two of them apart. */
  uniqueKey(path: string, model: Model, fields: readonly Field[]): void {
    if (model === MISSING_MODEL || fields.includes(MISSING_FIELD)) return
    const names = fields.map(({ name }) => name)
    const isKey = model.keys.some((key) => key.length === names.length && key.every((name) => names.includes(name)))
    if (!isKey) this.report(path, `${model.name} needs @@unique([${names.join(', ')}]), or an @@id of them`)
  }

  /** A row made of these fields alone must be complete: the others are optional, or filled in by the database. */
  insertable(path: string, model: Model, written: readonly Field[]): void {
    for (const field of model.fields.values()) {
      const isColumn = field.kind !== 'relation'
      if (!isColumn || field.isOptional || field.isList || field.hasDefault || field.isUpdatedAt) continue
      if (written.includes(field)) continue
      this.report(path, `${model.name}.${field.name} is required, and the database has no default for it`)
    }
  }

  /** @throws ConfigurationError with every mistake that was found */
  finish(): void {
    if (this.#issues.length > 0) throw new ConfigurationError(this.#issues)
  }
}

/** Stand-ins for what was not found, so that the check can go on to the next mistake. */
const MISSING_MODEL: Model = {
  name: '',
  table: '',
  schema: '',
  fields: new Map(),
  uniques: new Set(),
  keys: [],
  compoundKeys: new Map(),
  relationMode: 'foreignKeys',
  emulatedKeys: new Set(),
  inKeys: new Set(),
  version: undefined,
  omitted: new Set(),
}
const MISSING_FIELD: Field = {
  name: '',
  column: '',
  kind: 'scalar',
  type: '',
  isList: false,
  isOptional: false,
  isUpdatedAt: false,
  fallback: { kind: 'none' },
  hasDefault: false,
  nativeType: undefined,
  foreignKey: undefined,
  relationName: undefined,
  enumValues: undefined,
}
