/** Lets callers go: each makes its next call when its last one is answered, until time is up. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Window } from '../result.js'
import type { Call, KeyTally } from '../workload.js'
import { failureMessage } from './failure-message.js'
import type { Mark } from './messages.js'

/** Of all that ended after the warm-up, if nothing else is said. */
export interface LoadFigures {
  readonly latencies: number[]
  readonly refused: number
  readonly failed: number
  readonly failures: Record<string, number>
  /** Calls that were answered in the time that was measured. */
  readonly measured: { readonly operations: number; readonly retries: number }
  /** From the beginning. */
  readonly tally: Record<string, KeyTally>
}

/** In ms. */
const LONGEST = 1_000
const LOOK_AGAIN = 20

/** The clock of the machine in ms with fractions, which all processes share. */
export const machineTime = () => performance.timeOrigin + performance.now()

/**
 * Nobody pauses for the measuring to begin or to end: in between there are always as many calls
 * under way as there are callers. Those that end later tell how long they waited, and whether they
 * failed. Where fewer calls were answered than there are callers, it is measured for longer, up to
 * `LONGEST`. Deferred work is done in the end, that of the warm-up included, and is part of it.
 *
 * @param onMark is called when the warm-up is over, and when the measuring is
 * @param settle does the deferred work
 */
export async function load(
  calls: readonly Call[],
  { warmUpMilliseconds, measuredMilliseconds }: Window,
  onMark: (mark: Mark) => void,
  settle: (() => Promise<void>) | undefined,
): Promise<LoadFigures> {
  const latencies: number[] = []
  const failures: Record<string, number> = {}
  const tally: Record<string, { done: number; refused: number; failed: number }> = {}
  const measured = { operations: 0, retries: 0 }
  let [refused, failed] = [0, 0]
  let [isWarm, isOver, isMeasured] = [false, false, false]

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
        if (isMeasured) continue
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
    const begin = performance.now()
    await sleep(measuredMilliseconds)
    while (measured.operations < calls.length && performance.now() < begin + LONGEST) await sleep(LOOK_AGAIN)
    isOver = true
    if (settle === undefined) end()
  }
  function end(): void {
    isMeasured = true
    onMark('measured')
  }
  await Promise.all([marks(), ...calls.map(caller)])
  if (settle === undefined) return { latencies, refused, failed, failures, measured, tally }
  await settle()
  end()
  return { latencies, refused, failed, failures, measured, tally }
}
