import { decideMove } from './decide-move.js'
import type { Decider } from './decider.js'
import type { Decision, Line, Request } from './request.js'

/** Decisions on movements that are loaded with the methods that need them. */

/** A stocktake is a fact: as much as was found is there, reserved or not. A movement that is still deferred is added later. */
export function decideCount(decider: Decider, request: Request): Decision {
  const { lines } = request
  const recorded = decider.sameMovement(request, lines, 'item')
  if (recorded?.isRefused) throw decider.mismatch(request, 'quantity')
  if (recorded) {
    const counted = lines.map((line, i) => ({ ...line, quantity: recorded.lines[i]?.quantity ?? 0n }))
    return decider.done(counted, true)
  }
  decider.checkUnreserved(request)
  const differences = lines.map((line) => {
    const expected = decider.balance(line.item).onHand + (decider.deferred?.get(line.item.id) ?? 0n)
    return { ...line, quantity: line.quantity - expected }
  })
  decider.record(request, differences)
  return decider.done(differences)
}

/** A movement of as much as there is: recorded is what was taken, so a call that comes again asks for that or for more. */
export function decideTake(decider: Decider, request: Request): Decision {
  const recorded = decider.recorded(request)
  if (recorded) decider.checkSame(request, asRecorded(request.lines, recorded.lines), recorded)
  const lines = recorded?.lines ?? availableOf(decider, request, request.lines)
  return decideMove(decider, { ...request, lines })
}

/** Lines as they are recorded, as far as that is no more of them than they ask for; without those of which nothing is. */
export function asRecorded(lines: readonly Line[], recorded: readonly Line[]): readonly Line[] {
  const quantities = new Map(recorded.map(({ item, quantity }) => [item.id, quantity]))
  return lines.flatMap((line) => {
    const quantity = quantities.get(line.item.id)
    if (quantity === undefined) return []
    const isPart =
      line.quantity < 0n ? quantity < 0n && quantity >= line.quantity : quantity > 0n && quantity <= line.quantity
    return isPart ? { ...line, quantity } : line
  })
}

/** Lines that take, each as far as it can be had. Where nothing can be had of any of them, they stay as they are. */
export function availableOf(decider: Decider, request: Request, lines: readonly Line[]): readonly Line[] {
  const taken = lines.flatMap((line) => {
    const { available, isLimited } = decider.available(request, line.item)
    if (!isLimited || available >= -line.quantity) return line
    return available > 0n ? { ...line, quantity: -available } : []
  })
  return taken.length > 0 ? taken : lines
}
