import type { DataModel, Field, Model, VersionColumns } from '../engine/data-model.js'
import { ConfigurationError, type ConfigurationIssue } from '../errors/index.js'
import type { VersionSettings } from './options.js'

/** A model that has a version column. */
export interface VersionedModel {
  readonly model: Model
  readonly version: Field
  readonly bumpsPlainWrites: boolean
  /** The highest version that the column can hold. */
  readonly highest: bigint
  /** The fields that have the time of the last write (`@updatedAt`). */
  readonly stamps: readonly Field[]
}

/** Which models are versioned, and why the others are not. */
export class VersionedModels implements VersionColumns {
  /**
   * Given as the version in the data of a plain write, it keeps the version as it is: for nested writes
   * of our own, which create what belongs to a row that was itself just created. Another `concurrency()`
   * below has another mark, so it passes this one on.
   */
  readonly keepMark = `prisma-extension-concurrency: keep ${crypto.randomUUID()}`
  readonly #versioned = new Map<string, VersionedModel | undefined>()
  readonly #reasons = new Map<string, string>()
  readonly #dataModel: DataModel
  readonly #settings: VersionSettings

  /** Throws a ConfigurationError that names every setting that does not fit the data model. */
  constructor(dataModel: DataModel, settings: VersionSettings = {}) {
    this.#dataModel = dataModel
    this.#settings = settings
    const issues: ConfigurationIssue[] = []
    const named = Object.keys(settings.models ?? {})
    for (const name of named) {
      if (dataModel.has(name)) continue
      issues.push({
        path: `version.models.${name}`,
        message: `is not a model. ${suggest(name, [...dataModel.keys()])}`,
      })
    }
    // Of the others a field of the usual name is looked at when they are first written.
    for (const name of settings.field === undefined ? named : dataModel.keys()) this.#read(name, issues)
    if (settings.field !== undefined && ![...this.#versioned.values()].some(Boolean) && issues.length === 0) {
      issues.push({ path: 'version.field', message: `no model has a required Int or BigInt field '${settings.field}'` })
    }
    if (issues.length > 0) throw new ConfigurationError(issues)
  }

  get(model: string): VersionedModel | undefined {
    return this.#versioned.has(model) ? this.#versioned.get(model) : this.#read(model, [])
  }

  fieldOf(model: string): string | false | undefined {
    if (this.#settings.models?.[model] === false) return false
    return this.get(model)?.version.name
  }

  bumpedBy(model: string): string | undefined {
    const versioned = this.get(model)
    return versioned?.bumpsPlainWrites ? versioned.version.name : undefined
  }

  /** Data to add to that of a nested write, so that it does not bump the model's version. */
  keepVersion(model: string): Readonly<Record<string, unknown>> {
    const bumped = this.bumpedBy(model)
    return bumped === undefined ? {} : { [bumped]: this.keepMark }
  }

  /** The fields of any model, versioned or not. */
  fieldsOf(model: string): ReadonlyMap<string, Field> {
    return this.#dataModel.get(model)?.fields ?? new Map()
  }

  /** The versioned model, or a ConfigurationError that says what it lacks. */
  require(model: string): VersionedModel {
    const versioned = this.get(model)
    if (versioned) return versioned
    const message = `${this.#reasons.get(model) ?? `${model} is not a model`}, so it cannot be written by version`
    throw new ConfigurationError([{ path: '', message }])
  }

  #read(name: string, issues: ConfigurationIssue[]): VersionedModel | undefined {
    const model = this.#dataModel.get(name)
    const versioned = model && this.#versionedOf(model, issues)
    this.#versioned.set(name, versioned)
    return versioned
  }

  #versionedOf(model: Model, issues: ConfigurationIssue[]): VersionedModel | undefined {
    const settings = this.#settings
    const own = settings.models?.[model.name]
    if (own === false) {
      this.#reasons.set(model.name, `${model.name} is set to \`false\` in \`version.models\``)
      return undefined
    }
    const named = own?.field ?? settings.field
    const name = named ?? 'version'
    const version = model.fields.get(name)
    const flaw =
      version === undefined
        ? `has no field '${name}'`
        : (versionFlaw(version) ?? (named === undefined ? doubt(version, model) : undefined))
    if (version === undefined || flaw !== undefined) {
      this.#reasons.set(model.name, `${model.name} ${flaw}`)
      // A field that was named must fit; one that is only called `version` may be something else.
      const path = pathOfFlaw(own, settings, model, version)
      if (path !== undefined) issues.push({ path, message: `${model.name} ${flaw}` })
      return undefined
    }
    return {
      model,
      version,
      bumpsPlainWrites: own?.bumpPlainWrites ?? settings.bumpPlainWrites ?? true,
      highest: version.type === 'BigInt' ? 9_223_372_036_854_775_807n : 2_147_483_647n,
      stamps: [...model.fields.values()].filter(({ isUpdatedAt }) => isUpdatedAt),
    }
  }
}

/** The option that asks for a version column where there is none to be had, if one does. */
function pathOfFlaw(
  own: { readonly field?: string } | undefined,
  settings: VersionSettings,
  model: Model,
  version: Field | undefined,
): string | undefined {
  if (own?.field !== undefined) return `version.models.${model.name}.field`
  if (own !== undefined) return `version.models.${model.name}`
  return settings.field !== undefined && version !== undefined ? 'version.field' : undefined
}

/** Why a field cannot be a version column, if it cannot. */
function versionFlaw(field: Field): string | undefined {
  const flaw = (what: string) =>
    `has a field '${field.name}' that is ${what}; a version column is a required Int or BigInt`
  if (field.isList) return flaw('a list')
  if (field.kind !== 'scalar' || (field.type !== 'Int' && field.type !== 'BigInt')) return flaw(`of type ${field.type}`)
  if (field.isOptional) return flaw('nullable')
  return undefined
}

/**
 * Why a field that nobody has named may well be something else, such as the number of a prompt's
 * versions: it names rows, or whoever makes a row has to give it.
 */
function doubt(field: Field, model: Model): string | undefined {
  const flaw = (what: string) =>
    `has a field '${field.name}' that ${what}; if it is the version column all the same, say so: version: { models: { ${model.name}: { field: '${field.name}' } } }`
  if (model.inKeys.has(field.name)) return flaw('is part of a unique key')
  if ([...model.fields.values()].some(({ foreignKey }) => foreignKey?.fields.includes(field.name))) {
    return flaw('is part of a foreign key')
  }
  const { fallback } = field
  const isZero = fallback.kind === 'value' && fallback.value.kind === 'number' && Number(fallback.value.text) === 0
  return isZero ? undefined : flaw('has no @default(0)')
}

function suggest(name: string, models: readonly string[]): string {
  const same = models.find((model) => model.toLowerCase() === name.toLowerCase())
  return same === undefined ? `The models are ${models.join(', ')}.` : `Do you mean ${same}?`
}
