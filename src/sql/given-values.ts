import type { Field, Model } from '../engine/data-model.js'
import { InvalidArgumentError } from '../errors/index.js'
import { canonicalUuid } from '../values/text.js'
import { type ColumnValue, columnValue } from './column-value.js'

/** Values of scalar fields, checked, that a call has given. */
export interface Values {
  readonly fields: readonly Field[]
  /** By field, as given. */
  readonly given: Readonly<Record<string, unknown>>
  /** As a statement takes them, in the order of the fields. */
  readonly stored: readonly ColumnValue[]
}

/** Why a field must not be among the values, by its name. */
export type Refusals = ReadonlyMap<string, string>

/** @throws InvalidArgumentError that names the field which is none, or whose value it cannot have */
export function readValues(
  path: string,
  given: Readonly<Record<string, unknown>>,
  model: Model,
  refusals: Refusals,
): Values {
  const stored: ColumnValue[] = []
  // In the order of their names, so that calls which name them in another one have the same statement.
  const names = Object.keys(given).sort()
  const fields = names.map((name) => {
    const value = given[name]
    const field = model.fields.get(name)
    const refused = (why: string) => new InvalidArgumentError(`${path}.${name}`, why)
    if (field === undefined) throw refused(`is not a field of ${model.name}.`)
    if (field.kind !== 'scalar' && field.kind !== 'enum') throw refused(`is not a scalar field of ${model.name}.`)
    const refusal = refusals.get(name)
    if (refusal !== undefined) throw refused(refusal)
    const own = columnValue(value, field)
    if (own === undefined || !fits(own, field)) {
      throw refused(`is not a value that ${model.name}.${name} (${describe(field)}) can have.`)
    }
    stored.push(own)
    return field
  })
  return { fields, given, stored }
}

function describe({ type, isList, isOptional, nativeType }: Field): string {
  return `${type}${isList ? '[]' : isOptional ? '?' : ''}${nativeType ? ` @db.${nativeType}` : ''}`
}

/** A wrong uuid PostgreSQL would refuse, and end the caller's transaction with it. */
function fits(stored: ColumnValue, { nativeType }: Field): boolean {
  if (nativeType !== 'Uuid') return true
  return [stored].flat().every((item) => item === null || canonicalUuid(String(item)) !== undefined)
}
