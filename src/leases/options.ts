import * as s from '../values/schema.js'
import { checkConfiguration, mappingSchema, nameSchema } from '../values/validation.js'

/** The model with a row per lease, and its fields. */
export interface LeasesOptions {
  /** Default `Lease`. */
  readonly model?: string
  /** The name of the lease, a String: a unique key. Default `name`. */
  readonly name?: string
  /** A BigInt that grows with every holder: in a unique key together with the name. Default `token`. */
  readonly token?: string
  /** The random id of the holder, an optional String. Default `holder`. */
  readonly holder?: string
  /** The end of the lease by the database's clock, an optional DateTime. Default `expiresAt`. */
  readonly expiresAt?: string
  /** The last `lease.progress`, an optional Json. Default `progress`. */
  readonly progress?: string
  /** The callers that wait, a Json. Default `waiting`. */
  readonly waiting?: string
  /** The version column. Default: the one that `concurrency()` has for the model. */
  readonly version?: string
}

const leasesOptions = mappingSchema(
  ['name', 'token', 'holder', 'expiresAt', 'progress', 'waiting', 'version'],
  { model: s.optional(nameSchema('a model')) },
  'the options must be an object',
)

/** Checks the options' own form. Whether they fit the schema is checked when the client is known. */
export function checkLeasesOptions(options: LeasesOptions): LeasesOptions {
  return checkConfiguration(leasesOptions, options)
}
