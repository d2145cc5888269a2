import { InvalidArgumentError } from '../errors/index.js'

/** A day, such as `2026-01-31`. */
export const DAY = /^\d{4}-\d\d-\d\d$/

/** A moment, in ms since 1970. */
export function readMoment(given: unknown, path: string): number {
  const value = typeof given === 'string' && DAY.test(given) ? `${given}T00:00:00Z` : given
  const time = value instanceof Date || typeof value === 'string' ? new Date(value).getTime() : Number.NaN
  if (!Number.isNaN(time)) return time
  throw new InvalidArgumentError(path, "must be a Date, or a text such as '2026-01-31T00:00:00Z'.")
}

/** A moment before which something is deleted: not in the future, for it is a slip that would delete all there is. */
export function readPast(given: unknown, path: string, why: string): number {
  const time = readMoment(given, path)
  if (time <= Date.now()) return time
  throw new InvalidArgumentError(path, `must not be in the future: ${why}.`)
}
