import type { DataModel, Field } from '../engine/data-model.js'
import { MappingCheck, MOMENT, PLAIN_TEXT, type TableMap, TEXT_OR_UUID, WHOLE_NUMBER } from '../mapping/mapping.js'
import { Catalogue } from '../sql/catalogue.js'
import { RequiredKeys } from '../sql/unique-keys.js'
import type { InboxOptions } from './options.js'
import { DEFAULT_INBOX_MODEL, DEFAULT_VERSION_MODEL } from './schema.js'

/** The user's models and fields, found and checked. */
export interface InboxMap {
  readonly message: TableMap & { readonly consumer: Field; readonly messageId: Field; readonly handledAt: Field }
  readonly version: VersionMap | undefined
  readonly catalogue: Catalogue
  /** The unique keys without which a message would be handled twice. */
  readonly keys: RequiredKeys
}

export interface VersionMap extends TableMap {
  readonly consumer: Field
  readonly key: Field
  /** Of the last message of the key. */
  readonly current: Field
}

/** @throws ConfigurationError with every mistake */
export function mapInbox(dataModel: DataModel, options: InboxOptions): InboxMap {
  const check = new MappingCheck(dataModel)
  const message = mapMessage(check, options)
  const version = options.version && mapVersion(check, options.version)
  check.finish()
  const catalogue = new Catalogue()
  const keys = new RequiredKeys(catalogue, [
    { model: message.model, fields: [message.consumer, message.messageId] },
    ...(version ? [{ model: version.model, fields: [version.consumer, version.key] }] : []),
  ])
  return { message, version, catalogue, keys }
}

function mapMessage(check: MappingCheck, { message = {} }: InboxOptions): InboxMap['message'] {
  const found = check.table('message', message, DEFAULT_INBOX_MODEL)
  const fields = {
    consumer: found.field('consumer', PLAIN_TEXT),
    messageId: found.field('messageId', TEXT_OR_UUID),
    handledAt: found.field('handledAt', MOMENT),
  }
  found.uniqueKey('model', [fields.consumer, fields.messageId])
  found.insertable(Object.values(fields))
  return { ...found.table(), ...fields }
}

function mapVersion(check: MappingCheck, names: object): VersionMap {
  const found = check.table('version', names, DEFAULT_VERSION_MODEL)
  const [consumer, key] = [found.field('consumer', PLAIN_TEXT), found.field('key', PLAIN_TEXT)]
  const current = found.field('lastVersion', WHOLE_NUMBER)
  found.uniqueKey('model', [consumer, key])
  found.insertable([consumer, key, current])
  return { ...found.table(), consumer, key, current }
}
