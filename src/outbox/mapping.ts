import type { DataModel, Field } from '../engine/data-model.js'
import { INT, MappingCheck, MOMENT, PLAIN_TEXT, type TableMap, TEXT_OR_UUID } from '../mapping/mapping.js'
import { Catalogue } from '../sql/catalogue.js'
import { RequiredKeys } from '../sql/unique-keys.js'
import type { OutboxOptions } from './options.js'
import { DEFAULT_KEY_MODEL, DEFAULT_MESSAGE_MODEL } from './schema.js'

/** Positions begin with a time in µs. */
const BIGINT = { types: ['BigInt'] } as const

/** The user's models and fields, found and checked. */
export interface OutboxMap {
  readonly message: TableMap & {
    readonly id: Field
    readonly topic: Field
    readonly key: Field
    readonly position: Field
    readonly payload: Field
    readonly attempts: Field
    readonly error: Field
    readonly deadAt: Field
    readonly createdAt: Field
  }
  readonly key: TableMap & {
    readonly topic: Field
    readonly key: Field
    readonly head: Field
    readonly last: Field
    readonly dueAt: Field
  }
  /** The channel that each new message notifies. */
  readonly channel: string | undefined
  readonly catalogue: Catalogue
  /** The unique keys without which two messages would have one position. */
  readonly keys: RequiredKeys
}

/** @throws ConfigurationError with every mistake */
export function mapOutbox(dataModel: DataModel, options: OutboxOptions): OutboxMap {
  const check = new MappingCheck(dataModel)
  const message = mapMessage(check, options)
  const key = mapKey(check, options)
  check.finish()
  const catalogue = new Catalogue()
  const keys = new RequiredKeys(catalogue, [
    { model: message.model, fields: [message.id] },
    { model: message.model, fields: [message.topic, message.key, message.position] },
    { model: key.model, fields: [key.topic, key.key] },
  ])
  return { message, key, channel: options.notify, catalogue, keys }
}

function mapMessage(check: MappingCheck, { message = {} }: OutboxOptions): OutboxMap['message'] {
  const found = check.table('message', message, DEFAULT_MESSAGE_MODEL)
  const fields = {
    id: found.field('id', TEXT_OR_UUID),
    topic: found.field('topic', PLAIN_TEXT),
    key: found.field('key', PLAIN_TEXT),
    position: found.field('position', BIGINT),
    payload: found.field('payload', { types: ['Json'] }),
    attempts: found.field('attempts', INT),
    error: found.field('error', { types: ['String'], isOptional: true }),
    deadAt: found.field('deadAt', { ...MOMENT, isOptional: true }),
    createdAt: found.field('createdAt', MOMENT),
  }
  found.uniqueKey('id', [fields.id])
  found.uniqueKey('model', [fields.topic, fields.key, fields.position])
  found.insertable(Object.values(fields))
  return { ...found.table(), ...fields }
}

function mapKey(check: MappingCheck, { key = {} }: OutboxOptions): OutboxMap['key'] {
  const found = check.table('key', key, DEFAULT_KEY_MODEL)
  const fields = {
    topic: found.field('topic', PLAIN_TEXT),
    key: found.field('key', PLAIN_TEXT),
    head: found.field('head', BIGINT),
    last: found.field('last', BIGINT),
    dueAt: found.field('dueAt', { ...MOMENT, isOptional: true }),
  }
  found.uniqueKey('model', [fields.topic, fields.key])
  found.insertable(Object.values(fields))
  return { ...found.table(), ...fields }
}
