import type { Field } from '../engine/data-model.js'
import { InvalidArgumentError } from '../errors/index.js'
import { keyText } from './key-text.js'

/** The highest whole number of each of Prisma's types. */
export const HIGHEST: Readonly<Record<string, bigint>> = { Int: 2n ** 31n - 1n, BigInt: 2n ** 63n - 1n }

/** A value of a key, such as a transaction id, as the text that the database has for it. */
export function keyValue(value: unknown, field: Field, path: string): string {
  if (field.type === 'String') {
    if (typeof value !== 'string' || value === '')
      throw new InvalidArgumentError(path, 'must be a text that is not empty.')
    return keyText(value, field, path)
  }
  const number = wholeOf(value, field)
  const highest = HIGHEST[field.type] ?? 0n
  if (number === undefined || number > highest || number < -highest - 1n) {
    throw new InvalidArgumentError(path, `must be a whole number that fits a column of type ${field.type}.`)
  }
  return String(value) // one text for all calls with the same number, while it is cached
}

/** Prisma takes no bigint for an Int. */
function wholeOf(value: unknown, { type }: Field): bigint | undefined {
  if (typeof value === 'bigint') return type === 'BigInt' ? value : undefined
  return typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : undefined
}
