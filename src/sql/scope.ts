import type { Field } from '../engine/data-model.js'
import { InvalidArgumentError } from '../errors/index.js'
import * as s from '../values/schema.js'
import { isRecord, nameSchema } from '../values/validation.js'
import { keyValue } from './key-value.js'

/** The option `scope`: the fields, in all models of a feature, that keep companies or tenants apart. */
export const scopeSchema = s.optional(
  s
    .array(nameSchema('a field'))
    .check(s.minLength(1, 'must not be empty'), (names) =>
      new Set(names).size < names.length ? 'must name each field once' : undefined,
    ),
)

/** The values of the scope's fields, such as the id of a company, as the texts that the database has for them. */
export type Scope = readonly string[]

/** Of a feature without a scope. */
const NO_SCOPE: Scope = []

/**
 * The scope of a call: the one that `in` has bound, or the argument `scope`.
 *
 * @throws InvalidArgumentError that names the field without a value
 */
export function scopeOfCall(fields: readonly Field[], given: unknown, bound: Scope | undefined): Scope {
  return bound ?? (fields.length === 0 ? NO_SCOPE : readScope(fields, given))
}

/** @throws InvalidArgumentError that names the field without a value */
export function readScope(fields: readonly Field[], given: unknown): Scope {
  const values = isRecord(given) ? given : {}
  const stranger = Object.keys(values).find((name) => !fields.some((field) => field.name === name))
  if (stranger !== undefined) throw new InvalidArgumentError(`scope.${stranger}`, 'is not a field of the scope.')
  return fields.map((field) => keyValue(values[field.name], field, `scope.${field.name}`))
}
