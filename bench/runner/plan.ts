/** The plan of the runs: which contenders in which workloads, how often, and how long, so that all fit the time. */
import type { Contender } from '../contender.js'
import type { Window } from '../result.js'
import type { Workload } from '../workload.js'

export interface Form {
  readonly name: 'short' | 'full' | 'custom'
  readonly rounds: number
  /** For all of it, in s. */
  readonly budget: number
  readonly workloads: readonly Workload[]
}

/** Per run, beside warm-up and measuring: the database, the connections, the last answers, the audit. In ms, before it is known. */
const FIRST_OVERHEAD = 700
const LONGEST = 2_000
const SHORTEST = 250
const TOLERANCE = 1.03

/** The contenders that can do what the workload asks for. */
export function takersOf(workload: Pick<Workload, 'operation'>, contenders: readonly Contender[]): Contender[] {
  return contenders.filter(({ operations }) => operations.includes(workload.operation))
}

/**
 * Divides the time that is left among the rounds that are left, a third as long to warm up as to
 * measure. Each round is planned anew, by what the one before has taken beside: the last answers
 * of a thousand callers who wait for a lock take longer than anything else, and nobody knows how long.
 */
export class Plan {
  readonly #form: Form
  readonly #runs: number
  #overhead = FIRST_OVERHEAD

  constructor(form: Form, contenders: readonly Contender[]) {
    this.#form = form
    this.#runs = form.workloads.reduce((sum, workload) => sum + takersOf(workload, contenders).length, 0)
  }

  /** @param spent what all rounds before have taken, in ms */
  windowFor(round: number, spent: number): Window {
    const { rounds, budget } = this.#form
    const perRun = (budget * 1_000 - spent) / (rounds - round) / Math.max(1, this.#runs) - this.#overhead
    const measured = Math.round(Math.min(LONGEST, Math.max(SHORTEST, perRun * 0.75)))
    return { measuredMilliseconds: measured, warmUpMilliseconds: Math.round(measured / 3) }
  }

  /** Whether another round will be over in time, or nearly so; the first is made in any case. */
  hasTimeFor(round: number, spent: number): boolean {
    const shortest = this.#runs * (this.#overhead + (SHORTEST * 4) / 3)
    return round === 0 || spent + shortest <= this.#form.budget * 1_000 * TOLERANCE
  }

  /** @param beside what the round has taken beside warming up and measuring, in ms */
  learn(beside: number): void {
    this.#overhead = Math.max(0, beside / Math.max(1, this.#runs))
  }
}
