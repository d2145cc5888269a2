import type { RootSession, Session } from '../engine/session.js'
import { type Events, observed } from '../events/events.js'
import type { RetryingRoot } from '../transactions/method.js'
import type { JobMap } from './mapping.js'
import type { JobResult, JobRun, RunningJob } from './types.js'

export interface JobParts {
  readonly map: JobMap
  /** The same client, with its retried transactions. */
  readonly rootOf: (session: RootSession) => RetryingRoot
  readonly startedBy: string | undefined
}

/** A call of `$job`, as it came. */
export interface JobCall<R> {
  readonly name: string
  readonly options: unknown
  readonly body: (run: RunningJob) => Promise<R>
}

/** Jobs on any engine. The code that carries their calls out is loaded with the first of them. */
export class JobMethods {
  readonly #parts: JobParts
  readonly #events: Events | undefined

  constructor(parts: JobParts, events: Events | undefined) {
    this.#parts = parts
    this.#events = events
  }

  run<R>(session: Session, call: JobCall<R>): Promise<JobResult<R>> {
    return observed(this.#events, '$job', undefined, async (events) => {
      const { runJob } = await import('./calls.js')
      return runJob(session, this.#parts, call, events)
    })
  }

  async history(session: Session, options: unknown): Promise<JobRun[]> {
    const { jobHistory } = await import('./calls.js')
    return jobHistory(session, this.#parts.map, options)
  }

  async prune(session: Session, options: unknown): Promise<{ count: number }> {
    const { pruneJobHistory } = await import('./calls.js')
    return pruneJobHistory(session, this.#parts.map, options)
  }
}
