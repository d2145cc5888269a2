import type { Decider } from './decider.js'
import type { Decision, Request } from './request.js'

/** A stocktake is a fact: as much as was found is there, reserved or not. */
export function decideCount(decider: Decider, request: Request): Decision {
  const { lines } = request
  const recorded = decider.sameMovement(request, lines, 'item')
  if (recorded?.isRefused) throw decider.mismatch(request, 'quantity')
  if (recorded) {
    const counted = lines.map((line, i) => ({ ...line, quantity: recorded.lines[i]?.quantity ?? 0n }))
    return decider.done(counted, true)
  }
  decider.checkUnreserved(request)
  const differences = lines.map((line) => ({ ...line, quantity: line.quantity - decider.balance(line.item).onHand }))
  decider.record(request, differences)
  return decider.done(differences)
}
