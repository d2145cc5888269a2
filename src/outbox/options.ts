import * as s from '../values/schema.js'
import { checkConfiguration, mappingSchema, nameSchema } from '../values/validation.js'

/** The model with a row per message, and its fields. */
export interface OutboxMessageMapping {
  /** Default `OutboxMessage`. */
  readonly model?: string
  /** The primary key. It is the same in each delivery. Default `id`. */
  readonly id?: string
  /** Default `topic`. */
  readonly topic?: string
  /** Default `key`. */
  readonly key?: string
  /** The number of the message among those of its key. Default `position`. */
  readonly position?: string
  /** Default `payload`. */
  readonly payload?: string
  /** How often it has failed. Default `attempts`. */
  readonly attempts?: string
  /** Why it has failed last. Default `error`. */
  readonly error?: string
  /** Since when it is not tried any more. Default `deadAt`. */
  readonly deadAt?: string
  /** Default `createdAt`. */
  readonly createdAt?: string
}

/** The model with a row per key that has messages, and its fields. */
export interface OutboxKeyMapping {
  /** Default `OutboxKey`. */
  readonly model?: string
  /** Default `topic`. */
  readonly topic?: string
  /** Default `key`. */
  readonly key?: string
  /** The position of the message that is to be sent next. Default `head`. */
  readonly head?: string
  /** The position of the last message. Default `last`. */
  readonly last?: string
  /** When the next one is to be sent; NULL where there is none, or the key is stopped. Default `dueAt`. */
  readonly dueAt?: string
}

export interface OutboxOptions {
  /** Only tells the types the payloads by their topics: `{} as Topics`. Default: any topic, with any JSON. */
  readonly topics?: object
  readonly message?: OutboxMessageMapping
  readonly key?: OutboxKeyMapping
  /**
   * The channel that each `add` notifies, at its commit: a relay that listens needs not wait for its next look. Without
   * it nothing is notified. PostgreSQL commits transactions that notify one after the other.
   */
  readonly notify?: string
}

const mapping = (fields: readonly string[]) =>
  s.optional(mappingSchema(fields, { model: s.optional(nameSchema('a model')) }))

const outboxOptions = s.strictObject({
  topics: s.optional(s.unknown()),
  message: mapping(['id', 'topic', 'key', 'position', 'payload', 'attempts', 'error', 'deadAt', 'createdAt']),
  key: mapping(['topic', 'key', 'head', 'last', 'dueAt']),
  // PostgreSQL cuts longer names off.
  notify: s.optional(
    s.string().check((name) => (/^[\w.-]{1,63}$/.test(name) ? undefined : 'must be the name of a channel')),
  ),
})

/** Checks the options' own form. Whether they fit the schema is checked when the client is known. */
export function checkOutboxOptions(options: OutboxOptions): OutboxOptions {
  return checkConfiguration(outboxOptions, options)
}
