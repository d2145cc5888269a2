import type { Decider } from './decider.js'
import type { Done, Request } from './request.js'

/** A movement: it is made as a whole, if each item stays within its limits. */
export function decideMove(decider: Decider, request: Request, lines = request.lines): Done {
  const recorded = decider.sameMovement(request, lines)
  if (recorded?.isRefused) throw decider.refusalOf(request, lines, 'before') ?? decider.mismatch(request, 'maximum')
  if (recorded) return decider.done(lines, true)
  decider.checkUnreserved(request)
  const { rememberRefusals } = decider.map
  const refusal = decider.refusalOf(request, lines, rememberRefusals ? 'now' : undefined)
  if (refusal) {
    if (rememberRefusals) decider.record(request, lines, true)
    throw refusal
  }
  decider.record(request, lines)
  return decider.done(lines)
}
