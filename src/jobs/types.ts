import type { Lease } from '../leases/types.js'

/** The options of `$job` besides when the job is due. */
export interface JobCallOptions {
  /**
   * How long the lease of the job lasts after its last heartbeat, in ms: so long nobody takes over from a process that was
   * killed. Default 30,000.
   */
  ttl?: number | undefined
  /** How long to wait while the job runs elsewhere, in ms. Default 0: the call is answered at once. */
  wait?: number | undefined
  /**
   * After a run that has failed, how long it is not tried again: a number of ms, or a text such as `'10m'`. Default 0: the
   * next call runs it.
   */
  retryAfter?: string | number | undefined
  /** Ends the wait, and aborts the signal of the run. */
  signal?: AbortSignal | undefined
}

/** Once in each period of a grid of local time. */
export interface EveryOptions extends JobCallOptions {
  /** How long a period is: a number of ms, or a text such as `'15m'`, `'1h'` or `'1d'`; as `every` of `$oncePer`. */
  every: string | number
  /** The time zone of the local time, such as `'Europe/Vienna'`. Default `'UTC'`. */
  timeZone?: string | undefined
  /** How much later each period begins, such as `'2h'`. Shorter than `every`. Default 0. */
  offset?: string | number | undefined
  /**
   * The periods since the last success in which it has not run: `skip`, the default, leaves them out; `catchUp` runs the
   * job for each of them, the first one first, one with each call.
   */
  missed?: 'skip' | 'catchUp' | undefined
  atLeast?: never
  cron?: never
}

/** When the last success is so long ago, or if there was none yet. */
export interface AtLeastOptions extends JobCallOptions {
  /** The pause: a number of ms, or a text such as `'23h'`. */
  atLeast: string | number
  every?: never
  cron?: never
  timeZone?: never
  offset?: never
  missed?: never
}

/** Once from each time of a cron expression to the next one. */
export interface CronOptions extends JobCallOptions {
  /**
   * Five fields, or six with seconds, such as `'0 3 * * *'`; or `'@daily'`. It only says when the job is due: something has to
   * call `$job`.
   */
  cron: string
  /** The time zone of its times, such as `'Europe/Vienna'`. Default `'UTC'`. */
  timeZone?: string | undefined
  /** As of `every`: a period is the time from one of its times to the next. */
  missed?: 'skip' | 'catchUp' | undefined
  every?: never
  atLeast?: never
  offset?: never
}

/** When a job is due. */
export type JobOptions = EveryOptions | AtLeastOptions | CronOptions

/** A run of a job, as its body has it: it is a lease, for `tx.$assertLease(run)`. */
export interface RunningJob extends Lease {
  /** The name of the job. */
  readonly job: string
  /** The period that it runs for; `undefined` with `atLeast`. */
  readonly period: { readonly start: Date; readonly end: Date } | undefined
}

/** The outcome of a call of `$job`. */
export type JobResult<R> =
  | { readonly status: 'ran'; readonly result: R }
  /** It has run already, `since` then, and is due again at `next`. */
  | { readonly status: 'done'; readonly since: Date; readonly next: Date }
  /** It is running elsewhere, `since` then, and `by` whom; `undefined` where that is not noted yet. */
  | { readonly status: 'running'; readonly since: Date | undefined; readonly by: string | undefined }
  /** Its last run has failed, `since` then, and it is tried again from `next` on. */
  | { readonly status: 'failed'; readonly since: Date; readonly next: Date; readonly error: string }

/** The state of a run: `lost` if its process ended, or was cut off, before it could say. */
export type JobState = 'running' | 'done' | 'failed' | 'lost'

/** A run of the history. */
export interface JobRun {
  readonly job: string
  /** The token of its lease: each run of a job has a higher one. */
  readonly token: bigint
  readonly state: JobState
  /** The beginning of the period that it was for. */
  readonly period: Date | undefined
  readonly startedAt: Date
  /** Of a run that is lost: when the next one found that. */
  readonly endedAt: Date | undefined
  /** How long it took, in ms; so far, while it is running. */
  readonly duration: number
  readonly startedBy: string | undefined
  readonly error: string | undefined
  /** Its last `run.progress`, or what the run before has left it. */
  readonly progress: unknown
}

export interface JobHistoryOptions {
  /** Default: the runs of all jobs. */
  job?: string | undefined
  state?: JobState | undefined
  /** Default 100. */
  limit?: number | undefined
}

export interface PruneJobHistoryOptions {
  /** Deletes runs that began more than so many ms ago, by the database's clock. */
  olderThan: number
  /** Default: of all jobs. */
  job?: string | undefined
  /** How many rows each statement deletes at most. Default 1,000. */
  batchSize?: number | undefined
}

/** The methods of jobs that the client has. */
export interface JobClientMethods {
  /**
   * Runs a job if it is due, on one machine at a time: any scheduler on any number of machines may call it every minute. The
   * body takes as long as it likes; it has a lease of `$withLease` meanwhile, with its signal, progress and fence. The clock
   * is the database's.
   *
   * A run that ends is noted behind the fence, so a holder that has lost the lease cannot say that the job is done. If the
   * body throws, the run has failed, and the next call runs the job again, after `retryAfter`. If the process dies, the next
   * call after the `ttl` does, with `run.lastProgress`. So the body may run twice for a period: for work that is all in the
   * database and short, `$oncePer` does it once.
   *
   * @throws the error of the body
   * @throws LeaseLostError if the lease was lost before the run had ended. An error of the body is its cause
   * @throws InvalidArgumentError for a period or a time zone that cannot be right; and on the `tx` of a transaction
   *
   * @example
   * const outcome = await db.$job('nightly-report', { every: '1d', timeZone: 'Europe/Vienna' }, async (run) => {
   *   await rebuild(run)
   * })
   * if (outcome.status === 'done') console.log(`it is due again at ${outcome.next}`)
   */
  $job<R>(name: string, options: JobOptions, body: (run: RunningJob) => Promise<R>): Promise<JobResult<R>>

  /**
   * The runs of a job, or of all, the last one first.
   *
   * @example
   * const [success] = await db.$jobHistory({ job: 'nightly-report', state: 'done', limit: 1 })
   */
  $jobHistory(options?: JobHistoryOptions): Promise<JobRun[]>

  /**
   * Deletes old runs, in batches. The last success of a job stays, since it says when the job is due, and so does its last run.
   *
   * @example
   * await db.$pruneJobHistory({ olderThan: 90 * 24 * 3_600_000 })
   */
  $pruneJobHistory(options: PruneJobHistoryOptions): Promise<{ count: number }>
}
