import { isConnectionLost, isTransactionConflict, isUnreachable, sqlState } from '../engine/error-facts.js'
import type { Session, TransactionSession } from '../engine/session.js'
import { isConcurrencyError } from '../errors/index.js'
import { backoff } from '../retry/backoff.js'
import { DEFAULT_POLICY, type ResolvedPolicy } from '../retry/policy.js'
import type { Clock } from '../sync/clock.js'
import { Deadline } from '../sync/deadline.js'
import { Semaphore } from '../sync/semaphore.js'
import type { RetryingRoot } from '../transactions/method.js'
import { inNestedBody } from '../transactions/serialize.js'
import type { Body } from '../transactions/with-retry.js'
import { errorText } from '../values/error-text.js'
import { deleteIdleKeys, fail, finish, giveBack, LOST, nextDue, take } from './deliver.js'
import type { OutboxMap } from './mapping.js'
import { messageOf } from './message.js'
import type { MessageRow } from './statements.js'
import type { AnyHandler, OutboxMessage } from './types.js'

export interface RelayParts {
  readonly root: RetryingRoot
  readonly map: OutboxMap
  readonly handlers: ReadonlyMap<string, AnyHandler>
  readonly clock: Clock
}

/** The settings of a relay, all settled. */
export interface RelaySettings {
  readonly signal: AbortSignal | undefined
  readonly endsWhenEmpty: boolean
  readonly concurrency: number
  readonly pollInterval: number
  readonly timeout: number
  readonly retry: ResolvedPolicy
  readonly onDead: 'stop' | 'skip'
  readonly onError: ((error: unknown, message: OutboxMessage, isDead: boolean) => void) | undefined
}

/** After so many messages, the keys that have none are deleted. */
const CLEANED_AFTER = 1_000

/** Delivers the messages of some topics until it is ended. */
export class Relay {
  readonly #root: RetryingRoot
  readonly #map: OutboxMap
  readonly #handlers: ReadonlyMap<string, AnyHandler>
  readonly #settings: RelaySettings
  readonly #clock: Clock
  readonly #topics: readonly string[]
  /** A worker takes one place of it for a delivery, and all of them for one that has to be alone. */
  readonly #places: Semaphore
  /** The messages of runs that were rolled back for a conflict, until one of its workers takes them again. */
  readonly #rolledBack = new Set<string>()
  /** Ends the sleep of each worker that waits for a message. */
  readonly #sleepers = new Set<() => void>()
  #next: Promise<number> | undefined
  /** How often it was woken. */
  #wakes = 0
  #sent = 0
  #failure: { readonly error: unknown } | undefined

  constructor({ root, map, handlers, clock }: RelayParts, settings: RelaySettings) {
    this.#root = root
    this.#map = map
    this.#handlers = handlers
    this.#settings = settings
    this.#clock = clock
    this.#topics = [...handlers.keys()]
    this.#places = new Semaphore(settings.concurrency)
  }

  async run(): Promise<void> {
    const { signal, concurrency } = this.#settings
    const end = () => this.wake()
    signal?.addEventListener('abort', end)
    try {
      await Promise.all(Array.from({ length: concurrency }, (_, i) => this.#work(i)))
      if (!this.#failure) await this.#clean()
    } finally {
      signal?.removeEventListener('abort', end)
    }
    if (this.#failure) throw this.#failure.error
  }

  /** All that wait look again. */
  wake(): void {
    this.#wakes++
    for (const rouse of [...this.#sleepers]) rouse()
  }

  get #hasEnded(): boolean {
    return this.#failure !== undefined || (this.#settings.signal?.aborted ?? false)
  }

  /** @param turn the topic that it begins with: each worker has another one, so that none has to wait for the others */
  async #work(turn: number): Promise<void> {
    for (let failures = 0; !this.#hasEnded; ) {
      const wakes = this.#wakes
      try {
        const found = await this.#deliverNext(turn)
        failures = 0
        if (found !== undefined) turn = found
        else if (this.#settings.endsWhenEmpty) return
        else await this.#sleep(await this.#untilDue(), wakes)
      } catch (error) {
        if (isPermanent(error)) this.#failure ??= { error }
        if (this.#failure) return this.wake()
        failures++
        await this.#sleep(
          backoff(failures, { ...DEFAULT_POLICY, maxDelay: this.#settings.pollInterval }, this.#clock),
          wakes,
        )
      }
    }
  }

  /** Delivers a message, if there is one that is due; resolves to the topic whose turn is the next one. */
  async #deliverNext(turn: number): Promise<number | undefined> {
    for (let i = 0; i < this.#topics.length; i++) {
      const topic = this.#topics[(turn + i) % this.#topics.length]
      if (topic !== undefined && (await this.#deliver(topic))) return turn + i + 1
    }
    return undefined
  }

  /**
   * Whether there was a message. One whose delivery was lost may be what kills its process, so it is delivered alone: the
   * others that were lost with it are not lost again.
   */
  async #deliver(topic: string): Promise<boolean> {
    const { concurrency } = this.#settings
    const found = await this.#deliverBeside(topic, 1)
    return (found === 'given back' ? await this.#deliverBeside(topic, concurrency) : found) !== undefined
  }

  /** @param places how many are taken: with all of them, no other delivery of this relay is under way */
  async #deliverBeside(topic: string, places: number): Promise<'delivered' | 'given back' | undefined> {
    const release = await this.#places.acquire(undefined, undefined, places)
    try {
      return this.#hasEnded ? undefined : await this.#deliverOne(topic, places === this.#settings.concurrency)
    } finally {
      release()
    }
  }

  /** It is given back if it has to be delivered alone, and is not. */
  async #deliverOne(topic: string, isAlone: boolean): Promise<'delivered' | 'given back' | undefined> {
    const { timeout } = this.#settings
    const delivery: Delivery = { isAlone, row: undefined, failure: undefined, begun: undefined, isGivenBack: false }
    const body: Body<void> = (tx, { signal }) =>
      this.#deliverIn(tx, topic, delivery, signal).catch((error: unknown) => {
        // Also for the worker that takes the message next: a lost connection is a lost delivery, and a conflict is not.
        if (isTransactionConflict(error) && delivery.begun !== undefined) this.#rolledBack.add(delivery.begun)
        if (isConnectionLost(error)) delivery.begun = undefined
        throw error
      })
    try {
      await this.#root.transactionWithRetry(body, {
        isolationLevel: 'ReadCommitted',
        timeout,
        retry: { deadline: timeout },
      })
    } catch (error) {
      // Where the connection is gone, the one that takes it next finds out.
      if (delivery.row === undefined || isLost(error)) throw error
      await this.#note(this.#root, delivery.row, error)
      delivery.failure = { error }
    }
    const { row, failure, isGivenBack } = delivery
    if (isGivenBack) return 'given back'
    if (row === undefined) return undefined
    const { onError, retry } = this.#settings
    if (failure) onError?.(failure.error, messageOf(topic, row), row.attempts + 1 >= retry.attempts)
    this.#sent++
    if (this.#sent % CLEANED_AFTER === 0) await this.#clean()
    return 'delivered'
  }

  /**
   * The handler has a savepoint, so that its failure is noted in the transaction that holds the message. If it were noted
   * after that, another relay could take the message before, and would not know that it is to be waited for.
   */
  async #deliverIn(tx: TransactionSession, topic: string, delivery: Delivery, signal: AbortSignal): Promise<void> {
    Object.assign(delivery, { row: undefined, failure: undefined, isGivenBack: false }) // of a run that was rolled back
    const row = await take(tx, this.#map, topic)
    if (row === undefined) return
    delivery.row = row
    // Where there is one, there may be more: one worker more is told, and tells the next.
    this.#sleepers.values().next().value?.()
    // A run of ours that was rolled back for a conflict has left its lock in the row, too: nobody was lost.
    const isOurs = this.#rolledBack.delete(row.id) || row.id === delivery.begun
    if (row.hasLostOne && !isOurs) {
      delivery.failure = { error: new Error(LOST) }
      // Most processes that end were only stopped: so it comes again at once, and later from the second time on.
      return this.#note(tx, row, delivery.failure.error, row.attempts)
    }
    delivery.begun = row.id
    if (row.isSuspect && !delivery.isAlone) {
      Object.assign(delivery, { row: undefined, isGivenBack: true }) // it has not failed, however this ends
      return giveBack(tx, this.#map, row)
    }
    let hasBegun = false
    try {
      const handler = this.#handlers.get(topic)
      const deadline = new Deadline(this.#settings.timeout, undefined, this.#clock)
      await inNestedBody(tx, deadline, async (inner) => {
        hasBegun = true
        return handler?.(messageOf(topic, row), inner.client, { signal })
      })
    } catch (error) {
      if (!hasBegun && isPermanent(error)) {
        delivery.row = undefined // it is not the message that fails
        throw error
      }
      if (isTransactionConflict(error)) throw error // all of it runs again
      delivery.failure = { error }
      return this.#note(tx, row, error)
    }
    await finish(tx, this.#map, topic, row)
  }

  /** @param waits how often it was waited for with this failure; with 0 it is due at once */
  #note(session: Session, row: MessageRow, error: unknown, waits = row.attempts + 1): Promise<void> {
    const { retry, onDead } = this.#settings
    const retryIn = waits === 0 ? 0 : backoff(waits, retry, this.#clock)
    const next = row.attempts + 1 >= retry.attempts ? onDead : { retryIn }
    return fail(session, this.#map, row, { error: errorText(error), next })
  }

  async #clean(): Promise<void> {
    await deleteIdleKeys(this.#root, this.#map, this.#topics)
  }

  /** How long there is nothing to do, in ms. One look serves all that wait. */
  #untilDue(): Promise<number> {
    this.#next ??= nextDue(this.#root, this.#map, this.#topics)
      .then((ms) => {
        const { pollInterval } = this.#settings
        // A message that is due now is under way: with others, or with another worker.
        return ms === undefined || ms === 0 ? pollInterval : Math.min(ms, pollInterval)
      })
      .finally(() => {
        this.#next = undefined
      })
    return this.#next
  }

  /** @param wakes how often it had been woken before the look that has found nothing to do */
  #sleep(ms: number, wakes: number): Promise<void> {
    if (this.#hasEnded || this.#wakes !== wakes) return Promise.resolve()
    return new Promise((resolve) => {
      const rouse = () => {
        cancel()
        this.#sleepers.delete(rouse)
        resolve()
      }
      const cancel = this.#clock.timer(ms, rouse)
      this.#sleepers.add(rouse)
    })
  }
}

/** The state of a delivery. */
interface Delivery {
  /** Whether it is the only one of its relay. */
  readonly isAlone: boolean
  row: MessageRow | undefined
  failure: { readonly error: unknown } | undefined
  /** The message that was taken last, by a run that has not lost its connection. */
  begun: string | undefined
  isGivenBack: boolean
}

function isLost(error: unknown): boolean {
  return isConnectionLost(error) || isUnreachable(error) || isConcurrencyError(error, 'OUTCOME_UNKNOWN')
}

/** Errors that no time mends: a table is missing, or a right, or it is a mistake of ours. Anything else is waited out. */
function isPermanent(error: unknown): boolean {
  const isRefused = sqlState(error)?.startsWith('42') ?? false
  return isRefused || error instanceof TypeError || isConcurrencyError(error, 'CONFIGURATION')
}
