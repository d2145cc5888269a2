/**
 * Texts that can be stored, and be keys. PostgreSQL refuses NUL; half of a surrogate
 * pair becomes U+FFFD on its way to the database, so that two texts become one.
 */

export function isStorableText(text: string): boolean {
  // The second test takes its time, and hardly any text needs it.
  return !/[\0\ud800-\udfff]/.test(text) || !/[\0\p{Surrogate}]/u.test(text)
}

/**
 * The longest text in a key, in bytes of UTF-8. An entry of a B-tree takes about 2,700 bytes, all its
 * columns together (PostgreSQL manual, "B-Tree Indexes"), so two such texts fit, and more beside them.
 */
export const LONGEST_KEY_TEXT = 1_000

/** The longest key, in bytes, with eight for each column that is no text. */
export const LONGEST_KEY = 2_500

/** The length of a text in UTF-8. */
export function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length
}

/** Why the text cannot be (part of) a key, or `undefined` if it can. */
export function keyTextProblem(text: string): string | undefined {
  if (!isStorableText(text)) return NOT_STORABLE
  // A character takes three bytes at most; those of four are two in a string.
  if (text.length * 3 <= LONGEST_KEY_TEXT || bytesOf(text) <= LONGEST_KEY_TEXT) return undefined
  return 'must not be longer than 1,000 bytes, since it is kept in an index'
}

export const NOT_STORABLE = 'must not contain a NUL character or half a character (of a surrogate pair)'

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** A uuid in the one spelling that the database gives it, or `undefined` if it would not take it for one. */
export function canonicalUuid(text: string): string | undefined {
  if (UUID.test(text)) return text.toLowerCase()
  const digits = text.replace(/^\{(.*)\}$/s, '$1')
  if (!/^(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}$/i.test(digits)) return undefined
  const hex = digits.replaceAll('-', '').toLowerCase()
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
