import { LIMIT } from './lateness.js'
import type { Call } from './log.js'

/** A server was lost before its standby had all of it. */
export interface Loss {
  /** Whether acknowledged commits may be lost; else only those that nobody was told of. */
  readonly isAcknowledgedLost: boolean
  /** All that was acknowledged before this moment is with the standby. */
  readonly from: number
  /** When the server had gone. */
  readonly until: number
}

/** More numbers of a block than a process can still have from the lost server. */
const REST_OF_BLOCKS = 20

/**
 * The calls as they can be promised after a loss. Those that may be lost with the server are `unknown`:
 *
 * - acknowledged calls that ended while the standby was behind, where a commit does not wait for it;
 * - else only what was found, and not written, by a process that has not lost an answer yet;
 * - numbers of a block that was taken there, and is taken again;
 * - writes of rows that a call of before wrote at a version that is there twice, each with another content.
 */
export function afterLoss(calls: readonly Call[], loss: Loss | undefined): Call[] {
  if (!loss || loss.from >= loss.until) return [...calls]
  const { isAcknowledgedLost, from, until } = loss
  const blocks = new Map<string, number>()
  const losers = firstLosses(calls)
  return calls.map((call) => {
    const { to = Number.POSITIVE_INFINITY, kind, outcome } = call
    if (to < from || outcome !== 'ok') return call
    const unknown: Call = { ...call, outcome: 'unknown' }
    if (call.from < until && (isAcknowledgedLost || (isRead(call) && !hasLost(losers, call)))) return unknown
    if (call.from < until + LIMIT && HAS_VERSION_TWICE.has(kind)) return unknown
    if (kind !== 'ticket' || !isAcknowledgedLost) return call
    const process = processOf(call)
    const given = (blocks.get(process) ?? 0) + 1
    blocks.set(process, given)
    return given <= REST_OF_BLOCKS ? unknown : call
  })
}

/** Their rows, or those of others under the same id, may be written by a call that read them before the loss. */
const HAS_VERSION_TWICE: ReadonlySet<string> = new Set(['list', 'list at', 'list plain', 'list raw', 'delete'])

const processOf = ({ id }: Call) => id.slice(0, id.lastIndexOf('.'))

/** When each process was first told by the package that an outcome is unknown. */
function firstLosses(calls: readonly Call[]): Map<string, number> {
  const moments = new Map<string, number>()
  for (const call of calls) {
    if (!String(call.answer).startsWith('OUTCOME_UNKNOWN')) continue
    const { to = Number.POSITIVE_INFINITY } = call
    moments.set(processOf(call), Math.min(to, moments.get(processOf(call)) ?? to))
  }
  return moments
}

const hasLost = (losers: ReadonlyMap<string, number>, call: Call) =>
  (losers.get(processOf(call)) ?? Number.POSITIVE_INFINITY) < call.from

/** Where the answer has whether it is a replay. */
const REPLAYED_AT: Readonly<Record<string, number>> = {
  ...{ insert: 1, once: 1, serials: 1, lent: 1, document: 1, invoice: 1 },
  ...{ move: 0, order: 0, reserve: 0, fulfil: 0, defer: 0 },
  ...{ open: 0, part: 0, rest: 0, take: 0, pick: 0, supply: 0, undo: 0, both: 0 },
  ...{ book: 0, pair: 0, post: 0, amend: 0 },
}

function isRead({ kind, answer }: Call): boolean {
  const [first] = Array.isArray(answer) ? answer : []
  if (kind === 'job' || kind === 'release' || kind === 'cancel') return first === false
  // They write nothing where they find what they are to make, and do not say so.
  if (kind === 'change' || kind === 'close') return true
  const place = REPLAYED_AT[kind]
  return place !== undefined && Array.isArray(answer) && answer[place] === true
}
