import * as s from '../values/schema.js'
import type { EventOptions } from './types.js'

const isFunction = (value: unknown) => typeof value === 'function'

/** The schema of the options, for that of a client. */
export const eventOptions = {
  onEvent: s.optional(s.custom<NonNullable<EventOptions['onEvent']>>(isFunction, 'must be a function')),
  events: s.optional(s.strictObject({ keys: s.optional(s.oneOf(['hash', 'plain'], "must be 'hash' or 'plain'")) })),
  contention: s.optional(s.boolean()),
  around: s.optional(s.custom<NonNullable<EventOptions['around']>>(isFunction, 'must be a function')),
}
