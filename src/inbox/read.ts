import { ConfigurationError, InvalidArgumentError } from '../errors/index.js'
import { keyText } from '../sql/key-text.js'
import { transactionOptions } from '../transactions/method.js'
import * as s from '../values/schema.js'
import { checkArguments, isRecord, keyTextSchema } from '../values/validation.js'
import type { Incoming } from './claim.js'
import type { InboxMap } from './mapping.js'
import type { InboxCallOptions } from './types.js'

/** The arguments of a call, as they come. */
export interface InboxCall {
  readonly consumer: unknown
  /** One, or a list. */
  readonly message: unknown
  readonly body: unknown
  readonly options?: unknown
}

export type InboxBody = (tx: object, messages: readonly unknown[]) => Promise<unknown>

/** The same, checked. */
export interface CheckedCall {
  readonly consumer: string
  readonly isBatch: boolean
  readonly messages: readonly Incoming[]
  readonly body: InboxBody
  readonly options: InboxCallOptions
}

const { readOnly: _, ...given } = transactionOptions
const optionsSchema = s.strictObject(given)
const messageSchema = s.object(
  {
    id: keyTextSchema,
    key: s.optional(keyTextSchema),
    version: s.optional(
      s
        .union([s.whole(), s.bigint()], 'must be a whole number')
        .check(
          s.refine((version) => version >= 0 && version < 2n ** 63n, 'must be from 0 to 9,223,372,036,854,775,807'),
        ),
    ),
  },
  'must be its id, or an object with one',
)

/** @throws InvalidArgumentError that names the field, before any SQL */
export function readCall(map: InboxMap, { consumer, message, body, options = {} }: InboxCall): CheckedCall {
  const own = textOf(consumer, 'consumer')
  const isBatch = Array.isArray(message)
  const all: readonly unknown[] = isBatch ? message : [message]
  const messages = all.map((each, i) => readMessage(map, each, isBatch ? `messages[${i}]` : 'message'))
  if (!isBody(body)) throw new InvalidArgumentError('body', 'must be a function of the transaction client.')
  return { consumer: own, isBatch, messages, body, options: checkArguments(optionsSchema, options) }
}

function isBody(body: unknown): body is InboxBody {
  return typeof body === 'function'
}

function textOf(text: unknown, name: string): string {
  const [issue] = keyTextSchema.find(text)
  if (issue) throw new InvalidArgumentError(name, `${issue.message}.`)
  return String(text)
}

function readMessage(map: InboxMap, message: unknown, path: string): Incoming {
  const { messageId } = map.message
  if (typeof message === 'string') {
    return { given: message, id: keyText(textOf(message, path), messageId, path), guard: undefined }
  }
  if (!isTold(message, path)) throw new InvalidArgumentError(path, 'must be its id, or an object with one.')
  const { id, key, version } = message
  if ((key === undefined) !== (version === undefined)) {
    const [missing, there] = key === undefined ? ['key', 'version'] : ['version', 'key']
    throw new InvalidArgumentError(`${path}.${missing}`, `must be given beside the ${there}.`)
  }
  if (key !== undefined && map.version === undefined) {
    throw new ConfigurationError([{ path: 'version', message: 'must name a model, for messages with versions' }])
  }
  const guard = key === undefined || version === undefined ? undefined : { key, version: BigInt(version) }
  return { given: message, id: keyText(id, messageId, `${path}.id`), guard }
}

function isTold(message: unknown, path: string): message is s.Output<typeof messageSchema> {
  if (!isRecord(message)) return false
  const [issue] = messageSchema.find(message)
  if (issue) throw new InvalidArgumentError([path, ...issue.path].join('.'), `${issue.message}.`)
  return true
}
