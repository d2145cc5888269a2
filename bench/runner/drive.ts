/** Lets callers go: each makes its next call when its last one is answered, until time is up. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Window } from '../result.js'
import type { Call, KeyTally } from '../workload.js'
import { failureMessage } from './failure-message.js'

/** Of all that ended after the warm-up, if nothing else is said. */
export interface Driven {
  readonly latencies: number[]
  readonly refused: number
  readonly failed: number
  readonly failures: Record<string, number>
  /** Calls that were answered between the warm-up and the time at which no new ones were made. */
  readonly measured: { readonly operations: number; readonly retries: number }
  /** From the beginning. */
  readonly tally: Record<string, KeyTally>
}

/** The clock of the machine in ms with fractions, which all processes share. */
export const machineTime = () => performance.timeOrigin + performance.now()

/**
 * Nobody pauses for the measuring to begin or to end: in between there are always as many calls
 * under way as there are callers. Those that end later tell how long they waited, and whether they failed.
 *
 * @param onMark is called when the warm-up is over, and when no new calls are made
 */
export async function drive(
  calls: readonly Call[],
  { warmUpMilliseconds, measuredMilliseconds }: Window,
  onMark: (mark: 'warm' | 'measured') => void,
): Promise<Driven> {
  const latencies: number[] = []
  const failures: Record<string, number> = {}
  const tally: Record<string, { done: number; refused: number; failed: number }> = {}
  const measured = { operations: 0, retries: 0 }
  let [refused, failed] = [0, 0]
  let [isWarm, isOver] = [false, false]

  async function caller(call: Call): Promise<void> {
    while (!isOver) {
      const begin = performance.now()
      const { key, outcome } = call()
      tally[key] ??= { done: 0, refused: 0, failed: 0 }
      try {
        const answer = await outcome
        tally[key][answer.refused ? 'refused' : 'done']++
        if (!isWarm) continue
        latencies.push(performance.now() - begin)
        if (answer.refused) refused++
        if (isOver) continue
        measured.operations++
        measured.retries += answer.retries
      } catch (error) {
        tally[key].failed++
        if (!isWarm) continue
        failed++
        const message = failureMessage(error)
        failures[message] = (failures[message] ?? 0) + 1
      }
    }
  }

  async function marks(): Promise<void> {
    await sleep(warmUpMilliseconds)
    isWarm = true
    onMark('warm')
    await sleep(measuredMilliseconds)
    isOver = true
    onMark('measured')
  }
  await Promise.all([marks(), ...calls.map(caller)])
  return { latencies, refused, failed, failures, measured, tally }
}
