import { type RetryPolicy, retryPolicySchema } from '../retry/policy.js'
import { scopeSchema } from '../sql/scope.js'
import * as s from '../values/schema.js'
import { checkConfiguration, mappingSchema, nameSchema } from '../values/validation.js'

/** The model with a row per serial. */
export interface SerialMapping {
  /** Default `Serial`. */
  readonly model?: string
  /** The serial number, a String: in a unique key, alone or together with others such as the product. Default `number`. */
  readonly number?: string
  /** The owner of the serial: an optional String, NULL while it is free. Default `transactionId`. */
  readonly transactionId?: string
  /** The version column. Default: the one that `concurrency()` has for the model. */
  readonly version?: string
  /**
   * A state beside the owner: only serials in the state `free` are allocated, which are in the state `allocated` then, and
   * in `free` again when they are released, unless `release` has another one in its `data`. Default: no state.
   */
  readonly state?: StateMapping
  /** With `history`: how many changes a serial has had, an Int. Default `changes`. */
  readonly changes?: string
}

/** The states of a serial, an enum or a String. */
export interface StateMapping {
  /** Default `state`. */
  readonly field?: string
  readonly free: string
  readonly allocated: string
}

/**
 * The model with a row for each change of a serial's owner: its unique key is that of the serial and the sequence. Fields
 * that the model of the serials has, too, get their values after the change, unless they have a default here.
 */
export interface HistoryMapping {
  /** Default `SerialHistory`. */
  readonly model?: string
  /** The number of the change, from 1 on for each serial, an Int. Default `sequence`. */
  readonly sequence?: string
  /** Default `changedAt`. */
  readonly changedAt?: string
}

/** The model with a row per transaction id. */
export interface AllocationMapping {
  /** Default `SerialAllocation`. */
  readonly model?: string
  /** Default `transactionId`. */
  readonly transactionId?: string
  /** The request, a String. Default `request`. */
  readonly request?: string
  /** How many serials it was, an Int. Default `count`. */
  readonly count?: string
  /** When it was recorded, a DateTime with a default in the database, for `prune`. Default `createdAt`, where there is one. */
  readonly createdAt?: string
}

export interface SerialsOptions {
  /**
   * The fields that keep companies or tenants apart, such as `['companyId']`: both models have them, in the same types and
   * in their unique keys. Each call is of one scope, and a transaction id is unique in its scope.
   */
  readonly scope?: readonly string[]
  /** Where the serials are, if not where `serialsSchema()` puts them. */
  readonly serial?: SerialMapping
  /** Where the transaction ids are noted, if not where `serialsSchema()` puts them. */
  readonly allocation?: AllocationMapping
  /** Where each change of an owner is recorded, in the same statement. Default: nowhere. */
  readonly history?: HistoryMapping
  /** How many calls of `allocate` may wait in this process; the next one is an OverloadedError. Default 10,000. */
  readonly maxWaiting?: number
  /** The retry policy of every call, over that of `concurrency()`, unless the call brings its own values. */
  readonly retry?: RetryPolicy
}

const model = s.optional(nameSchema('a model'))

const name = nameSchema('a state')
const state = s.strictObject({ field: s.optional(nameSchema('a field')), free: name, allocated: name })

const serialsOptions = s.strictObject({
  serial: s.optional(
    mappingSchema(['number', 'transactionId', 'version', 'changes'], { model, state: s.optional(state) }),
  ),
  history: s.optional(mappingSchema(['sequence', 'changedAt'], { model })),
  allocation: s.optional(mappingSchema(['transactionId', 'request', 'count', 'createdAt'], { model })),
  scope: scopeSchema,
  maxWaiting: s.optional(s.whole().check(s.gte(1))),
  retry: s.optional(retryPolicySchema),
})

/** Checks the options' own form. Whether they fit the schema is checked when the client is known. */
export function checkSerialsOptions(options: SerialsOptions): SerialsOptions {
  return checkConfiguration(serialsOptions, options)
}
