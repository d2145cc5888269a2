import * as s from '../values/schema.js'
import { checkConfiguration, mappingSchema, nameSchema } from '../values/validation.js'

/** The model with a row per run, and its fields. */
export interface JobRunMapping {
  /** Default `JobRun`. */
  readonly model?: string
  /** The name of the job, a String: in a unique key together with the token. Default `job`. */
  readonly job?: string
  /** The token of the lease that the run had, a BigInt. Default `token`. */
  readonly token?: string
  /** Its state, a String: `running`, `done`, `failed` or `lost`. Default `state`. */
  readonly state?: string
  /** The beginning of the period that it was for, an optional DateTime. Default `period`. */
  readonly period?: string
  /** Default `startedAt`. */
  readonly startedAt?: string
  /** An optional DateTime. Default `endedAt`. */
  readonly endedAt?: string
  /** By whom, an optional String. Default `startedBy`. */
  readonly startedBy?: string
  /** Why it has failed, an optional String. Default `error`. */
  readonly error?: string
  /** Its last `run.progress`, an optional Json. Default `progress`. */
  readonly progress?: string
  /** The version column. Default: the one that `concurrency()` has for the model. */
  readonly version?: string
}

export interface JobsOptions {
  readonly run?: JobRunMapping
  /** By whom runs are, for their history: such as `os.hostname()`. Default: nothing is noted. */
  readonly startedBy?: string
}

const FIELDS = ['job', 'token', 'state', 'period', 'startedAt', 'endedAt', 'startedBy', 'error', 'progress', 'version']

const jobsOptions = s.strictObject(
  {
    run: s.optional(mappingSchema(FIELDS, { model: s.optional(nameSchema('a model')) })),
    startedBy: s.optional(s.string()),
  },
  'the options must be an object',
)

/** Checks the options' own form. Whether they fit the schema is checked when the client is known. */
export function checkJobsOptions(options: JobsOptions): JobsOptions {
  return checkConfiguration(jobsOptions, options)
}
