import { InvalidArgumentError } from '../errors/index.js'
import * as s from '../values/schema.js'
import { keyTextSchema } from '../values/validation.js'

/** How many serials a call may be about. */
export const MOST = 2_147_483_647 // the count is recorded in an Int

export const numbers = s.array(keyTextSchema, 'must be an array of serial numbers')
export const whole = s.union([s.whole(), s.bigint()], 'must be a whole number').check(
  s.refine((value) => value >= 0, 'must not be negative'),
  s.refine((value) => value < 2n ** 63n, 'must fit into 64 bits'),
)

/** In one order, whichever they came in: it is the order in which the database is to meet them. */
export function sorted(numbers: readonly string[]): string[] {
  const result = [...numbers].sort()
  const twice = result.find((number, i) => number === result[i + 1])
  if (twice !== undefined) throw new InvalidArgumentError('numbers', `has ${JSON.stringify(twice)} twice.`)
  return result
}
