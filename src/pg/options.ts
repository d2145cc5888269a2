import * as z from 'zod/mini'
import { type IdempotencyOptions, idempotencyOptions } from '../idempotency/options.js'
import { type RetryPolicy, retryPolicySchema } from '../retry/policy.js'
import { byModel, checkConfiguration, nameSchema, wholeNumber } from '../values/validation.js'
import { type VersionSettings, versionSettings } from '../versioning/options.js'
import type { ModelMapping } from './models.js'

export interface PgOptions {
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

const mapping = z.strictObject({
  table: z.optional(nameSchema('a table')),
  schema: z.optional(nameSchema('a schema')),
  fields: z.optional(z.record(z.string(), nameSchema('a column'))),
  updatedAt: z.optional(z.array(nameSchema('a field'))),
})

const pgOptions = z.strictObject({
  models: z.optional(byModel(mapping)),
  version: z.optional(versionSettings),
  idempotency: z.optional(z.pick(idempotencyOptions, { model: true, answerLimit: true })),
  lock: z.optional(z.strictObject({ maxWaiting: z.optional(wholeNumber().check(z.gte(1, 'must be at least 1'))) })),
  retry: z.optional(retryPolicySchema),
})

/** Checks the options' own form. Whether they fit the database is checked when its tables are read. */
export function checkPgOptions(options: PgOptions): PgOptions {
  return checkConfiguration(pgOptions, options)
}
