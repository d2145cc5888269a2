import * as z from 'zod/mini'
import { type RetryPolicy, retryPolicySchema } from './retry/policy.js'
import { checkConfiguration, wholeNumber } from './values/validation.js'

/** How one model, or every model, is versioned. */
export interface VersionOptions {
  /**
   * The name of the version column's field: a required Int or BigInt. Default `version`, in models where that has
   * `@default(0)` and is part of no unique key and no foreign key.
   */
  readonly field?: string
  /** Whether plain `update`, `updateMany`, `updateManyAndReturn` and `upsert` bump the version. Default true. */
  readonly bumpPlainWrites?: boolean
}

export interface IdempotencyOptions {
  /** The model in which once-only operations are noted. Default `IdempotencyKey`. */
  readonly model?: string
  /** The longest answer of a once-only operation, in characters of its JSON text. Default 65,536. */
  readonly answerLimit?: number
  /** The String field in which models that have it keep the fingerprint of the payload they were created with. */
  readonly fingerprint?: string
  /** What is different for single models, by the model's name. */
  readonly models?: Readonly<Record<string, { readonly fingerprint?: string | false }>>
}

export interface ConcurrencyOptions {
  /** Which column is the version, and whether plain writes bump it. Default: `version`, where a model has it. */
  readonly version?: VersionOptions & {
    /** What is different for single models, by the model's name; `false` for a model that is not versioned. */
    readonly models?: Readonly<Record<string, VersionOptions | false>>
  }
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

const versionOptions = {
  field: z.optional(z.string('must be the name of a field').check(z.minLength(1, 'must not be empty'))),
  bumpPlainWrites: z.optional(z.boolean('must be true or false')),
}

/** `false`: for the same reason no `z.literal`. */
const off = z.boolean().check(z.refine((value) => !value, { abort: true }))

/** What is said of each model, by its name. It weighs less than a `z.record`, which brings its own code. */
function byModel<T extends z.ZodMiniType>(options: T) {
  return z.catchall(z.object({}), options)
}

const concurrencyOptions = z.strictObject({
  version: z.optional(
    z.strictObject({
      ...versionOptions,
      models: z.optional(
        byModel(z.union([off, z.strictObject(versionOptions)], 'must be an object of options, or false')),
      ),
    }),
  ),
  idempotency: z.optional(
    z.strictObject({
      model: z.optional(z.string('must be the name of a model').check(z.minLength(1))),
      answerLimit: z.optional(wholeNumber().check(z.gte(1))),
      fingerprint: z.optional(z.string('must be the name of a field').check(z.minLength(1))),
      models: z.optional(
        byModel(
          z.strictObject({
            fingerprint: z.optional(z.union([off, z.string().check(z.minLength(1))])),
          }),
        ),
      ),
    }),
  ),
  lock: z.optional(
    z.strictObject({
      maxWaiting: z.optional(wholeNumber().check(z.gte(1, 'must be at least 1'))),
    }),
  ),
  retry: z.optional(retryPolicySchema),
  transparent: z.optional(
    z.array(
      z.string('must be the name of an extension').check(z.minLength(1, 'must not be empty')),
      'must be an array of names of extensions',
    ),
  ),
})

/** Checks the options' own form. Whether they fit the schema is checked when the client is known. */
export function checkOptions(options: ConcurrencyOptions): ConcurrencyOptions {
  return checkConfiguration(concurrencyOptions, options)
}
