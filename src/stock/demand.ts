import { isConcurrencyError } from '../errors/index.js'
import type { Balance, WriteSet } from './decider.js'
import type { StockMap } from './mapping.js'
import type { Decision, Line, Request } from './request.js'

/**
 * The quantity that must be available of an item, so that each of some requests is granted, or refused, in its turn:
 * at least, and below. Each is once a number, and once beyond the item's own minimum; `null` is no limit.
 */
export interface Demand {
  least: bigint | null
  leastBeyond: bigint | null
  below: bigint | null
  belowBeyond: bigint | null
  /** How much may be on hand at most, for what is added. */
  most: bigint | null
  mostBeyond: bigint | null
}

export interface Decided {
  readonly decisions: readonly (Decision | undefined)[]
  readonly set: WriteSet
}

/**
 * The demands of the decisions on the items that they write, by their id. So it is checked in the statement that writes
 * them that others are refused at their places, too: else one that is not would come after those behind it.
 * `undefined` where the statement cannot check it, such as near the ends of the column's range.
 *
 * @param guesses the balances by which they were decided
 */
export function demandsOf(
  map: StockMap,
  requests: readonly Request[],
  { decisions, set }: Decided,
  guesses: ReadonlyMap<string, Balance>,
): ReadonlyMap<string, Demand> | undefined {
  const { highest, margin } = map.quantities
  const isInRange = ({ onHand }: Balance) => onHand <= highest - margin && onHand >= margin - highest
  if (![...guesses.values()].every(isInRange)) return undefined
  const none = { least: null, leastBeyond: null, below: null, belowBeyond: null, most: null, mostBeyond: null }
  const demands = new Map<string, Demand>(set.items.map(({ item }) => [item.id, { ...none }]))
  const moved = new Map<string, bigint>()
  const after = ({ item, quantity }: Line) => (moved.get(item.id) ?? 0n) + quantity
  for (const [i, request] of requests.entries()) {
    const decision = decisions[i]
    if (decision?.status === 'done') {
      for (const line of decision.replayed ? [] : request.lines) {
        const sum = after(line)
        if (sum > margin || sum < -margin) return undefined
        moved.set(line.item.id, sum)
        const own = demands.get(line.item.id)
        if (line.quantity < 0n) demand(map, request, own, { sum, isGranted: true })
        else request.room?.demand(map, own, sum)
      }
    } else if (isRefused(decision?.error)) {
      const written = request.lines.filter(({ item }) => demands.has(item.id))
      const short = written.find((line) => isShort(request, line, guesses.get(line.item.id), after(line)))
      if (short) demand(map, request, demands.get(short.item.id), { sum: after(short), isGranted: false })
      else if (written.length > 0) return undefined
    } else if (!isConcurrencyError(decision?.error, 'IDEMPOTENCY_MISMATCH')) return undefined
  }
  return demands
}

/** Whether it is a refusal for what there is of the items. One for want of room cannot be checked by the statement, so it has no part in one that writes its items. */
export function isRefused(error: unknown): boolean {
  return isConcurrencyError(error, 'INSUFFICIENT_STOCK') || isConcurrencyError(error, 'MAXIMUM_EXCEEDED')
}

function isShort({ minimum }: Request, { quantity }: Line, guess: Balance | undefined, sum: bigint): boolean {
  const limit = minimum === undefined ? guess?.minimum : minimum
  if (!guess || limit === null || limit === undefined) return false
  return quantity < 0n && guess.onHand - guess.reserved + sum < limit
}

/** @param sum what is moved of the item by then */
function demand(
  map: StockMap,
  { minimum: given }: Request,
  all: Demand | undefined,
  { sum, isGranted }: { readonly sum: bigint; readonly isGranted: boolean },
): void {
  const isOwn = given === undefined && map.item.minimum !== undefined
  const limit = isOwn ? 0n : given === undefined ? map.minimum : given
  if (limit === null || all === undefined) return
  const bound = limit - sum
  const name = isGranted ? (isOwn ? 'leastBeyond' : 'least') : isOwn ? 'belowBeyond' : 'below'
  const before = all[name]
  if (before === null || (isGranted ? bound > before : bound < before)) all[name] = bound
}
