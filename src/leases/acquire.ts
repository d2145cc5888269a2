import { isLockTimeout, isTransactionConflict } from '../engine/error-facts.js'
import type { RootSession, Row, SqlStatement } from '../engine/session.js'
import { isConcurrencyError, LeaseHeldError } from '../errors/index.js'
import { isNoAnswer } from '../retry/ambiguous-outcome.js'
import { DEFAULT_TRANSACTION } from '../retry/policy.js'
import type { Clock } from '../sync/clock.js'
import { Deadline } from '../sync/deadline.js'
import type { LeaseMap } from './mapping.js'
import { rowsWithin } from './send.js'
import {
  type Claim,
  heartbeatStatement,
  insertStatement,
  type LeaseState,
  lookStatement,
  PLACE_LASTS,
  queueStatement,
  releaseStatement,
  type TakenRow,
  takeStatement,
} from './statements.js'

/** Where leases are kept, and the time of this process. */
export interface Place {
  readonly session: RootSession
  readonly map: LeaseMap
  readonly clock: Clock
}

export interface Taken extends TakenRow {
  /** This process's time before it sent the statement that has set the end of the lease. */
  readonly sent: number
}

/** How long a new holder waits for a fenced transaction in one statement, in ms: so long it holds a connection. */
const SHORTEST_PATIENCE = 1_000
const LONGEST_PATIENCE = 5_000

/** How long an answer may take besides, in ms: as a connection may. */
const answer = () => DEFAULT_TRANSACTION.maxWait

/** The longest pause between two looks, in ms, of the first in the queue, and of any. */
const FIRST_PAUSE = 100
const LONGEST_PAUSE = 1_000

/** A caller that is alone meets another writer of the row a few times at most. */
const MOST_CONFLICTS = 20

/** Takes a lease: waits for it until the deadline. */
export class Acquisition {
  readonly #place: Place
  readonly #claim: Claim
  readonly #deadline: Deadline
  /** When the place in the queue was asked for. */
  #queuedAt = Number.NEGATIVE_INFINITY
  #conflicts = 0
  readonly #waits: boolean
  /** Whether a statement was not answered: it may have taken the lease. */
  #isUnsure = false
  /** The last statement. */
  #pending: Promise<unknown> = Promise.resolve()

  constructor(place: Place, claim: Claim, deadline: Deadline) {
    this.#place = place
    this.#claim = claim
    this.#deadline = deadline
    this.#waits = !deadline.passed()
  }

  /**
   * @throws LeaseHeldError if it is not to be had until the deadline
   */
  async take(): Promise<Taken> {
    try {
      for (;;) {
        this.#deadline.signal?.throwIfAborted()
        const outcome = await this.#attempt()
        if ('token' in outcome) return outcome
        await this.#deadline.sleep(outcome.pause)
      }
    } catch (error) {
      // Nothing is to be given back by a caller that was refused at once.
      const hasPlace = this.#queuedAt > Number.NEGATIVE_INFINITY
      if (hasPlace || this.#isUnsure || this.#deadline.signal?.aborted) this.#leave()
      throw error
    }
  }

  /** Takes the lease, or says how long to wait until the next attempt. */
  async #attempt(): Promise<Taken | { readonly pause: number }> {
    const isLast = this.#deadline.passed()
    try {
      // The first in the queue, and a caller that has just come, try to take it.
      const known = this.#queuedAt > Number.NEGATIVE_INFINITY ? await this.#look() : undefined
      if (known && (!known.isFree || known.ahead > 0)) {
        if (isLast) throw this.#held(known)
        return { pause: this.#pauseOf(known) }
      }
      const taken = await this.#take()
      if (taken) return taken
      const state = await this.#look()
      if (state === undefined) return (await this.#insert()) ?? { pause: 0 }
      if (isLast) throw this.#held(state)
      return { pause: this.#pauseOf(state) }
    } catch (error) {
      if (isTransactionConflict(error) && ++this.#conflicts < MOST_CONFLICTS) {
        return { pause: this.#place.clock.random() * 10 * this.#conflicts }
      }
      if (isConcurrencyError(error, 'CONFIGURATION')) throw error // no time mends it, and nothing was written
      if (!isLockTimeout(error)) this.#isUnsure = true
      // A fenced transaction of the holder before is open.
      if (isLockTimeout(error) && isLast) throw this.#held({ endsIn: 0 }, error)
      if (isLast || !(isLockTimeout(error) || isNoAnswer(error))) throw error
      return { pause: FIRST_PAUSE }
    }
  }

  async #take(): Promise<Taken | undefined> {
    const { map, clock } = this.#place
    const patience = Math.min(LONGEST_PATIENCE, Math.max(SHORTEST_PATIENCE, this.#deadline.left()))
    const sent = clock.now()
    const [row] = await this.#send<TakenRow>(takeStatement(map, this.#claim, patience), patience)
    return row && this.#inTime(row, sent)
  }

  async #insert(): Promise<Taken | undefined> {
    const { map, clock } = this.#place
    const sent = clock.now()
    const [row] = await this.#send<TakenRow>(insertStatement(map, this.#claim))
    return row && this.#inTime(row, sent)
  }

  /** A lease that was waited for in the statement has less time left than it could be proved to have: a heartbeat tells. */
  async #inTime(row: TakenRow, sent: number): Promise<Taken | undefined> {
    const { map, clock } = this.#place
    const { ttl } = this.#claim
    if (clock.now() - sent < ttl / 3) return { ...row, sent }
    const again = clock.now()
    const held = await this.#send(heartbeatStatement(map, { ...this.#claim, token: row.token }))
    return held.length > 0 ? { ...row, sent: again } : undefined
  }

  /** Reads the state. A caller that waits takes a place in the queue, and asks for it again before it is over. */
  async #look(): Promise<LeaseState | undefined> {
    const { map, clock } = this.#place
    const now = clock.now()
    const queues = this.#waits && now - this.#queuedAt > PLACE_LASTS / 3
    const statement = queues ? queueStatement(map, this.#claim) : lookStatement(map, this.#claim)
    const [state] = await this.#send<LeaseState>(statement)
    if (queues && state) this.#queuedAt = now
    return state
  }

  #pauseOf({ ahead, endsIn, isFree }: LeaseState): number {
    const { random } = this.#place.clock
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * (1 + ahead)) * (0.75 + random() / 4)
    return ahead > 0 || isFree ? pause : Math.min(pause, endsIn + 1)
  }

  #held({ endsIn }: Pick<LeaseState, 'endsIn'>, cause?: unknown): LeaseHeldError {
    const { duration } = this.#deadline
    return new LeaseHeldError(this.#claim.name, Math.ceil(endsIn), duration, cause === undefined ? {} : { cause })
  }

  #send<R extends object = Row>(statement: SqlStatement, patience = 0): Promise<R[]> {
    const { session, clock } = this.#place
    const work = rowsWithin<R>(session, statement, new Deadline(patience + answer(), undefined, clock))
    this.#pending = work
    // The caller's signal ends the wait; the statement runs on.
    return new Deadline(patience + 2 * answer(), this.#deadline.signal, clock).race(work, 'the lease')
  }

  /** Leaves nothing behind, as far as the server can be reached: else it ends by itself. */
  #leave(): void {
    const { session, map, clock } = this.#place
    const release = () =>
      rowsWithin(session, releaseStatement(map, this.#claim, false), new Deadline(answer(), undefined, clock))
    // Behind the statement that is under way, which may take the lease yet.
    this.#pending.then(release, release).catch(() => {})
  }
}
