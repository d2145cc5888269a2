import type { TransactionOptions } from '../engine/session.js'

/** Set in the options of a `$transaction` that is watched already: layers of others pass it on, also in a copy. */
const PASSED = Symbol('watched')

export function passing(options: object = {}): TransactionOptions {
  return { ...options, [PASSED]: true } as TransactionOptions
}

/** Whether the options are of such a call. */
export function isPassed(options: object | undefined): boolean {
  return options !== undefined && PASSED in options
}
