import type { Model } from '../engine/data-model.js'
import type { RootSession, Session, TransactionSession } from '../engine/session.js'
import { InvalidArgumentError, TransactionRequiredError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import type { Feature, Use } from '../mapping/feature.js'
import { callOptions, patienceOf } from '../retry/call-options.js'
import { DEFAULT_POLICY, resolvePolicy, timeSpan } from '../retry/policy.js'
import { keyText } from '../sql/key-text.js'
import { systemClock } from '../sync/clock.js'
import type { RetryingRoot } from '../transactions/method.js'
import { ownStatements } from '../transactions/own-statements.js'
import { serializeInTransaction } from '../transactions/serialize.js'
import * as s from '../values/schema.js'
import { argumentsOf, snapshot } from '../values/snapshot.js'
import { checkArguments, isRecord, keyTextSchema } from '../values/validation.js'
import { addMessage, payloadText } from './add.js'
import type { Filter } from './dead.js'
import type { OutboxMap } from './mapping.js'
import type { OutboxOptions } from './options.js'
import type { AnyHandler, RelaySettings } from './relay.js'
import type { DeadMessage, RelayOptions } from './types.js'

const addSchema = s.strictObject({ topic: keyTextSchema, key: s.optional(keyTextSchema) })
const count = s.whole().check(s.gte(1))
const filter = { topic: s.optional(keyTextSchema), key: s.optional(keyTextSchema) }
const deadSchema = s.strictObject({ ...filter, limit: s.optional(count) })
const filterSchema = s.strictObject({ ...callOptions, ...filter, id: s.optional(keyTextSchema) })
const fn = <T>() => s.optional(s.custom<T>((value) => typeof value === 'function', 'must be a function'))
const relaySchema = s.strictObject({
  signal: callOptions.signal,
  until: s.optional(s.literal('empty')),
  concurrency: s.optional(count.check(s.lte(1_000))),
  pollInterval: s.optional(timeSpan),
  timeout: s.optional(timeSpan),
  retry: s.optional(
    s.strictObject({ attempts: s.optional(count), baseDelay: s.optional(timeSpan), maxDelay: s.optional(timeSpan) }),
  ),
  onDead: s.optional(s.oneOf(['stop', 'skip'])),
  onError: fn<NonNullable<RelayOptions['onError']>>(),
  subscribe: fn<NonNullable<RelayOptions['subscribe']>>(),
})

/** A receiver that is down may be so for hours. */
const REDELIVERY = { ...DEFAULT_POLICY, attempts: 10, baseDelay: 1_000, maxDelay: 3_600_000 }

/** `$outbox` on any engine: checks the arguments, and carries them out. */
export class OutboxFeature implements Feature {
  readonly errorModel
  readonly models
  readonly map: OutboxMap
  readonly #rootOf: (session: RootSession) => RetryingRoot
  readonly #channel: string | undefined

  /** @param rootOf the same client, with its retried transactions: their `tx` has all of its extensions */
  constructor(map: OutboxMap, rootOf: (session: RootSession) => RetryingRoot, { notify }: OutboxOptions) {
    this.errorModel = map.message.model
    this.models = [map.message.model, map.key.model]
    this.map = map
    this.#rootOf = rootOf
    this.#channel = notify
  }

  uses(): readonly (readonly [Model, Use])[] {
    return []
  }

  on(session: Session) {
    return {
      add: (topic: unknown, payload: unknown, options?: unknown) => {
        const given = { ...argumentsOf(optional(options)), topic }
        const text = payloadText(payload)
        return (events?: CallEvents) => this.#add(session, given, text, events)
      },
      relay: (handlers: unknown, options?: unknown) => {
        const own = readHandlers(handlers)
        const given = { ...optional(options) }
        return () => this.#relay(session, own, given)
      },
      dead: (options?: unknown) => {
        const given = snapshot(optional(options), 'options')
        return () => this.#dead(session, given)
      },
      redrive: (args: unknown) => this.#changing(session, args, 'redrive'),
      discard: (args: unknown) => this.#changing(session, args, 'discard'),
    }
  }

  async #add(session: Session, args: unknown, payload: string, events?: CallEvents) {
    const { topic, key } = checkArguments(addSchema, args)
    if (!session.inTransaction) {
      const reason = 'a message must be committed together with what it tells of'
      throw new TransactionRequiredError('$outbox.add', reason, 'call tx.$outbox.add in a transaction')
    }
    const { message } = this.map
    const added = {
      topic: keyText(topic, message.topic, 'topic'),
      key: key === undefined ? undefined : keyText(key, message.key, 'key'),
      payload,
    }
    const { deadline } = patienceOf(DEFAULT_POLICY, {})
    events?.begin(deadline)
    return serializeInTransaction(session, deadline, () => addMessage(session, this.map, added, this.#channel))
  }

  async #relay(session: Session, handlers: ReadonlyMap<string, AnyHandler>, args: unknown): Promise<void> {
    const { subscribe, ...given } = checkArguments(relaySchema, args)
    if (session.inTransaction) {
      throw new InvalidArgumentError(
        'tx',
        'has no relay: each message is delivered in a transaction of its own. Use db.$outbox.relay.',
      )
    }
    given.signal?.throwIfAborted()
    await this.map.keys.check(session)
    const settings: RelaySettings = {
      signal: given.signal,
      endsWhenEmpty: given.until === 'empty',
      concurrency: given.concurrency ?? 4,
      pollInterval: given.pollInterval ?? 1_000,
      timeout: given.timeout ?? 30_000,
      retry: resolvePolicy(REDELIVERY, given.retry),
      onDead: given.onDead ?? 'stop',
      onError: given.onError,
    }
    const { Relay } = await import('./relay.js')
    const relay = new Relay(this.#rootOf(session), this.map, handlers, settings, systemClock)
    const end = subscribe?.(() => relay.wake())
    try {
      await relay.run()
    } finally {
      end?.()
    }
  }

  async #dead(session: Session, args: unknown): Promise<DeadMessage[]> {
    const { limit = 100, ...filter } = checkArguments(deadSchema, args)
    const { deadMessages } = await import('./dead.js')
    return deadMessages(session, this.map, filter, limit)
  }

  #changing(session: Session, args: unknown, change: 'redrive' | 'discard') {
    const given = argumentsOf(optional(args))
    return async (events?: CallEvents) => {
      const { retry, signal, ...filter } = checkArguments(filterSchema, given)
      const id = filter.id && keyText(filter.id, this.map.message.id, 'id')
      const { policy, deadline } = patienceOf(resolvePolicy(DEFAULT_POLICY, retry), { signal })
      events?.begin(deadline)
      const { discard, redrive } = await import('./dead.js')
      const all: Filter = { ...filter, id }
      const carryOut = change === 'redrive' ? redrive : discard
      const body = async (tx: TransactionSession) => ({ count: await carryOut(tx, this.map, all) })
      if (session.inTransaction) return serializeInTransaction(session, deadline, () => body(session))
      return ownStatements(this.#rootOf(session), { policy, deadline, waitedFor: 'messages of the outbox' }, body)
    }
  }
}

function optional(options: unknown): object {
  if (options === undefined || options === null) return {}
  if (!isRecord(options)) throw new InvalidArgumentError('options', 'must be an object.')
  return options
}

function readHandlers(handlers: unknown): Map<string, AnyHandler> {
  if (!isRecord(handlers))
    throw new InvalidArgumentError('handlers', 'must be an object with a function for each topic.')
  const own = new Map<string, AnyHandler>()
  for (const [topic, handler] of Object.entries(handlers)) {
    if (handler === undefined) continue
    if (typeof handler !== 'function') throw new InvalidArgumentError(`handlers.${topic}`, 'must be a function.')
    own.set(topic, handler as AnyHandler)
  }
  if (own.size === 0) throw new InvalidArgumentError('handlers', 'must have a function for at least one topic.')
  return own
}
