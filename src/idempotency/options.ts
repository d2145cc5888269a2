import * as s from '../values/schema.js'
import { nameSchema } from '../values/validation.js'

export interface IdempotencyOptions {
  /** The model in which once-only operations are noted. Default `IdempotencyKey`. */
  readonly model?: string
  /** The longest answer of a once-only operation, in characters of its JSON text. Default 65,536. */
  readonly answerLimit?: number
  /** The String field in which models that have it keep the fingerprint of the payload they were created with. */
  readonly fingerprint?: string
  /** The options of single models, by the model's name. */
  readonly models?: Readonly<Record<string, { readonly fingerprint?: string | false }>>
}

/** The options of once-only operations alone, which need no model of Prisma's. */
export const operationOptions = {
  model: s.optional(nameSchema('a model')),
  answerLimit: s.optional(s.whole().check(s.gte(1))),
}

export const idempotencyOptions = s.strictObject({
  ...operationOptions,
  fingerprint: s.optional(nameSchema('a field')),
  models: s.optional(
    s.record(s.strictObject({ fingerprint: s.optional(s.union([s.literal(false), nameSchema('a field')])) })),
  ),
})
