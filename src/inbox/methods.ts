import type { RootSession, Session, TransactionSession } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { type Events, observed } from '../events/events.js'
import { confirm } from '../retry/confirm.js'
import { DEFAULT_POLICY, resolvePolicy } from '../retry/policy.js'
import { keyText } from '../sql/key-text.js'
import { partOf, patienceWith, type RetryingRoot, transactionOptions } from '../transactions/method.js'
import { inNestedBody } from '../transactions/serialize.js'
import * as s from '../values/schema.js'
import { checkArguments, isRecord, keyTextSchema } from '../values/validation.js'
import { claim, type Incoming, type Sorted } from './claim.js'
import type { InboxMap } from './mapping.js'
import { deleteOld } from './prune.js'
import type { InboxBatchResult, InboxCallOptions, InboxMessage, InboxResult, PruneInboxOptions } from './types.js'

const { readOnly: _, ...given } = transactionOptions
const optionsSchema = s.strictObject(given)
const messageSchema = s.object({
  id: keyTextSchema,
  key: s.optional(keyTextSchema),
  version: s.optional(
    s
      .union([s.whole(), s.bigint()], 'must be a whole number')
      .check(s.refine((version) => version >= 0 && version < 2n ** 63n, 'must be from 0 to 9,223,372,036,854,775,807')),
  ),
})
const HUNDRED_YEARS = 36_525 * 86_400_000 // the database's dates do not go back for ever
const pruneSchema = s.strictObject({
  olderThan: s.number('must be a number of ms').check(s.gte(0), s.lte(HUNDRED_YEARS)),
  consumer: s.optional(keyTextSchema),
  batchSize: s.optional(s.whole().check(s.gte(1), s.lte(1_000_000))),
})

type Given = string | InboxMessage
type BatchBody<R, M> = (tx: object, messages: readonly M[]) => Promise<R>

/** The inbox on any engine: checks the arguments, and handles messages once. */
export class InboxMethods {
  readonly map: InboxMap
  readonly #rootOf: (session: RootSession) => RetryingRoot
  readonly #events: Events | undefined

  /** @param rootOf the same client, with its retried transactions: their `tx` has all of its extensions */
  constructor(map: InboxMap, rootOf: (session: RootSession) => RetryingRoot, events: Events | undefined) {
    this.map = map
    this.#rootOf = rootOf
    this.#events = events
  }

  handle<R, M extends Given>(
    session: Session,
    consumer: string,
    message: M | readonly M[],
    body: BatchBody<R, M>,
    options: InboxCallOptions = {},
  ): Promise<InboxResult<R> | InboxBatchResult<R, M>> {
    return observed(this.#events, '$inbox', undefined, async (events) => {
      const own = this.#text(consumer, 'consumer')
      const isBatch = Array.isArray(message)
      const messages = (isBatch ? (message as readonly M[]) : [message as M]).map((each, i) =>
        this.#read(each, isBatch ? `messages[${i}]` : 'message'),
      )
      if (typeof body !== 'function')
        throw new InvalidArgumentError('body', 'must be a function of the transaction client.')
      const checked = checkArguments(optionsSchema, options)
      const work = (tx: TransactionSession) => this.#handleIn(tx, own, messages, body)
      const { sorted, result } = await this.#transact(session, checked, events, work)
      const all = (list: readonly Incoming<M>[]) => list.map((each) => each.given)
      if (isBatch) {
        const { fresh, duplicates, outdated } = sorted
        return { handled: all(fresh), duplicates: all(duplicates), outdated: all(outdated), result }
      }
      if (sorted.fresh.length > 0) return { status: 'handled', result: result as R }
      return { status: sorted.outdated.length > 0 ? 'outdated' : 'duplicate' }
    })
  }

  async prune(session: Session, options: PruneInboxOptions): Promise<{ count: number }> {
    const { olderThan, consumer, batchSize: limit = 1_000 } = checkArguments(pruneSchema, options)
    for (let count = 0; ; ) {
      const deleted = await deleteOld(session, this.map, { consumer, olderThan, limit })
      count += deleted
      if (deleted < limit) return { count }
    }
  }

  async #handleIn<R, M>(
    tx: TransactionSession,
    consumer: string,
    messages: readonly Incoming<M>[],
    body: BatchBody<R, M>,
  ): Promise<{ readonly sorted: Sorted<M>; readonly result: R | undefined }> {
    const sorted = await claim(tx, this.map, consumer, messages)
    if (sorted.duplicates.length > 0) await confirm(tx)
    const { fresh } = sorted
    if (fresh.length === 0) return { sorted, result: undefined }
    return {
      sorted,
      result: await body(
        tx.client,
        fresh.map((each) => each.given),
      ),
    }
  }

  #transact<R>(
    session: Session,
    options: InboxCallOptions,
    events: CallEvents | undefined,
    work: (tx: TransactionSession) => Promise<R>,
  ): Promise<R> {
    if (!session.inTransaction) {
      return this.#rootOf(session).transactionWithRetry(work, partOf(events, { ...options }))
    }
    const { deadline } = patienceWith(resolvePolicy(DEFAULT_POLICY, undefined), options)
    return inNestedBody(session, deadline, (inner) => inner.keepingCalls(() => work(inner)))
  }

  #text(text: unknown, name: string): string {
    const [issue] = keyTextSchema.find(text)
    if (issue) throw new InvalidArgumentError(name, `${issue.message}.`)
    return String(text)
  }

  #read<M extends Given>(message: M, path: string): Incoming<M> {
    const { messageId } = this.map.message
    if (typeof message === 'string')
      return { given: message, id: keyText(this.#text(message, path), messageId, path), guard: undefined }
    const [issue] = isRecord(message)
      ? messageSchema.find(message)
      : [{ path: [], message: 'must be its id, or an object with one' }]
    if (issue) throw new InvalidArgumentError([path, ...issue.path].join('.'), `${issue.message}.`)
    const { id, key, version } = message as InboxMessage
    if ((key === undefined) !== (version === undefined)) {
      const [missing, there] = key === undefined ? ['key', 'version'] : ['version', 'key']
      throw new InvalidArgumentError(`${path}.${missing}`, `must be given beside the ${there}.`)
    }
    if (key !== undefined && this.map.version === undefined) {
      throw new ConfigurationError([{ path: 'version', message: 'must name a model, for messages with versions' }])
    }
    const guard = key === undefined || version === undefined ? undefined : { key, version: BigInt(version) }
    return { given: message, id: keyText(id, messageId, `${path}.id`), guard }
  }
}
