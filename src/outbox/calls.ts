import type { RootSession, Session, TransactionSession } from '../engine/session.js'
import { InvalidArgumentError, TransactionRequiredError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { callOptions, patienceOf } from '../retry/call-options.js'
import { DEFAULT_POLICY, resolvePolicy, timeSpan } from '../retry/policy.js'
import { keyText } from '../sql/key-text.js'
import { systemClock } from '../sync/clock.js'
import type { RetryingRoot } from '../transactions/method.js'
import { ownStatements } from '../transactions/own-statements.js'
import { serializeInTransaction } from '../transactions/serialize.js'
import * as s from '../values/schema.js'
import { checkArguments, keyTextSchema } from '../values/validation.js'
import { addMessage, newMessage } from './add.js'
import { deadMessages, discard, type Filter, redrive } from './dead.js'
import type { OutboxMap } from './mapping.js'
import { Relay, type RelaySettings } from './relay.js'
import type { AnyHandler, DeadMessage, RelayOptions } from './types.js'

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

export interface OutboxParts {
  readonly map: OutboxMap
  /** The same client, with its retried transactions: their `tx` has all of its extensions. */
  readonly rootOf: (session: RootSession) => RetryingRoot
}

/** The message of a call of `add`: its payload as JSON, and its other arguments as they came. */
export interface AddCall {
  readonly args: object
  readonly payload: string
}

export async function add(session: Session, { map }: OutboxParts, call: AddCall, events?: CallEvents) {
  const { topic, key } = checkArguments(addSchema, call.args)
  if (!session.inTransaction) {
    const reason = 'a message must be committed together with what it tells of'
    throw new TransactionRequiredError('$outbox.add', reason, 'call tx.$outbox.add in a transaction')
  }
  const added = newMessage(map, { topic, key, payload: call.payload })
  const { deadline } = patienceOf(DEFAULT_POLICY, {})
  events?.begin(deadline)
  return serializeInTransaction(session, deadline, () => addMessage(session, map, added))
}

export async function relay(
  session: Session,
  { map, rootOf }: OutboxParts,
  handlers: ReadonlyMap<string, AnyHandler>,
  args: object,
): Promise<void> {
  const { subscribe, ...given } = checkArguments(relaySchema, args)
  if (session.inTransaction) {
    throw new InvalidArgumentError(
      'tx',
      'has no relay: each message is delivered in a transaction of its own. Use db.$outbox.relay.',
    )
  }
  given.signal?.throwIfAborted()
  await map.keys.check(session)
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
  const running = new Relay({ root: rootOf(session), map, handlers, clock: systemClock }, settings)
  const end = subscribe?.(() => running.wake())
  try {
    await running.run()
  } finally {
    end?.()
  }
}

export async function dead(session: Session, { map }: OutboxParts, args: object): Promise<DeadMessage[]> {
  const { limit = 100, ...filter } = checkArguments(deadSchema, args)
  return deadMessages(session, map, filter, limit)
}

/** `redrive` or `discard`. */
export async function changeDead(
  session: Session,
  { map, rootOf }: OutboxParts,
  { change, args }: { readonly change: 'redrive' | 'discard'; readonly args: object },
  events?: CallEvents,
): Promise<{ count: number }> {
  const { retry, signal, id, ...others } = checkArguments(filterSchema, args)
  const filter: Filter = { ...others, id: id && keyText(id, map.message.id, 'id') }
  const { policy, deadline } = patienceOf(resolvePolicy(DEFAULT_POLICY, retry), { signal })
  events?.begin(deadline)
  const carryOut = change === 'redrive' ? redrive : discard
  const body = async (tx: TransactionSession) => ({ count: await carryOut(tx, map, filter) })
  if (session.inTransaction) return serializeInTransaction(session, deadline, () => body(session))
  return ownStatements(rootOf(session), { policy, deadline, waitedFor: 'messages of the outbox' }, body)
}
