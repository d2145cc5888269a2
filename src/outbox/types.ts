import type { CallOptions } from '../retry/call-options.js'

/** A value that JSON has a form for. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [name: string]: JsonValue }

/** The payloads by their topics, as the options name them. */
export type TopicsOf<O> = O extends { readonly topics: infer T extends object } ? T : Record<string, JsonValue>

/** A message as a handler gets it. */
export interface OutboxMessage<Topic extends string = string, Payload = JsonValue> {
  /** The same in each delivery: the idempotency key for the other side. */
  readonly id: string
  readonly topic: Topic
  /** `undefined` for a message that was added without one. */
  readonly key: string | undefined
  /** Higher than that of each message before it with its key, as long as the clock of the database is not set back. */
  readonly position: bigint
  readonly payload: Payload
  /**
   * 1 in the first delivery, 2 in the second, …: one whose process was killed counts, too. A delivery that is rolled back
   * for a conflict runs again under its number, unless another relay takes the message first.
   */
  readonly attempt: number
  readonly createdAt: Date
}

/** A message that is not tried any more. */
export interface DeadMessage<Topic extends string = string, Payload = JsonValue> extends OutboxMessage<Topic, Payload> {
  readonly deadAt: Date
  /** The message of the last error. */
  readonly error: string
}

/** The context that a handler is given besides the message and the `tx`. */
export interface DeliveryContext {
  /** Aborted when the time of the delivery is up. */
  readonly signal: AbortSignal
}

/**
 * Delivers one message. Its writes by `tx` are committed together with the note that the message was sent, or not at all.
 * Its effects elsewhere may come again: give the other side `message.id`.
 */
export type Handler<Topic extends string, Payload, Tx> = (
  message: OutboxMessage<Topic, Payload>,
  tx: Tx,
  context: DeliveryContext,
) => Promise<unknown>

/** A handler, of whatever topic it is. */
export type AnyHandler = Handler<string, JsonValue, object>

export interface AddOptions {
  /** Messages of one key are sent one after the other, in the order of their commits. */
  readonly key?: string | undefined
}

export interface RelayOptions {
  /** Ends the relay: no further message is taken, and what is under way is waited for. */
  readonly signal?: AbortSignal | undefined
  /** With `empty` it ends when no message is due. Default: it goes on until the signal. */
  readonly until?: 'empty' | undefined
  /** How many messages are delivered at a time; each takes a connection. Default 4. */
  readonly concurrency?: number | undefined
  /** How long it waits at most before it looks again, in ms. Default 1,000. */
  readonly pollInterval?: number | undefined
  /** How long a delivery may take, in ms. Default 30,000. */
  readonly timeout?: number | undefined
  /** How a message is tried again: `attempts` (default 10), `baseDelay` (1,000 ms) and `maxDelay` (3,600,000 ms). */
  readonly retry?: { readonly attempts?: number; readonly baseDelay?: number; readonly maxDelay?: number } | undefined
  /**
   * The fate of the messages behind one that is dead: with `stop` they wait until it is redriven or discarded, with
   * `skip` they are sent. Default `stop`.
   */
  readonly onDead?: 'stop' | 'skip' | undefined
  /**
   * Tells the relay of new messages: it calls your function once, with one that lets it look at once. A function
   * that yours returns is called at the end.
   */
  readonly subscribe?: ((wake: () => void) => (() => void) | undefined) | undefined
  /** Told of each failure of a handler. */
  readonly onError?: ((error: unknown, message: OutboxMessage, isDead: boolean) => void) | undefined
}

export interface DeadOptions {
  readonly topic?: string | undefined
  readonly key?: string | undefined
  /** How many at most. Default 100. */
  readonly limit?: number | undefined
}

/** Which dead messages are meant: those that fit each of what is given. */
export interface DeadFilter extends CallOptions {
  readonly topic?: string | undefined
  readonly key?: string | undefined
  readonly id?: string | undefined
}

/** The topics' payloads as JSON gives them back. */
type Payload<T, K> = K extends keyof T ? T[K] : JsonValue

/**
 * `db.$outbox`, and `tx.$outbox` inside a transaction. `T` are the payloads by their topics, and `Tx` is the `tx` that a
 * handler is given.
 */
export interface Outbox<T = Record<string, JsonValue>, Tx = object> {
  /**
   * Adds a message that is sent if the transaction is committed, and only then. With a `key` it is sent behind the messages
   * of that key that were committed before: `add` locks the key until the transaction ends.
   *
   * @throws TransactionRequiredError outside a transaction
   * @throws InvalidArgumentError for a payload that JSON has no form for
   *
   * @example
   * await db.$transactionWithRetry(async (tx) => {
   *   const order = await tx.order.create({ data: { customer } })
   *   await tx.$outbox.add('order.created', { orderId: order.id }, { key: `order ${order.id}` })
   * })
   */
  add<K extends keyof T & string>(
    topic: K,
    payload: T[K],
    options?: AddOptions,
  ): Promise<{ readonly id: string; readonly position: bigint }>

  /**
   * Sends the messages of some topics, each at least once: those of one key one after the other, by one relay at a time,
   * of all that run on any machines. It lasts until its `signal` is aborted. A relay that is killed holds nothing up: its
   * messages are free with its connections.
   *
   * A message that fails is tried again later, and holds up those of its key. One that has failed `retry.attempts` times
   * is dead; a delivery whose process was killed has failed, too.
   *
   * @throws InvalidArgumentError on a `tx`
   * @throws the errors of the database that no time mends, such as a missing table; anything else is waited out
   *
   * @example
   * await db.$outbox.relay(
   *   { 'order.created': (message) => mailer.send(message.payload, { idempotencyKey: message.id }) },
   *   { signal },
   * )
   */
  relay(
    handlers: { readonly [K in keyof T & string]?: Handler<K, Payload<T, K>, Tx> },
    options?: RelayOptions,
  ): Promise<void>

  /**
   * The messages that are not tried any more, those that died first in front.
   *
   * @example
   * for (const { id, error } of await db.$outbox.dead({ topic: 'order.created' })) console.log(id, error)
   */
  dead(options?: DeadOptions): Promise<DeadMessage[]>

  /**
   * Has dead messages sent after all: one that has stopped its key in its place, and one that was skipped behind all others
   * of its key.
   *
   * @example
   * const { count } = await db.$outbox.redrive({ topic: 'order.created' })
   */
  redrive(filter: DeadFilter): Promise<{ readonly count: number }>

  /**
   * Deletes dead messages, and lets their keys go on.
   *
   * @example
   * await db.$outbox.discard({ topic: 'order.created' })
   */
  discard(filter: DeadFilter): Promise<{ readonly count: number }>
}
