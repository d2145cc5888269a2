import type { DataModel, Model } from '../engine/data-model.js'
import { ConfigurationError, type ConfigurationIssue } from '../errors/index.js'
import { canonical } from '../values/canonical.js'
import { sha256 } from '../values/sha256.js'
import { normalForm } from './normal-form.js'
import type { IdempotencyOptions } from './options.js'

/** The SHA-256 of a value's canonical text, as hexadecimal text. The order of an object's keys plays no part. */
export function fingerprint(value: unknown): string {
  return sha256(canonical(value))
}

/** Per field, so that a mismatch can name the fields: 64 bits of each field's own fingerprint. */
export function fieldFingerprints(model: Model, data: Readonly<Record<string, unknown>>): string {
  const names = Object.keys(data)
    .filter((name) => data[name] !== undefined)
    .sort()
  const parts = names.map((name) => {
    const field = model.fields.get(name)
    const value = field === undefined || field.kind === 'relation' ? data[name] : normalForm(data[name], field, model)
    return [name, fingerprint(value).slice(0, 16)]
  })
  return JSON.stringify(Object.fromEntries(parts))
}

/** The fields in which two fingerprints differ; `undefined` if the stored one is not of `fieldFingerprints`. */
export function differingFields(stored: string, given: string): string[] | undefined {
  if (!stored.startsWith('{')) return undefined
  const before: Readonly<Record<string, string>> = JSON.parse(stored)
  const now: Readonly<Record<string, string>> = JSON.parse(given)
  const names = new Set([...Object.keys(before), ...Object.keys(now)])
  return [...names].filter((name) => before[name] !== now[name])
}

/**
 * The field of each model in which the fingerprint of a payload is kept, by the model's name.
 *
 * @throws ConfigurationError that names every setting that does not fit the data model
 */
export function fingerprintFields(dataModel: DataModel, settings: IdempotencyOptions): ReadonlyMap<string, string> {
  const issues: ConfigurationIssue[] = []
  const fields = new Map<string, string>()
  for (const name of Object.keys(settings.models ?? {})) {
    if (!dataModel.has(name)) issues.push({ path: `idempotency.models.${name}`, message: 'is not a model' })
  }
  // A model is read when it is asked for: only those that a setting is about are.
  const named = settings.fingerprint === undefined ? Object.keys(settings.models ?? {}) : dataModel.keys()
  for (const each of named) {
    const model = dataModel.get(each)
    const own = settings.models?.[each]?.fingerprint
    if (model === undefined || own === false) continue
    const name = own ?? settings.fingerprint
    if (name === undefined) continue
    if (isText(model, name)) fields.set(model.name, name)
    else if (own !== undefined) {
      const path = `idempotency.models.${model.name}.fingerprint`
      issues.push({ path, message: `${model.name} has no String field '${name}'` })
    }
  }
  if (settings.fingerprint !== undefined && fields.size === 0 && issues.length === 0) {
    issues.push({ path: 'idempotency.fingerprint', message: `no model has a String field '${settings.fingerprint}'` })
  }
  if (issues.length > 0) throw new ConfigurationError(issues)
  return fields
}

function isText(model: Model, name: string): boolean {
  const field = model.fields.get(name)
  return field?.kind === 'scalar' && field.type === 'String' && !field.isList
}
