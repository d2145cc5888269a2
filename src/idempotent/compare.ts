import { canonical } from '../canonical.js'
import { IdempotencyMismatchError, InvalidArgumentError } from '../errors.js'
import type { Row } from '../prisma/client.js'
import type { Field, Model } from '../prisma/data-model.js'
import { differingFields } from './fingerprint.js'
import type { Payload } from './payload.js'

/** How to tell whether a duplicate brings the same payload. */
export interface Comparison {
  /** Fields whose values must be the same as in the record now. */
  readonly match: readonly string[]
  /** The fingerprint of the payload, and the field in which the first one's is kept. */
  readonly fingerprint: { readonly field: string; readonly value: string } | undefined
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
    if (!(name in payload.scalars) && !(name in payload.key)) {
      throw new InvalidArgumentError(
        `match[${index}]`,
        `names ${name}, which \`data\` does not give, so there is nothing to compare.`,
      )
    }
  })
  return match as string[]
}

/** @throws IdempotencyMismatchError that names the fields in which the record and the payload differ */
export function compare(record: Row, payload: Payload, comparison: Comparison, model: Model): void {
  const { match, fingerprint } = comparison
  const stored = fingerprint && record[fingerprint.field]
  const byFingerprint =
    fingerprint && typeof stored === 'string' && stored !== '' ? differingFields(stored, fingerprint.value) : []
  const byValue = match.filter((name) => {
    const given = name in payload.scalars ? payload.scalars[name] : payload.key[name]
    return !isSame(record[name], given, model.fields.get(name) as Field)
  })
  const fields = [...new Set([...byFingerprint, ...byValue])]
  if (fields.length > 0) throw new IdempotencyMismatchError(model.name, payload.key, fields)
}

/** Whether a stored value is the one given, in whichever of the type's forms it was given. */
function isSame(stored: unknown, given: unknown, field: Field): boolean {
  if (stored === null || given === null) return stored === given
  switch (field.type) {
    case 'Decimal':
      return (stored as { equals(other: unknown): boolean }).equals(given)
    case 'DateTime':
      return (stored as Date).getTime() === new Date(given as string | Date).getTime()
    case 'BigInt':
      return stored === BigInt(given as bigint | number)
    default:
      return canonical(stored) === canonical(given)
  }
}
