import { eventOptions } from './events/options.js'
import type { EventOptions } from './events/types.js'
import { type IdempotencyOptions, idempotencyOptions } from './idempotency/options.js'
import { type RetryPolicy, retryPolicySchema } from './retry/policy.js'
import { type TransitionSettings, transitionSettings } from './transitions/options.js'
import * as s from './values/schema.js'
import { checkConfiguration, nameSchema } from './values/validation.js'
import { type VersionSettings, versionSettings } from './versioning/options.js'

export interface ConcurrencyOptions extends EventOptions {
  /** Which column is the version, and whether plain writes bump it. Default: `version`, where a model has it. */
  readonly version?: VersionSettings
  /** The states of models, and the moves between them, for `transition`: by the models' names. */
  readonly transitions?: TransitionSettings
  /** For `createIdempotent`, `$idempotent` and `$oncePer`. */
  readonly idempotency?: IdempotencyOptions
  /** For `$withAdvisoryLock`. */
  readonly lock?: {
    /** How many connections of the pool may wait for a lock at most; half the pool is a good number. Default 5. */
    readonly maxWaiting?: number
  }
  /** The retry policy of every call, unless the call brings its own values. */
  readonly retry?: RetryPolicy
  /**
   * The names of other extensions that only watch, such as one that logs: SQL of this package may go
   * past their hooks, where it would otherwise go row by row, or be refused.
   */
  readonly transparent?: readonly string[]
}

const concurrencyOptions = s.strictObject({
  ...eventOptions,
  version: s.optional(versionSettings),
  transitions: s.optional(transitionSettings),
  idempotency: s.optional(idempotencyOptions),
  lock: s.optional(s.strictObject({ maxWaiting: s.optional(s.whole().check(s.gte(1))) })),
  retry: s.optional(retryPolicySchema),
  transparent: s.optional(s.array(nameSchema('an extension'), 'must be an array of names of extensions')),
})

/** Checks the options' own form. Whether they fit the schema is checked when the client is known. */
export function checkOptions(options: ConcurrencyOptions): ConcurrencyOptions {
  return checkConfiguration(concurrencyOptions, options)
}
