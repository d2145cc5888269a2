import * as z from 'zod/mini'
import { byModel, nameSchema, off, wholeNumber } from '../values/validation.js'

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

export const idempotencyOptions = z.strictObject({
  model: z.optional(nameSchema('a model')),
  answerLimit: z.optional(wholeNumber().check(z.gte(1))),
  fingerprint: z.optional(nameSchema('a field')),
  models: z.optional(byModel(z.strictObject({ fingerprint: z.optional(z.union([off, nameSchema('a field')])) }))),
})
