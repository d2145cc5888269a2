import { CallersContext } from '../engine/callers-context.js'
import { isConnectionLost, isDeadlock, isTransactionConflict } from '../engine/error-facts.js'
import { type ConcurrencyErrorCode, isConcurrencyError } from '../errors/index.js'
import type { Events } from './events.js'
import type { CallFacts, ConcurrencyEvent, ObservedWork, RetryEvent, WaitEvent } from './types.js'

type Told<E> = E extends CallFacts ? Omit<E, keyof CallFacts> & { readonly model?: string } : never

/** An event without the facts of its call. */
export type OwnFacts = Told<ConcurrencyEvent>

/** Carries the events of a call to where something happens to it: its deadline. */
export interface EventCarrier {
  events: CallEvents | undefined
}

/** A wait that is shorter, in ms, is none. */
const SHORTEST_WAIT = 1

const REFUSALS: ReadonlySet<ConcurrencyErrorCode> = new Set<ConcurrencyErrorCode>([
  'DUPLICATE_SERIALS',
  'IDEMPOTENCY_IN_PROGRESS',
  'IDEMPOTENCY_MISMATCH',
  'INSUFFICIENT_SERIALS',
  'INSUFFICIENT_STOCK',
  'ITEM_NOT_FOUND',
  'LEASE_HELD',
  'MAXIMUM_EXCEEDED',
  'OVERLOADED',
  'RESERVATION_ACTIVE',
  'RESERVATION_ENDED',
  'RESERVATION_EXCEEDED',
  'PERIOD_CLOSED',
  'REVERSAL',
  'ROW_LOCKED',
  'SERIALS_UNAVAILABLE',
  'SERIES_NUMBER',
  'SERIES_OVERFLOW',
])

/** The operations whose result says whether it is a replay. Others give back a record, or what a body of the user's gives. */
const TELLS_REPLAY = /dempotent$|^\$oncePer$|\./

/** The events of one call. It exists only where somebody watches. */
export class CallEvents implements ObservedWork {
  readonly kind = 'call'
  readonly id: number
  readonly operation: string
  readonly model: string | undefined
  readonly events: Events
  readonly #start = performance.now()
  #key: unknown
  #idempotencyKey: unknown
  /** The one that `around` has given it. */
  #context: CallersContext | undefined
  #waitingSince: number | undefined
  #waited = 0

  constructor(events: Events, id: number, operation: string, model: string | undefined) {
    this.events = events
    this.id = id
    this.operation = operation
    this.model = model
  }

  get isWaiting(): boolean {
    return this.#waitingSince !== undefined
  }

  /** How long its last wait in a queue was, in ms. */
  get waited(): number {
    return this.#waited
  }

  /** How long ago it was made, in ms. */
  get age(): number {
    return performance.now() - this.#start
  }

  /** The arguments are known: the key of its events, and the one under which it happens once. */
  begin(carrier: EventCarrier, key?: unknown, idempotencyKey: unknown = key): void {
    carrier.events = this
    if (this.events.givesContexts) this.#context ??= new CallersContext()
    this.#key = key
    this.#idempotencyKey = idempotencyKey
  }

  /** Sends the call alone, once its turn has come: another one, which it has waited for, may have begun that turn. */
  alone<R>(run: () => Promise<R>): Promise<R> {
    return this.#context ? this.#context.run(run) : run()
  }

  tell(event: OwnFacts, key: unknown = this.#key): void {
    this.events.tell(this, event, key)
  }

  /** An attempt has failed. It is told once of an error, by the innermost call that it came to. */
  failed(error: unknown, attempt: number): void {
    const reason = reasonOf(error)
    if ((reason !== 'version' && reason !== 'serialization' && reason !== 'deadlock') || !this.events.isNew(error))
      return
    if (isConcurrencyError(error, 'BATCH_VERSION_CONFLICT')) {
      const { model, conflicts } = error
      for (const { where } of conflicts) this.tell({ type: 'conflict', reason: 'version', attempt, model }, where)
    } else if (isConcurrencyError(error, 'VERSION_CONFLICT')) {
      this.tell({ type: 'conflict', reason: 'version', attempt, model: error.model }, error.where)
    } else if (reason === 'deadlock') this.tell({ type: 'deadlock', attempt })
    else this.tell({ type: 'conflict', reason, attempt })
  }

  /** Rows of an answer that has a verdict for each row were written by somebody else. */
  conflicts(rows: readonly unknown[]): void {
    for (const row of rows) this.tell({ type: 'conflict', reason: 'version', attempt: 1 }, row)
  }

  /** It is tried again after a pause of so many ms. */
  retries(error: unknown, attempt: number, ms: number): void {
    this.tell({ type: 'retry', reason: reasonOf(error), attempt, ms })
  }

  startWaiting(): void {
    this.#waitingSince = performance.now()
  }

  stopWaiting(): void {
    if (this.#waitingSince === undefined) return
    this.#waited = performance.now() - this.#waitingSince
    this.#waitingSince = undefined
    this.waitedFor('queue', this.#waited)
  }

  waitedFor(kind: WaitEvent['kind'], ms: number): void {
    if (ms >= SHORTEST_WAIT) this.tell({ type: 'wait', kind, ms })
  }

  /** It has its result. */
  resolved(result: unknown): void {
    if (!TELLS_REPLAY.test(this.operation) || typeof result !== 'object' || result === null) return
    const isReplay = ('replayed' in result && result.replayed === true) || ('ran' in result && result.ran === false)
    if (isReplay) this.tell({ type: 'replay' }, this.#idempotencyKey)
  }

  rejected(error: unknown): void {
    if (!isConcurrencyError(error) || !this.events.isNew(error)) return
    if (error.code === 'DEADLINE_EXCEEDED') {
      this.tell({ type: 'deadline', ms: error.deadline, waitedFor: error.waitedFor })
    } else if (error.code === 'LOCK_TIMEOUT') {
      this.tell({ type: 'deadline', ms: error.timeout, waitedFor: 'the lock' })
    } else if (error.code === 'OUTCOME_UNKNOWN') this.tell({ type: 'outcome-unknown' })
    else if (REFUSALS.has(error.code)) this.tell({ type: 'refusal', code: error.code })
  }
}

function reasonOf(error: unknown): RetryEvent['reason'] {
  if (isConcurrencyError(error, 'VERSION_CONFLICT') || isConcurrencyError(error, 'BATCH_VERSION_CONFLICT')) {
    return 'version'
  }
  if (isTransactionConflict(error)) return isDeadlock(error) ? 'deadlock' : 'serialization'
  return isConnectionLost(error) ? 'connection' : 'other'
}

/** Sends work for several calls as one: with the events of the calls that are watched. */
export function inBatch<J, R>(
  jobs: readonly J[],
  eventsOf: (job: J) => CallEvents | undefined,
  run: () => Promise<R>,
): Promise<R> {
  const first = jobs[0] && eventsOf(jobs[0])
  return first === undefined
    ? run()
    : first.events.batch(
        jobs.flatMap((job) => eventsOf(job) ?? []),
        run,
      )
}

/** Waits for the answer of a statement that takes a lock. */
export function timed<R>(events: CallEvents | undefined, kind: WaitEvent['kind'], send: () => Promise<R>): Promise<R> {
  if (events === undefined) return send()
  const since = events.age
  return send().finally(() => events.waitedFor(kind, events.age - since))
}
