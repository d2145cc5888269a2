import * as s from '../values/schema.js'
import { nameSchema } from '../values/validation.js'

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

/** The options about versions, of all models and of single ones. */
export interface VersionSettings extends VersionOptions {
  /** Options of single models, by the model's name; `false` for a model that is not versioned. */
  readonly models?: Readonly<Record<string, VersionOptions | false>>
}

const versionOptions = {
  field: s.optional(nameSchema('a field')),
  bumpPlainWrites: s.optional(s.boolean()),
}

export const versionSettings = s.strictObject({
  ...versionOptions,
  models: s.optional(
    s.record(s.union([s.literal(false), s.strictObject(versionOptions)], 'must be an object of options, or false')),
  ),
})
