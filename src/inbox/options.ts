import * as s from '../values/schema.js'
import { checkConfiguration, mappingSchema, nameSchema } from '../values/validation.js'

/** The model with a row per consumer and message, and its fields. */
export interface InboxMessageMapping {
  /** Default `InboxMessage`. */
  readonly model?: string
  /** Default `consumer`. */
  readonly consumer?: string
  /** Default `messageId`. */
  readonly messageId?: string
  /** Default `handledAt`. */
  readonly handledAt?: string
}

/** The model with a row per consumer and key, and its fields. */
export interface InboxVersionMapping {
  /** Default `InboxVersion`. */
  readonly model?: string
  /** Default `consumer`. */
  readonly consumer?: string
  /** Default `key`. */
  readonly key?: string
  /** The version of the last message of the key that was handled. Default `lastVersion`. */
  readonly lastVersion?: string
}

export interface InboxOptions {
  readonly message?: InboxMessageMapping
  /** For messages with a `key` and a `version`. */
  readonly version?: InboxVersionMapping
}

const model = s.optional(nameSchema('a model'))
const inboxOptions = s.strictObject({
  message: s.optional(mappingSchema(['consumer', 'messageId', 'handledAt'], { model })),
  version: s.optional(mappingSchema(['consumer', 'key', 'lastVersion'], { model })),
})

/** Checks the options' own form. Whether they fit the schema is checked when the client is known. */
export function checkInboxOptions(options: InboxOptions): InboxOptions {
  return checkConfiguration(inboxOptions, options)
}
