import type { DataModel, Model } from '../engine/data-model.js'
import { ConfigurationError, type ConfigurationIssue } from '../errors/index.js'
import type { IdempotencyOptions } from './options.js'

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
  for (const model of dataModel.values()) {
    const own = settings.models?.[model.name]?.fingerprint
    if (own === false) continue
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
