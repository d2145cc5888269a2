import type { Field } from '../engine/data-model.js'
import { InvalidArgumentError } from '../errors/index.js'
import { isDecimal } from '../values/canonical.js'
import { bytesOf, canonicalUuid, isStorableText, keyTextProblem, LONGEST_KEY, NOT_STORABLE } from '../values/text.js'

/**
 * A text that is to be (part of) a key in the field's column, in the one spelling that the database
 * gives it. A text is refused here if the database would refuse it, and end the caller's transaction
 * with it, or would store it as another text.
 *
 * @throws InvalidArgumentError, before any SQL
 */
export function keyText(text: string, { nativeType }: Pick<Field, 'nativeType'>, path: string): string {
  const problem = keyTextProblem(text)
  if (problem !== undefined) throw new InvalidArgumentError(path, `${problem}.`)
  if (nativeType === 'Uuid') {
    const uuid = canonicalUuid(text)
    if (uuid === undefined) throw new InvalidArgumentError(path, 'must be a UUID.')
    return uuid
  }
  const [, longest] = /^(?:VarChar|Char)\((\d+)\)$/.exec(nativeType ?? '') ?? []
  if (longest !== undefined && [...text].length > Number(longest)) {
    throw new InvalidArgumentError(path, `must have at most ${longest} characters, like its column.`)
  }
  return text
}

/** Refuses a key whose parts fit the index one by one, but not together. */
export function checkKeyLength(values: readonly unknown[], path: string): void {
  if (values.length < 3) return // of the longest texts, two fit
  const length = (size: (text: string) => number) =>
    values.reduce<number>((sum, value) => sum + (typeof value === 'string' ? size(value) : 8), 0)
  // A character takes three bytes at most, and to count them takes longer than all else that is done to read an item.
  if (length((text) => text.length * 3) <= LONGEST_KEY || length(bytesOf) <= LONGEST_KEY) return
  throw new InvalidArgumentError(
    path,
    'must not be longer than 2,500 bytes, all parts together, since it is kept in an index.',
  )
}

/**
 * Refuses texts that would name another record than they seem to, or would end the caller's
 * transaction, wherever they are in a `where`. A text that is too long for an index is only not found.
 *
 * @throws InvalidArgumentError that names the field
 */
export function checkTexts(value: unknown, path: string, depth = 0): void {
  if (typeof value === 'string') {
    if (!isStorableText(value)) throw new InvalidArgumentError(path, `${NOT_STORABLE}.`)
  } else if (typeof value === 'object' && value !== null && !isLeaf(value) && depth < DEEPEST) {
    const at = (name: string) => (Array.isArray(value) ? `${path}[${name}]` : `${path}.${name}`)
    for (const [name, item] of Object.entries(value)) checkTexts(item, at(name), depth + 1)
  }
}

/** Prisma refuses objects that are nested deeper, such as one that contains itself. */
const DEEPEST = 50

/** Of these there may be many parts, and none of them is a text. */
function isLeaf(value: object): boolean {
  return value instanceof Date || ArrayBuffer.isView(value) || isDecimal(value)
}
