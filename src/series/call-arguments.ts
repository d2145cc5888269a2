import { callOptions } from '../retry/call-options.js'
import type { Scope } from '../sql/scope.js'
import * as s from '../values/schema.js'
import { keyTextSchema } from '../values/validation.js'
import type { Series } from './mapping.js'

/** The options that calls of several methods take. */
export const numberOptions = {
  series: keyTextSchema,
  at: s.optional(
    s
      .date('must be a Date')
      .check(
        s.gte(new Date('0001-01-02'), 'must be after the year 1'),
        s.lte(new Date('9999-12-30'), 'must be before the year 10000'),
      ),
  ),
  signal: callOptions.signal,
}
/** The arguments as the user has given them, and the scope that `in` has bound. */
export interface CallArguments {
  readonly name: unknown
  readonly given: unknown
  readonly scope: Scope | undefined
}

/** Checks the arguments of a call, and finds its series. */
export type ReadArguments = <T extends { readonly series: string }>(
  schema: s.Schema<T>,
  args: CallArguments,
) => Omit<T, 'series'> & { readonly series: Series }
