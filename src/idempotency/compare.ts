import type { Field, Model } from '../engine/data-model.js'
import type { RecordSession } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import { IdempotencyMismatchError, InvalidArgumentError } from '../errors/index.js'
import type { Catalogue } from '../sql/catalogue.js'
import { canonical } from '../values/canonical.js'
import { differingFields } from './fingerprint.js'
import { storedForm } from './normal-form.js'
import type { Payload } from './payload.js'
import { differingInDatabase } from './stored-values.js'

/** How to tell whether a duplicate brings the same payload. */
export interface Comparison {
  /** Fields whose values must be the same as in the record now. */
  readonly match: readonly Field[]
  /** The field in which the first payload's fingerprint is kept, and the way to this one's. */
  readonly fingerprint: { readonly field: string; readonly compute: () => string } | undefined
}

/** A payload that is compared with a record of its model. */
export interface Compared {
  readonly catalogue: Catalogue
  readonly model: Model
  readonly payload: Pick<Payload, 'key' | 'keyFields' | 'scalars'>
  readonly comparison: Comparison
}

/** The fields of the record that the comparison needs. */
export function comparedFields({ match, fingerprint }: Comparison): string[] {
  return [...match.map(({ name }) => name), ...(fingerprint ? [fingerprint.field] : [])]
}

/** @throws InvalidArgumentError if `match` names what is no scalar, or what `data` does not give */
export function readMatch(match: unknown, model: Model, { scalars, key }: Payload): Field[] {
  if (match === undefined) return []
  if (!Array.isArray(match)) throw new InvalidArgumentError('match', 'must be an array of field names.')
  return match.map((name, index) => {
    const field = typeof name === 'string' ? model.fields.get(name) : undefined
    if (field === undefined || field.kind === 'relation') {
      throw new InvalidArgumentError(`match[${index}]`, `is not a scalar field of ${model.name}.`)
    }
    if (Object.hasOwn(scalars, field.name) || Object.hasOwn(key, field.name)) return field
    throw new InvalidArgumentError(
      `match[${index}]`,
      `names ${field.name}, which \`data\` does not give, so there is nothing to compare.`,
    )
  })
}

/**
 * The values of `match` are compared here first, and in the database only where they seem to differ:
 * a column may keep a value in another spelling, or less of it, than it was given.
 *
 * @throws IdempotencyMismatchError that names the fields in which the record and the payload differ
 */
export async function compare(record: Row, compared: Compared, session: Pick<RecordSession, 'rows'>): Promise<void> {
  if (isSame(record, compared)) return
  const { model, payload, comparison } = compared
  const byFingerprint = differingByFingerprint(record, comparison)
  const seeming = seeminglyDiffering(record, compared)
  const byValue = seeming.length === 0 ? [] : await differingInDatabase(session, compared, seeming)
  const fields = [...new Set([...byFingerprint, ...byValue])]
  if (fields.length > 0) throw new IdempotencyMismatchError(model.name, payload.key, fields)
}

/** Whether it can be told here and now that the payload is the same. */
export function isSame(record: Row, compared: Compared): boolean {
  return compared.comparison.fingerprint === undefined && seeminglyDiffering(record, compared).length === 0
}

/** The fields of `match` that differ, whichever of its type's forms a value was given in. */
function seeminglyDiffering(record: Row, { model, payload, comparison }: Compared): Field[] {
  const form = (value: unknown, field: Field) => canonical(storedForm(value, field, model))
  return comparison.match.filter((field) => {
    const { name } = field
    const given = Object.hasOwn(payload.scalars, name) ? payload.scalars[name] : payload.key[name]
    return form(record[name], field) !== form(given, field)
  })
}

function differingByFingerprint(record: Row, { fingerprint }: Comparison): readonly string[] {
  if (fingerprint === undefined) return []
  const stored = record[fingerprint.field]
  // A row that was not inserted by way of this package has none.
  if (typeof stored !== 'string' || stored === '') return []
  return differingFields(stored, fingerprint.compute()) ?? [fingerprint.field]
}
