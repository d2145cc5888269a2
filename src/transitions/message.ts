import type { FeatureSetup } from '../engine/setup.js'
import { ConfigurationError } from '../errors/index.js'
import { type NewMessage, newMessage } from '../outbox/add.js'
import type { OutboxMap } from '../outbox/mapping.js'
import * as s from '../values/schema.js'
import { checkArguments, keyTextSchema, payloadText } from '../values/validation.js'

/** The message of a move, and where it is added. */
export interface MoveMessage {
  readonly map: OutboxMap
  readonly added: NewMessage
}

const argument = s.strictObject({
  outbox: s.strictObject({ topic: keyTextSchema, payload: s.unknown(), key: s.optional(keyTextSchema) }),
})

/**
 * Reads the message that a move is to add.
 *
 * @throws InvalidArgumentError that names what is wrong with it
 * @throws ConfigurationError if the client has no outbox
 */
export function readMessage(features: readonly FeatureSetup[], given: unknown): MoveMessage {
  const { topic, payload, key } = checkArguments(argument, { outbox: given }).outbox
  const found = features.find(isOutbox)
  if (!found) {
    const message = 'is not on this client: apply outbox() of prisma-extension-concurrency/work, after concurrency()'
    throw new ConfigurationError([{ path: 'outbox', message }])
  }
  const added = { topic, key, payload: payloadText(payload, 'outbox.payload') }
  return { map: found.map, added: newMessage(found.map, added, 'outbox.') }
}

const isOutbox = (feature: FeatureSetup): feature is FeatureSetup & { readonly map: OutboxMap } =>
  feature.name === 'outbox'
