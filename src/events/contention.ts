import * as s from '../values/schema.js'
import { checkArguments } from '../values/validation.js'
import type { CallEvents } from './call-events.js'
import { type Counted, Histogram, type Quantiles, TopKeys } from './sketches.js'
import type { ConcurrencyEvent, WaitEvent } from './types.js'

/** The counts of one method, for one model where it is a method of models. */
export interface OperationContention {
  readonly operation: string
  readonly model?: string | undefined
  readonly calls: number
  /** Calls that ended in an error, whichever it was. */
  readonly failures: number
  readonly conflicts: number
  readonly deadlocks: number
  readonly retries: number
  readonly replays: number
  readonly refusals: number
  readonly deadlines: number
  readonly unknown: number
  readonly locksLost: number
  /** Conflicts for each call. */
  readonly conflictRate: number
  /** In ms, by what was waited for. Waits of less than 1 ms are left out. */
  readonly waits: Readonly<Partial<Record<WaitEvent['kind'], Quantiles>>>
  /** The sizes of its batches. */
  readonly batches?: Quantiles
}

/** A row, lock, item, series or key that calls met at. */
export interface HotSpot {
  readonly operation: string
  readonly model?: string | undefined
  /** A hash, unless `events: { keys: 'plain' }`. */
  readonly key: string
  /** Conflicts, deadlocks and waits. It is `overcount` too high at most. */
  readonly count: number
  readonly overcount: number
  readonly conflicts: number
  readonly deadlocks: number
  readonly waits: number
  readonly waitedMs: number
}

/** The counts of a client's calls, in this process. JSON can hold it. */
export interface ContentionSnapshot {
  readonly since: string
  readonly until: string
  readonly operations: readonly OperationContention[]
  /** The hottest first. */
  readonly hot: readonly HotSpot[]
}

export interface ContentionOptions {
  /** How many hot spots are told at most. Default 10, at most 100. */
  readonly top?: number
  /** Begins anew, once the snapshot is taken. */
  readonly reset?: boolean
}

/** How many keys are counted at once. */
const KEYS = 100
/** Of methods and models; those beyond it are counted together. */
const MOST_OPERATIONS = 500

const optionsSchema = s.strictObject({
  top: s.optional(s.whole().check((top) => (top > 0 ? undefined : 'must be above 0'))),
  reset: s.optional(s.boolean()),
})

const COUNTERS = {
  conflict: 'conflicts',
  deadlock: 'deadlocks',
  retry: 'retries',
  replay: 'replays',
  refusal: 'refusals',
  deadline: 'deadlines',
  'outcome-unknown': 'unknown',
  'lock-lost': 'locksLost',
} as const

type Counter = (typeof COUNTERS)[keyof typeof COUNTERS]

const counters = (): Record<Counter, number> => ({
  conflicts: 0,
  deadlocks: 0,
  retries: 0,
  replays: 0,
  refusals: 0,
  deadlines: 0,
  unknown: 0,
  locksLost: 0,
})

class Operation {
  calls = 0
  failures = 0
  readonly counters = counters()
  readonly waits = new Map<WaitEvent['kind'], Histogram>()
  batches: Histogram | undefined

  constructor(
    readonly operation: string,
    readonly model: string | undefined,
  ) {}

  read(): OperationContention {
    const { operation, model, calls, failures, counters, waits, batches } = this
    return {
      operation,
      model,
      calls,
      failures,
      ...counters,
      conflictRate: calls === 0 ? 0 : counters.conflicts / calls,
      waits: Object.fromEntries([...waits].map(([kind, histogram]) => [kind, histogram.read()])),
      ...(batches && { batches: batches.read() }),
    }
  }
}

interface Spot {
  conflicts: number
  deadlocks: number
  waits: number
  waitedMs: number
}

type Place = Pick<CallEvents, 'operation' | 'model'>

const OTHERS: Place = { operation: 'others', model: undefined }

/** Counts what the calls of one client meet, in bounded memory. */
export class Contention {
  #since = new Date()
  #operations = new Map<string, Operation>()
  #keys = new TopKeys<Spot>(KEYS, spot)

  /** @param key as it is given, of what the event is about */
  add(place: Place, event: ConcurrencyEvent, key: string | undefined): void {
    const own = this.#of(place)
    if (event.type in COUNTERS) own.counters[COUNTERS[event.type as keyof typeof COUNTERS]]++
    if (event.type === 'batch') (own.batches ??= new Histogram()).add(event.size)
    if (event.type === 'wait') {
      const { kind, ms } = event
      const histogram = own.waits.get(kind) ?? new Histogram()
      own.waits.set(kind, histogram)
      histogram.add(ms)
    }
    const isAtKey = event.type === 'conflict' || event.type === 'deadlock' || event.type === 'wait'
    // A connection is waited for because of all calls, not of the key.
    if (key === undefined || !isAtKey || (event.type === 'wait' && event.kind === 'connection')) return
    const found = this.#keys.count(nameOf(place, key))
    if (event.type === 'conflict') found.conflicts++
    else if (event.type === 'deadlock') found.deadlocks++
    else if (event.type === 'wait') {
      found.waits++
      found.waitedMs += event.ms
    }
  }

  /** A call has ended. */
  ended(place: Place, isFailure: boolean): void {
    const own = this.#of(place)
    own.calls++
    if (isFailure) own.failures++
  }

  /** @throws InvalidArgumentError */
  read(options: ContentionOptions, told: (key: string) => string): ContentionSnapshot {
    const { top = 10, reset = false } = checkArguments(optionsSchema, options)
    const snapshot = {
      since: this.#since.toISOString(),
      until: new Date().toISOString(),
      operations: [...this.#operations.values()].map((operation) => operation.read()),
      hot: this.#keys.top(top).map((entry) => hotSpot(entry, told)),
    }
    if (reset) {
      this.#since = new Date()
      this.#operations = new Map()
      this.#keys = new TopKeys(KEYS, spot)
    }
    return snapshot
  }

  #of({ operation, model }: Place): Operation {
    const name = nameOf({ operation, model }, '')
    const known = this.#operations.get(name)
    if (known) return known
    const isFull = this.#operations.size >= MOST_OPERATIONS
    if (isFull && operation !== OTHERS.operation) return this.#of(OTHERS)
    const made = new Operation(operation, model)
    this.#operations.set(name, made)
    return made
  }
}

function spot(): Spot {
  return { conflicts: 0, deadlocks: 0, waits: 0, waitedMs: 0 }
}

/** One text per place and key: names have no NUL. */
function nameOf({ operation, model = '' }: Place, key: string): string {
  return `${operation}\0${model}\0${key}`
}

function hotSpot({ key: name, count, error, added }: Counted<Spot>, told: (key: string) => string): HotSpot {
  const [operation = '', model = '', ...key] = name.split('\0')
  return {
    operation,
    model: model === '' ? undefined : model,
    key: told(key.join('\0')),
    count,
    overcount: error,
    ...added,
  }
}
