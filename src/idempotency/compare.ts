import type { Field, Model } from '../engine/data-model.js'
import type { Row } from '../engine/session.js'
import { IdempotencyMismatchError, InvalidArgumentError } from '../errors/index.js'
import { canonical } from '../values/canonical.js'
import { differingFields } from './fingerprint.js'
import { storedForm } from './normal-form.js'
import type { Payload } from './payload.js'
import type { StoredValues } from './stored-values.js'

/** How to tell whether a duplicate brings the same payload. */
export interface Comparison {
  /** Fields whose values must be the same as in the record now. */
  readonly match: readonly string[]
  /** The field in which the first payload's fingerprint is kept, and the way to this one's. */
  readonly fingerprint: { readonly field: string; readonly compute: () => Promise<string> } | undefined
}

/** The fields of the record that the comparison needs. */
export function comparedFields({ match, fingerprint }: Comparison): string[] {
  return fingerprint ? [...match, fingerprint.field] : [...match]
}

/** @throws InvalidArgumentError if `match` names what is no scalar, or what `data` does not give */
export function readMatch(match: unknown, model: Model, payload: Payload): string[] {
  if (match === undefined) return []
  if (!Array.isArray(match)) throw new InvalidArgumentError('match', 'must be an array of field names.')
  match.forEach((name, index) => {
    const field = typeof name === 'string' ? model.fields.get(name) : undefined
    if (field === undefined || field.kind === 'relation') {
      throw new InvalidArgumentError(`match[${index}]`, `is not a scalar field of ${model.name}.`)
    }
    if (!Object.hasOwn(payload.scalars, name) && !Object.hasOwn(payload.key, name)) {
      throw new InvalidArgumentError(
        `match[${index}]`,
        `names ${name}, which \`data\` does not give, so there is nothing to compare.`,
      )
    }
  })
  return match as string[]
}

/**
 * The values of `match` are compared here first, and in the database only where they seem to differ:
 * a column may keep a value in another spelling, or less of it, than it was given.
 *
 * @throws IdempotencyMismatchError that names the fields in which the record and the payload differ
 */
export async function compare(
  record: Row,
  payload: Payload,
  comparison: Comparison,
  model: Model,
  stored: StoredValues,
): Promise<void> {
  const byFingerprint = await differingByFingerprint(record, comparison)
  const given = { ...payload.key, ...payload.scalars }
  const seeming = comparison.match.filter((name) => !isSame(record[name], given[name], model.fields.get(name) as Field))
  const byValue = seeming.length === 0 ? [] : await stored.differing(payload.key, given, seeming)
  const fields = [...new Set([...byFingerprint, ...byValue])]
  if (fields.length > 0) throw new IdempotencyMismatchError(model.name, payload.key, fields)
}

async function differingByFingerprint(record: Row, { fingerprint }: Comparison): Promise<readonly string[]> {
  if (fingerprint === undefined) return []
  const stored = record[fingerprint.field]
  // A row that was not inserted by way of this package has none.
  if (typeof stored !== 'string' || stored === '') return []
  return differingFields(stored, await fingerprint.compute()) ?? [fingerprint.field]
}

/** Whether a stored value is the one given, in whichever of the type's forms it was given. */
function isSame(stored: unknown, given: unknown, field: Field): boolean {
  return canonical(storedForm(stored, field)) === canonical(storedForm(given, field))
}
