import { z } from 'zod'
import { type RetryPolicy, retryPolicySchema } from './retry/policy.js'
import { checkConfiguration } from './validation.js'

/** How one model, or every model, is versioned. */
export interface VersionOptions {
  /** The name of the version column's field. Default `version`. */
  readonly field?: string
  /** Whether plain `update`, `updateMany`, `updateManyAndReturn` and `upsert` bump the version. Default true. */
  readonly bumpPlainWrites?: boolean
}

export interface ConcurrencyOptions {
  readonly version?: VersionOptions & {
    /** What is different for single models, by the model's name; `false` for a model that is not versioned. */
    readonly models?: Readonly<Record<string, VersionOptions | false>>
  }
  /** The retry policy of every call, unless the call brings its own values. */
  readonly retry?: RetryPolicy
}

const versionOptions = {
  field: z.string('must be the name of a field').min(1, 'must not be empty').optional(),
  bumpPlainWrites: z.boolean('must be true or false').optional(),
}

const concurrencyOptions = z.strictObject({
  version: z
    .strictObject({
      ...versionOptions,
      models: z.record(z.string(), z.literal(false).or(z.strictObject(versionOptions))).optional(),
    })
    .optional(),
  retry: retryPolicySchema.optional(),
})

/** Checks the options' own form. Whether they fit the schema is checked when the client is known. */
export function checkOptions(options: unknown): void {
  checkConfiguration(concurrencyOptions, options)
}
