import type { Violation } from './checks.js'
import { DEADLINE } from './connect.js'
import type { Call } from './log.js'
import { grouped } from './tables.js'

/** How long after the last fault its traces may last, in ms: the server ends a transaction that nobody goes on with. */
const HEALING = DEADLINE + 1_500
/** How long calls are made when everything is well again, in ms. */
export const CALM = HEALING + 2_000

/** So many calls that find no place are no chance. */
const MANY = 4
const FINDS_NO_PLACE = /^(DEADLINE_EXCEEDED|LOCK_TIMEOUT|OVERLOADED|OUTCOME_UNKNOWN)/

/** Kinds whose first fact is a row or a lock that each of them needs for itself. */
const BY_KEY: ReadonlySet<string> = new Set(['count', 'section'])

/** When everything is well again, calls come through: no place in a queue is kept by a call that has ended. */
export function checkCalm(calls: readonly Call[], healed: number): Violation[] {
  const calm = calls.filter(({ from, to }) => from > healed + HEALING && to !== undefined)
  const groups = grouped(calm, ({ kind, facts }) => (BY_KEY.has(kind) ? `${kind} ${facts[0]}` : kind))
  return Array.from(groups)
    .filter(([, group]) => group.length >= MANY && group.every(({ answer }) => FINDS_NO_PLACE.test(String(answer))))
    .map(([name, group]) => ({ what: `${name} finds no place, though everything is well`, history: group }))
}
