/** Lets callers go: each makes its next call when its last one is answered, until time is up. */
import type { Call, KeyTally } from '../workload.js'
import { failureMessage } from './failure-message.js'

export interface Driven {
  readonly latencies: number[]
  readonly retries: number
  readonly tally: Record<string, KeyTally>
  readonly failures: Record<string, number>
}

/** The clock of the machine in ms with fractions, which all processes share. */
export const machineTime = () => performance.timeOrigin + performance.now()

export async function drive(calls: readonly Call[], milliseconds: number): Promise<Driven> {
  const deadline = performance.now() + milliseconds
  const latencies: number[] = []
  const failures: Record<string, number> = {}
  const tally: Record<string, { done: number; refused: number; failed: number }> = {}
  let retries = 0

  async function caller(call: Call): Promise<void> {
    let begin = performance.now()
    // At least once, also where so many share the processor that time is up before the last has begun.
    do {
      const { key, outcome } = call()
      tally[key] ??= { done: 0, refused: 0, failed: 0 }
      try {
        const answer = await outcome
        const end = performance.now()
        latencies.push(end - begin)
        retries += answer.retries
        tally[key][answer.refused ? 'refused' : 'done']++
        begin = end
      } catch (error) {
        tally[key].failed++
        const message = failureMessage(error)
        failures[message] = (failures[message] ?? 0) + 1
        begin = performance.now()
      }
    } while (begin < deadline)
  }
  await Promise.all(calls.map(caller))
  return { latencies, retries, tally, failures }
}
