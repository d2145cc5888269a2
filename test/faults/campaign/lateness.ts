import type { Violation } from './checks.js'
import { DEADLINE } from './connect.js'
import type { Call, Stall } from './log.js'

/** The grace that the package names, in ms. */
const GRACE = 1_000
/** For the answers of timers that are on their way while the machine is busy, in ms. */
const MARGIN = 500
export const LIMIT = DEADLINE + GRACE + MARGIN

/** By when a call has to have ended; a section has a time for its lock, and one for its body. */
const limitOf = (kind: string) => (kind === 'section' ? DEADLINE + LIMIT : LIMIT)

/** How long each call took beyond the time in which its process was not run, in ms. */
export function times(calls: readonly Call[], stalls: readonly Stall[]): { call: Call; time: number }[] {
  const stalled = stalledBefore(stalls)
  return calls.flatMap((call) => {
    const { since, to } = call
    return to === undefined ? [] : [{ call, time: to - since - (stalled(to) - stalled(since)) }]
  })
}

/** Calls that ended later than their deadline and the grace. */
export function checkTimes(
  timed: readonly { call: Call; time: number }[],
  hasDeadline: (kind: string) => boolean,
): Violation[] {
  return timed
    .filter(({ call: { kind }, time }) => hasDeadline(kind) && time > limitOf(kind))
    .map(({ call, time }) => ({ what: `${call.kind} ended after ${time} ms`, history: [call] }))
}

/** How much of the time before a moment the process was not run, in ms. */
function stalledBefore(stalls: readonly Stall[]): (moment: number) => number {
  const sums = [0]
  for (const { s } of stalls) sums.push((sums.at(-1) ?? 0) + s)
  return (moment) => {
    // The first stall that ends after the moment.
    let low = 0
    let high = stalls.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((stalls[middle]?.t ?? 0) <= moment) low = middle + 1
      else high = middle
    }
    const { s = 0, t = moment } = stalls[low] ?? {}
    return (sums[low] ?? 0) + Math.max(0, moment - (t - s))
  }
}
