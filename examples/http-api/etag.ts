import { Problem } from './problem.js'

/** The versions that an `If-Match` header allows: any, or one of these. */
export type Precondition = 'any' | { readonly versions: readonly number[] }

/** A strong entity tag: the version changes with every write, and so with every change of what is shown. */
export const etag = (version: number) => `"${version}"`

// RFC 9110, section 8.8.3: entity-tag = [ %s"W/" ] DQUOTE *etagc DQUOTE. Several are a list with
// commas, in which elements may be empty (section 5.6.1), and a comma may be part of a tag.
const TAG = /(W\/)?"([\x21\x23-\x7E\x80-\xFF]*)"/
const LIST = new RegExp(`^[\\s,]*${TAG.source}(?:\\s*,[\\s,]*${TAG.source})*[\\s,]*$`)

/** @throws Problem 428 without the header (RFC 6585, section 3), 400 if it is malformed */
export function ifMatch(header: string | undefined): Precondition {
  if (header === undefined) {
    throw new Problem(428, 'If-Match is required', 'Send the ETag of the state that you have seen as If-Match.')
  }
  if (header.trim() === '*') return 'any'
  if (!LIST.test(header)) throw new Problem(400, 'If-Match is malformed', 'It must be * or a list of quoted tags.')
  const tags = [...header.matchAll(new RegExp(TAG, 'g'))]
  return {
    versions: tags
      // Section 13.1.1 wants the strong comparison: a weak tag matches nothing, not even itself.
      .filter(([, weak]) => weak === undefined)
      // A tag that is not one of ours is no error, it only matches nothing.
      .filter(([, , opaque]) => etag(Number(opaque)) === `"${opaque}"` && isVersion(Number(opaque)))
      .map(([, , opaque]) => Number(opaque)),
  }
}

export function matches(precondition: Precondition, version: number): boolean {
  return precondition === 'any' || precondition.versions.includes(version)
}

/** A value that the column, an `Int`, can hold. */
const isVersion = (value: number) => Number.isInteger(value) && value >= 0 && value < 2 ** 31
