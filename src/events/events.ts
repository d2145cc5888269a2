import { ConfigurationError } from '../errors/index.js'
import { canonical } from '../values/canonical.js'
import { sha256 } from '../values/sha256.js'
import { CallEvents, type OwnFacts } from './call-events.js'
import type { Contention, ContentionOptions, ContentionSnapshot } from './contention.js'
import type { EventOptions, ObservedWork } from './types.js'

/** Runs in Node, and elsewhere. */
declare const process: { emitWarning?(warning: string): void } | undefined

let calls = 0

/** The listeners of one client. */
export class Events {
  readonly #options: EventOptions
  /** Errors that have been told. */
  readonly #known = new WeakSet<object>()
  #hasReported = false
  #contention: Contention | undefined
  readonly #loaded: Promise<Contention> | undefined

  constructor(options: EventOptions) {
    this.#options = options
    if (!options.contention) return
    this.#loaded = import('./contention.js').then(({ Contention }) => (this.#contention = new Contention()))
    this.#loaded.catch(() => {}) // it is told to those who ask for it
  }

  get isHeard(): boolean {
    return this.#options.onEvent !== undefined
  }

  /** Whether the calls may have async contexts of their own. */
  get givesContexts(): boolean {
    return this.#options.around !== undefined
  }

  /** @throws ConfigurationError where nothing was counted */
  async contention(options: ContentionOptions = {}): Promise<ContentionSnapshot> {
    if (this.#loaded === undefined) throw notCounted()
    return (await this.#loaded).read(options, (key) => this.#told(key) ?? '')
  }

  /** Whether the error has not been told yet. From now on it has. */
  isNew(error: unknown): boolean {
    if (typeof error !== 'object' || error === null) return true
    const isNew = !this.#known.has(error)
    this.#known.add(error)
    return isNew
  }

  /** Runs a public call. */
  call<R>(operation: string, model: string | undefined, run: (events: CallEvents) => Promise<R>): Promise<R> {
    const call = new CallEvents(this, ++calls, operation, model)
    return this.#within(call, async () => {
      try {
        const result = await run(call)
        this.#contention?.ended(call, false)
        call.resolved(result)
        return result
      } catch (error) {
        this.#contention?.ended(call, true)
        call.rejected(error)
        throw error
      }
    })
  }

  /** Sends several calls as one. */
  batch<R>(batch: readonly CallEvents[], run: () => Promise<R>): Promise<R> {
    const [first] = batch
    if (first === undefined) return run()
    if (batch.length === 1) return first.alone(run)
    const ids = batch.map(({ id }) => id)
    const ms = Math.max(...batch.map(({ waited }) => waited))
    first.tell({ type: 'batch', size: batch.length, ms, calls: ids }, undefined)
    const { id, operation, model } = first
    return this.#within({ kind: 'batch', id, operation, model, calls: ids, isWaiting: false }, run)
  }

  tell(call: CallEvents, own: OwnFacts, given: unknown): void {
    const { onEvent } = this.#options
    if (onEvent === undefined && this.#contention === undefined) return
    const key = given === undefined || typeof given === 'string' ? given : canonical(given)
    const { id, operation, model } = call
    const event = { call: id, operation, model, ...own }
    this.#contention?.add(event, event, key)
    if (onEvent === undefined) return
    this.#guarded(
      () => onEvent({ ...event, key: key === undefined ? undefined : this.#told(key) }),
      (error) => this.#report(error),
    )
  }

  /** A key as it may be told. */
  #told(key: string): string | undefined {
    return this.#options.events?.keys === 'plain' ? key : hashOf(key)
  }

  /** The work is done whatever `around` does, and once. */
  #within<R>(work: ObservedWork, run: () => Promise<R>): Promise<R> {
    const { around } = this.#options
    if (around === undefined) return run()
    let running: Promise<R> | undefined
    const start = () => (running ??= run())
    this.#guarded(
      () => around(work, start),
      () => {}, // the promise of the work itself, most likely
    )
    return start()
  }

  /** Calls a listener: neither what it throws, nor a promise of its that is rejected, comes to the call. */
  #guarded(listener: () => unknown, onRejected: (error: unknown) => void): void {
    try {
      const answer = listener()
      if (typeof answer === 'object' && answer !== null) Promise.resolve(answer).catch(onRejected)
    } catch (error) {
      this.#report(error)
    }
  }

  #report(error: unknown): void {
    if (this.#hasReported) return
    this.#hasReported = true
    if (typeof process === 'undefined') return
    process.emitWarning?.(`A listener of prisma-extension-concurrency has thrown, which changes nothing: ${error}`)
  }
}

/** The listeners that the options name; `undefined` where there are none, so that nothing is made for them. */
export function eventsOf(options: EventOptions): Events | undefined {
  return options.onEvent || options.around || options.contention ? new Events(options) : undefined
}

/** Runs a public call, with its events where somebody listens. */
export function observed<R>(
  events: Events | undefined,
  operation: string,
  model: string | undefined,
  run: (events?: CallEvents) => Promise<R>,
): Promise<R> {
  return events === undefined ? run() : events.call(operation, model, run)
}

/** The method `$contention`. */
export async function contentionOf(
  events: Events | undefined,
  options?: ContentionOptions,
): Promise<ContentionSnapshot> {
  if (events === undefined) throw notCounted()
  return events.contention(options)
}

function notCounted(): ConfigurationError {
  const message = 'must be true, so that there is something to tell: concurrency({ contention: true })'
  return new ConfigurationError([{ path: 'contention', message }])
}

function hashOf(text: string): string | undefined {
  try {
    return sha256(text).slice(0, 16)
  } catch {
    return undefined // no Node
  }
}
