import type { DataModel, Field } from '../engine/data-model.js'
import { areFound, type FieldRule, MappingCheck, MOMENT, PLAIN_TEXT, type TableMap, TEXT } from '../mapping/mapping.js'
import { Catalogue } from '../sql/catalogue.js'
import { RequiredKeys } from '../sql/unique-keys.js'
import type { StepsOptions } from './options.js'
import { DEFAULT_OPERATION_MODEL } from './schema.js'

/** The user's model and its fields, found and checked. */
export interface StepsMap extends TableMap {
  readonly scope: Field
  readonly key: Field
  readonly request: Field
  readonly state: Field
  readonly answer: Field
  readonly steps: Field
  readonly changedAt: Field
  /** The key without which an operation would have two rows. */
  readonly keys: RequiredKeys
}

const JSONB: FieldRule = { types: ['Json'] }

/** @throws ConfigurationError with every mistake */
export function mapSteps(dataModel: DataModel, { answerLimit: _, ...options }: StepsOptions): StepsMap {
  const check = new MappingCheck(dataModel)
  // The path of a mistake is that of the option, which is not in a mapping of its own here.
  const found = check.table('', options, DEFAULT_OPERATION_MODEL)
  const fields = {
    scope: found.field('scope', PLAIN_TEXT),
    key: found.field('key', PLAIN_TEXT),
    request: found.field('request', TEXT),
    state: found.field('state', PLAIN_TEXT),
    answer: found.field('answer', { ...TEXT, isOptional: true }),
    steps: found.field('steps', JSONB),
    changedAt: found.field('changedAt', MOMENT),
  }
  const { answer, steps, changedAt } = fields
  const of = (field: Field) => `${found.model.name}.${field.name}`
  if (areFound(answer) && !answer.isOptional) {
    found.report('answer', `${of(answer)} must be optional: it is NULL while the operation runs`)
  }
  if (areFound(steps) && steps.nativeType === 'Json') {
    found.report('steps', `${of(steps)} must not be @db.Json, but the usual jsonb`)
  }
  found.uniqueKey('key', [fields.scope, fields.key])
  if (areFound(...Object.values(fields))) found.insertable(Object.values(fields))
  const table = found.table()
  check.finish()
  const keys = new RequiredKeys(new Catalogue(), [{ model: found.model, fields: [fields.scope, fields.key] }])
  // An UPDATE may set a column once.
  const updatedAt = table.updatedAt.filter((field) => field !== changedAt)
  return { ...table, ...fields, updatedAt, keys }
}
