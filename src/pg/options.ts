import { eventOptions } from '../events/options.js'
import type { EventOptions } from '../events/types.js'
import { type IdempotencyOptions, operationOptions } from '../idempotency/options.js'
import { type RetryPolicy, retryPolicySchema } from '../retry/policy.js'
import * as s from '../values/schema.js'
import { checkConfiguration, nameSchema } from '../values/validation.js'
import { type VersionSettings, versionSettings } from '../versioning/options.js'
import type { ModelMapping } from './models.js'

export interface PgOptions extends EventOptions {
  /**
   * The models that are not a table of their own name, with a field for each column, by their names. A model
   * that is not named is a table of the search path.
   */
  readonly models?: Readonly<Record<string, ModelMapping>>
  /**
   * Which column is the version, which stock and serials bump for programs that write by version. Default:
   * `version`, where a table has it.
   */
  readonly version?: Pick<VersionSettings, 'field' | 'models'>
  /** For `$idempotent` and `$oncePer`. */
  readonly idempotency?: Pick<IdempotencyOptions, 'model' | 'answerLimit'>
  /** For `$withAdvisoryLock`. */
  readonly lock?: {
    /** How many connections of the pool may wait for a lock at most; half the pool is a good number. Default 5. */
    readonly maxWaiting?: number
  }
  /** The retry policy of every call, unless the call brings its own values. */
  readonly retry?: RetryPolicy
}

const mapping = s.strictObject({
  table: s.optional(nameSchema('a table')),
  schema: s.optional(nameSchema('a schema')),
  fields: s.optional(s.record(nameSchema('a column'))),
  updatedAt: s.optional(s.array(nameSchema('a field'))),
})

const pgOptions = s.strictObject({
  ...eventOptions,
  models: s.optional(s.record(mapping)),
  version: s.optional(versionSettings),
  idempotency: s.optional(s.strictObject(operationOptions)),
  lock: s.optional(s.strictObject({ maxWaiting: s.optional(s.whole().check(s.gte(1))) })),
  retry: s.optional(retryPolicySchema),
})

/** Checks the options' own form. Whether they fit the database is checked when its tables are read. */
export function checkPgOptions(options: PgOptions): PgOptions {
  return checkConfiguration(pgOptions, options)
}
