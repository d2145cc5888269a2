import { rowOf, type TransactionSession } from '../engine/session.js'
import { isConcurrencyError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { assertLease } from '../leases/assert.js'
import { hold } from '../leases/hold.js'
import type { Lease } from '../leases/types.js'
import { DEFAULT_POLICY } from '../retry/policy.js'
import { systemClock } from '../sync/clock.js'
import { partOf, type RetryingRoot } from '../transactions/method.js'
import { errorText } from '../values/error-text.js'
import { look, type NotDue, type Times } from './due.js'
import type { JobParts } from './methods.js'
import { endStatement, type Known, leaseOf, lookStatement, startStatement } from './statements.js'
import type { JobResult, RunningJob } from './types.js'

export interface CheckedJob {
  readonly job: string
  readonly times: Times
  readonly ttl: number
  readonly wait: number
  readonly signal: AbortSignal | undefined
  readonly events: CallEvents | undefined
}

/** It was not due any more when the lease was held. An error, so that the progress of a run that has failed stays. */
class TooLate {
  constructor(readonly answer: NotDue) {}
}

/** One call of `$job`. */
export class JobCaller {
  readonly #root: RetryingRoot
  readonly #parts: JobParts
  readonly #call: CheckedJob

  constructor(root: RetryingRoot, parts: JobParts, call: CheckedJob) {
    this.#root = root
    this.#parts = parts
    this.#call = call
  }

  async run<R>(body: (run: RunningJob) => Promise<R>): Promise<JobResult<R>> {
    const { job, times, ttl, wait, signal, events } = this.#call
    const { map } = this.#parts
    const seen = await look(this.#root, map, job, times)
    if ('status' in seen) return seen
    const place = { session: this.#root, map: map.lease, clock: systemClock }
    try {
      return await hold(place, { name: leaseOf(job), ttl, wait, signal, events }, (lease) => this.#runWith(lease, body))
    } catch (error) {
      if (error instanceof TooLate) return error.answer
      if (isConcurrencyError(error, 'LEASE_HELD') && error.lease === leaseOf(job)) return this.#elsewhere()
      throw error
    }
  }

  /** The one that has the lease may not have noted the run yet. */
  async #elsewhere(): Promise<JobResult<never>> {
    const { state, startedAt, startedBy } = await rowOf<Known>(
      this.#root,
      lookStatement(this.#parts.map, this.#call.job),
    )
    const isNoted = state === 'running' && startedAt !== null
    return {
      status: 'running',
      since: isNoted ? new Date(startedAt) : undefined,
      by: (isNoted && startedBy) || undefined,
    }
  }

  async #runWith<R>(lease: Lease, body: (run: RunningJob) => Promise<R>): Promise<JobResult<R>> {
    const run = await this.#start(lease)
    let result: R
    try {
      result = await body(run)
    } catch (error) {
      // The caller has to hear of the body's error, and of no other.
      if (lease.isHeld) await this.#end(lease, 'failed', errorText(error)).catch(() => {})
      throw error
    }
    await this.#end(lease, 'done')
    return { status: 'ran', result }
  }

  async #start(lease: Lease): Promise<RunningJob> {
    const { job, times } = this.#call
    const { map, startedBy } = this.#parts
    const lastProgress = JSON.stringify(lease.lastProgress)
    const { token } = lease
    const due = await this.#fenced(lease, async (tx) => {
      const seen = await look(tx, map, job, times)
      if ('period' in seen) {
        const period = seen.period?.start
        await tx.rows(startStatement(map, { job, token, period, startedBy, lastProgress }))
      }
      return seen
    })
    if ('status' in due) throw new TooLate(due)
    const period = due.period && { start: new Date(due.period.start), end: new Date(due.period.end) }
    return Object.assign(lease, { job, period })
  }

  /** @throws LeaseLostError if the lease was taken: its new holder notes that this run is lost */
  async #end(lease: Lease, state: 'done' | 'failed', error?: string): Promise<void> {
    const { job } = this.#call
    const { map } = this.#parts
    const outcome = { state, ...(error !== undefined && { error }) }
    const noted = await this.#fenced(lease, (tx) => tx.rows(endStatement(map, { job, token: lease.token }, outcome)))
    if (noted.length === 0)
      throw new Error(`The run ${lease.token} of the job ${job} was deleted while it was running.`)
  }

  /** A transaction that commits only while nobody else has taken the lease. It is tried again as long as that may last. */
  #fenced<T>(lease: Lease, body: (tx: TransactionSession) => Promise<T>): Promise<T> {
    const { ttl, events } = this.#call
    const { lease: map } = this.#parts.map
    const { name, token, holder } = lease
    const limit = Math.max(ttl, DEFAULT_POLICY.deadline)
    const options = { isolationLevel: 'ReadCommitted' as const, retry: { deadline: limit } }
    return this.#root.transactionWithRetry(
      async (tx) => {
        const fence = { name, token, holder, isProven: lease.isHeld }
        await assertLease(tx, map, { lease, fence, limit, timeout: limit, events: undefined })
        return body(tx)
      },
      partOf(events, options),
    )
  }
}
