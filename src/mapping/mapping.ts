import type { DataModel, Field, Model } from '../engine/data-model.js'
import { ConfigurationError, type ConfigurationIssue } from '../errors/index.js'
import { tableOf } from '../sql/sql.js'
import type { SqlText } from '../sql/statement.js'
import { type Marks, sqlTypeOf } from './columns.js'

/** The form that a mapped field must have. */
export interface FieldRule {
  /** Prisma's types that it may have. */
  readonly types: readonly string[]
  /** Whether it may hold NULL. Default false. */
  readonly isOptional?: boolean
  /** The values of an enum that may be in the place of these types: it has at least these. */
  readonly values?: readonly string[]
  /** The types under which its values may be sent. Default: any. */
  readonly sentAs?: readonly string[]
  /** Why no others may be, where the message is to say it. */
  readonly because?: string
}

/** A field of a key, whose values are sent in lists and compared with texts of ours. */
export const KEY: FieldRule = {
  types: ['Int', 'BigInt', 'String'],
  sentAs: ['int4', 'int8', 'text', 'uuid'],
  because: ': its values are compared in a way of their own',
}
export const TEXT: FieldRule = { types: ['String'] }
export const PLAIN_TEXT: FieldRule = { types: ['String'], sentAs: ['text'] }
export const TEXT_OR_UUID: FieldRule = { types: ['String'], sentAs: ['text', 'uuid'] }
export const WHOLE_NUMBER: FieldRule = { types: ['Int', 'BigInt'] }
export const INT: FieldRule = { types: ['Int'] }
export const NUMBER: FieldRule = { types: ['Int', 'BigInt', 'Decimal'] }
export const FLAG: FieldRule = { types: ['Boolean'] }
export const MOMENT: FieldRule = { types: ['DateTime'] }

/** A model of the user's in which a feature keeps its rows. */
export interface TableMap extends Marks {
  readonly model: Model
  readonly table: SqlText
}

/** Finds the models and fields that options name, and collects every mistake before it complains. */
export class MappingCheck {
  readonly #dataModel: DataModel
  readonly #issues: ConfigurationIssue[] = []

  constructor(dataModel: DataModel) {
    this.#dataModel = dataModel
  }

  report(path: string, message: string): void {
    this.#issues.push({ path: path.replace(/^\./, ''), message })
  }

  /** The table of a mapping in the options, such as `item`; of the options themselves where the path is empty. */
  table(path: string, names: object, usual?: string): TableCheck {
    const given = new Map<string, unknown>(Object.entries(names))
    const name = String(given.get('model') ?? usual)
    const model = this.#dataModel.get(name)
    if (!model) {
      const known = [...this.#dataModel.keys()].join(', ')
      this.report(`${path}.model`, `there is no model ${name} in the schema; there are ${known}`)
    }
    return new TableCheck(this, path, model ?? MISSING_MODEL, given)
  }

  /** @throws ConfigurationError with every mistake that was found */
  finish(): void {
    if (this.#issues.length > 0) throw new ConfigurationError(this.#issues)
  }
}

/** The model of one mapping, and its fields. A field is called as its option is, unless that names another. */
export class TableCheck {
  readonly model: Model
  readonly #check: MappingCheck
  readonly #path: string
  readonly #names: ReadonlyMap<string, unknown>

  constructor(check: MappingCheck, path: string, model: Model, names: ReadonlyMap<string, unknown>) {
    this.#check = check
    this.#path = path
    this.model = model
    this.#names = names
  }

  report(option: string, message: string): void {
    this.#check.report(`${this.#path}.${option}`, message)
  }

  /** Whether there is a field for the option: one that is named, or, unless it has to be, one of the usual name. */
  has(option: string, isNamed = false): boolean {
    return this.#named(option) !== undefined || (!isNamed && this.model.fields.has(option))
  }

  field(option: string, rule: FieldRule): Field {
    return this.#find(option, this.#named(option) ?? option, rule)
  }

  /** A field that there need not be: `undefined` where none is named, and the model has none of the usual name. */
  optional(option: string, rule: FieldRule): Field | undefined {
    return this.model.fields.has(option) ? this.field(option, rule) : this.named(option, rule)
  }

  /** A field that there is only where the options name it. */
  named(option: string, rule: FieldRule): Field | undefined {
    const name = this.#named(option)
    return name === undefined ? undefined : this.#find(option, name, rule)
  }

  /** One field, or a list of them. */
  fields(option: string, usual: string | readonly string[], rule: FieldRule): readonly Field[] {
    const given = this.#names.get(option) ?? usual
    const names: readonly unknown[] = Array.isArray(given) ? given : [given]
    return names.map((name, i) => this.#find(i > 0 ? `${option}[${i}]` : option, String(name), rule))
  }

  /** The fields of the scope: they have the same names in all models of a feature. */
  scope(names: readonly string[] = []): readonly Field[] {
    return names.map((name, i) => this.#findAt(`scope[${i}]`, name, KEY))
  }

  /**
   * The model's table. Its version column is the one that `concurrency()` below knows. The mapping may name it
   * again, or name one of a model that `concurrency()` does not version.
   */
  table(): TableMap {
    const updatedAt = [...this.model.fields.values()].filter((field) => field.isUpdatedAt)
    return { model: this.model, table: tableOf(this.model), version: this.#version(), updatedAt }
  }

  #version(): Field | undefined {
    const { name: model, version: known, fields } = this.model
    const name = this.#named('version')
    if (name === undefined) return known ? fields.get(known) : undefined
    if (known === undefined || known === name) return this.#find('version', name, WHOLE_NUMBER)
    this.report(
      'version',
      known === false
        ? `names ${name}, but concurrency({ version }) says that ${model} has no version column`
        : `must be ${known}, the version column that concurrency() has for ${model}; leave it out`,
    )
    return undefined
  }

  /** The fields must be a unique key, in any order: the database is to keep two of them apart. */
  uniqueKey(option: string, fields: readonly Field[]): void {
    const { model } = this
    if (model === MISSING_MODEL || fields.includes(MISSING_FIELD)) return
    const names = fields.map(({ name }) => name)
    const isKey = model.keys.some(
      (key) => key.fields.length === names.length && key.fields.every((name) => names.includes(name)),
    )
    if (!isKey) this.report(option, `${model.name} needs @@unique([${names.join(', ')}]), or an @@id of them`)
  }

  /** A row made of these fields alone must be complete: the others are optional, or filled in by the database. */
  insertable(written: readonly Field[]): void {
    for (const field of this.model.fields.values()) {
      if (isFilledIn(field) || written.includes(field)) continue
      this.report('model', `${this.model.name}.${field.name} is required, and the database has no default for it`)
    }
  }

  #named(option: string): string | undefined {
    const name = this.#names.get(option)
    return name === undefined ? undefined : String(name)
  }

  #find(option: string, name: string, rule: FieldRule): Field {
    return this.#findAt(`${this.#path}.${option}`, name, rule)
  }

  #findAt(path: string, name: string, rule: FieldRule): Field {
    const { types, isOptional, sentAs, because = '' } = rule
    const { model } = this
    const report = (message: string) => this.#check.report(path, message)
    if (model === MISSING_MODEL) return MISSING_FIELD // has been reported
    const field = model.fields.get(name)
    if (field === undefined) report(`${model.name} has no field ${name}`)
    else if (field.isList || !(types.includes(field.type) || isEnumOf(field, rule))) {
      report(`${model.name}.${name} must be ${types.join(' or ')}, and is ${field.type}`)
    } else if (field.isOptional && !isOptional) {
      report(`${model.name}.${name} must not be optional`)
    } else {
      if (sentAs && !sentAs.includes(sqlTypeOf(field) ?? '')) {
        report(`${model.name}.${name} must not be @db.${field.nativeType}${because}`)
      }
      return field
    }
    return MISSING_FIELD
  }
}

function isEnumOf({ enumValues }: Field, { values }: FieldRule): boolean {
  return values?.every((value) => enumValues?.has(value)) ?? false
}

/** Whether a new row is complete without the field. */
export function isFilledIn({ kind, isOptional, isList, fallback, isUpdatedAt }: Field): boolean {
  // A `uuid()` or `cuid()` is made by Prisma's client, and not by the database.
  const hasDefault = !['none', 'client', 'unknown'].includes(fallback.kind)
  return kind === 'relation' || isOptional || isList || hasDefault || isUpdatedAt
}

/** Whether these fields were all found. */
export function areFound(...fields: readonly Field[]): boolean {
  return !fields.includes(MISSING_FIELD)
}

/** Stand-ins for what was not found, so that the check can go on to the next mistake. */
const MISSING_MODEL: Model = {
  name: '',
  table: '',
  schema: '',
  fields: new Map(),
  keys: [],
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
  nativeType: undefined,
  foreignKey: undefined,
  relationName: undefined,
  enumValues: undefined,
}
