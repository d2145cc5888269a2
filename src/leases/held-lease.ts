import type { TransactionSession } from '../engine/session.js'
import { InvalidArgumentError, LeaseLostError } from '../errors/index.js'
import { DEFAULT_POLICY } from '../retry/policy.js'
import { jsonText } from '../sql/json-text.js'
import { Deadline } from '../sync/deadline.js'
import { Semaphore } from '../sync/semaphore.js'
import { BodyEnd } from '../transactions/bounded-body.js'
import { FENCE, type Fence } from '../transactions/fence.js'
import type { Place, Taken } from './acquire.js'
import { rowsWithin } from './send.js'
import { type Claim, heartbeatStatement } from './statements.js'
import type { Lease } from './types.js'

/** Of this many heartbeats that are due in a ttl, one has to be confirmed. */
const BEATS = 3

/**
 * The time by which the end in the database may be earlier than this process counts, in ms: its column may round it, and
 * time here is counted in fractions.
 */
const ROUNDING = 1

/**
 * A lease that this process has. The database counts its end from when it carries out a heartbeat, and this process from
 * before it sent the last one that was confirmed, which was earlier. So this process gives it up first, whatever the clocks
 * of the machines say: only the length of a millisecond must be the same for both.
 */
export class HeldLease implements Lease, Fence {
  readonly name: string
  readonly token: bigint
  readonly holder: string
  readonly lastProgress: unknown
  readonly #place: Place
  readonly #claim: Claim
  readonly #end = new BodyEnd()
  readonly #writing = new Semaphore(1)
  /** Until when it can be proved to be held, by the clock of this process. */
  #provenUntil: number
  #lost: LeaseLostError | undefined
  #isOver = false
  #cancelBeat = () => {}
  #cancelEnd = () => {}
  readonly #onLost: () => void

  constructor(place: Place, claim: Claim, taken: Taken, onLost: () => void) {
    this.#place = place
    this.#claim = claim
    this.#onLost = onLost
    this.name = claim.name
    this.holder = claim.holder
    this.token = taken.token
    this.lastProgress = taken.progress === null ? undefined : JSON.parse(taken.progress)
    this.#provenUntil = taken.sent + claim.ttl - ROUNDING
    this.#planBeat(taken.sent + claim.ttl / BEATS)
    this.#planEnd()
  }

  get signal(): AbortSignal {
    this.#look()
    return this.#end.signal
  }

  get isHeld(): boolean {
    this.#look()
    return this.#lost === undefined && !this.#isOver
  }

  /** The error of a lease that is lost. */
  get lost(): LeaseLostError | undefined {
    this.#look()
    return this.#lost
  }

  /** Not an object of plain data, which calls would copy: as the fence of a write it has to be this one. */
  get [Symbol.toStringTag](): string {
    return 'Lease'
  }

  async [FENCE](tx: TransactionSession): Promise<void> {
    const { name, token, holder, isHeld: isProven } = this
    const { assertLease } = await import('./assert.js')
    await assertLease(tx, this.#place.map, {
      lease: this,
      fence: { name, token, holder, isProven },
      timeout: DEFAULT_POLICY.deadline,
      events: undefined,
    })
  }

  async progress(value: unknown): Promise<void> {
    const text = jsonText(value)
    if (text === undefined) throw new InvalidArgumentError('progress', 'must be JSON: a plain value, object or list.')
    // One after the other: two statements at once could be carried out in another order.
    const leave = await this.#writing.acquire()
    try {
      this.#check()
      const left = this.#provenUntil - this.#place.clock.now()
      if (!(await this.#beat(left, text))) this.lose('taken')
    } finally {
      leave()
    }
    this.#check()
  }

  /** The caller wants the body to end. It is held until then. */
  stop(reason: unknown): void {
    this.#end.come(reason)
  }

  /** The body is over. */
  close(): void {
    this.#look()
    this.#isOver = true
    this.#cancelBeat()
    this.#cancelEnd()
    this.#end.come()
  }

  /** It is known to be lost. */
  lose(reason: LeaseLostError['reason']): void {
    if (this.#lost || this.#isOver) return
    this.#lost = new LeaseLostError(this.name, this.token, reason)
    this.#cancelBeat()
    this.#cancelEnd()
    this.#end.come(this.#lost)
    this.#onLost()
  }

  #check(): void {
    if (this.isHeld) return
    throw this.#lost ?? new InvalidArgumentError('lease', 'is over: its body has ended. Await every call in the body.')
  }

  /** Timers may be late, such as when the process was stopped, so the clock is asked whenever it matters. */
  #look(): void {
    if (!this.#isOver && this.#place.clock.now() >= this.#provenUntil) this.lose('expired')
  }

  #planEnd(): void {
    const { clock } = this.#place
    this.#cancelEnd = clock.timer(Math.max(1, Math.ceil(this.#provenUntil - clock.now())), () => {
      this.#look()
      if (this.isHeld) this.#planEnd()
    })
  }

  #planBeat(at: number): void {
    const { clock } = this.#place
    this.#cancelBeat = clock.timer(Math.max(1, at - clock.now()), () => void this.#keep())
  }

  /** One heartbeat of those that come by themselves. One that fails or is late says nothing: the next may come through. */
  async #keep(): Promise<void> {
    const { ttl } = this.#claim
    const interval = ttl / BEATS
    const began = this.#place.clock.now()
    const isHeld = await this.#beat(interval).catch(() => undefined)
    if (isHeld === false) this.lose('taken')
    if (!this.isHeld) return
    // After a failure that came at once, such as of a server that restarts, it is sent again soon.
    this.#planBeat(isHeld ? began + interval : Math.max(began + interval / 5, this.#place.clock.now() + 1))
  }

  /** Whether the database says that it is held. */
  async #beat(patience: number, progress?: string): Promise<boolean> {
    const { session, map, clock } = this.#place
    const sent = clock.now()
    const statement = heartbeatStatement(map, { ...this.#claim, token: this.token }, progress)
    const held = await rowsWithin(session, statement, new Deadline(patience, undefined, clock))
    if (held.length === 0) return false
    this.#provenUntil = Math.max(this.#provenUntil, sent + this.#claim.ttl - ROUNDING)
    return true
  }
}
