import type { RootSession, Session } from '../engine/session.js'
import { type Events, observed } from '../events/events.js'
import type { RetryingRoot } from '../transactions/method.js'
import type { StepsMap } from './mapping.js'
import type { StepRunner } from './run.js'
import type { Operation, StepsResult } from './types.js'

export interface StepsParts {
  readonly map: StepsMap
  /** The longest answer that is stored, in characters of its JSON text. */
  readonly answerLimit: number | undefined
  /** The same client, with its retried transactions: their `tx` has all of its extensions. */
  readonly rootOf: (session: RootSession) => RetryingRoot
}

/** A call of `$steps`, as it came. */
export interface StepsCall<R> {
  readonly options: unknown
  readonly body: (operation: Operation<object>) => Promise<R>
}

/** Operations in steps on any engine. The code that carries their calls out is loaded with the first of them. */
export class StepsMethods {
  readonly #parts: StepsParts
  readonly #events: Events | undefined
  #runner: StepRunner | undefined

  constructor(parts: StepsParts, events: Events | undefined) {
    this.#parts = parts
    this.#events = events
  }

  run<R>(session: Session, call: StepsCall<R>): Promise<StepsResult<R>> {
    return observed(this.#events, '$steps', undefined, async (events) => {
      const { StepRunner } = await import('./run.js')
      this.#runner ??= new StepRunner(this.#parts)
      return this.#runner.run(session, call, events)
    })
  }

  async prune(session: Session, options: unknown): Promise<{ count: number }> {
    const { pruneOperations } = await import('./run.js')
    return pruneOperations(session, this.#parts.map, options)
  }
}
