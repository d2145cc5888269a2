import type { Decider } from './decider.js'
import type { Done, Request } from './request.js'

/** A movement: it is made as a whole, if none of its lines is short. */
export function decideMove(decider: Decider, request: Request, lines = request.lines): Done {
  const recorded = decider.sameMovement(request, lines)
  if (recorded?.isRefused) throw decider.insufficient(request, decider.shortages(request, lines, true), true)
  if (recorded) return decider.done(lines, true)
  decider.checkUnreserved(request)
  const shortages = decider.shortages(request, lines)
  if (shortages.length > 0) {
    const { rememberRefusals } = decider.map
    if (rememberRefusals) decider.record(request, lines, true)
    throw decider.insufficient(request, shortages, rememberRefusals)
  }
  decider.record(request, lines)
  return decider.done(lines)
}
