import * as s from '../values/schema.js'
import { checkConfiguration, mappingSchema, nameSchema } from '../values/validation.js'

/** The model with a row per operation, and its fields. */
export interface StepsOptions {
  /** Default `Operation`. */
  readonly model?: string
  /** A String: with the key it is a unique key. Default `scope`. */
  readonly scope?: string
  /** A String. Default `key`. */
  readonly key?: string
  /** The fingerprint of the request, a String. Default `request`. */
  readonly request?: string
  /** `running`, `done`, `refusing` or `refused`, a String. Default `state`. */
  readonly state?: string
  /** The result, or what the operation was refused with, an optional String. Default `answer`. */
  readonly answer?: string
  /** The steps with their answers, a Json. Default `steps`. */
  readonly steps?: string
  /** The time of the last step, a DateTime. Default `changedAt`. */
  readonly changedAt?: string
  /** The version column. Default: the one that `concurrency()` has for the model. */
  readonly version?: string
  /** The longest answer of a step or an operation, in characters of its JSON text. Default 65,536. */
  readonly answerLimit?: number
}

const stepsOptions = mappingSchema(
  ['scope', 'key', 'request', 'state', 'answer', 'steps', 'changedAt', 'version'],
  { model: s.optional(nameSchema('a model')), answerLimit: s.optional(s.whole().check(s.gte(1))) },
  'the options must be an object',
)

/** Checks the options' own form. Whether they fit the schema is checked when the client is known. */
export function checkStepsOptions(options: StepsOptions): StepsOptions {
  return checkConfiguration(stepsOptions, options)
}
