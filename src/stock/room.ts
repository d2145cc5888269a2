import { type Excess, MaximumExceededError } from '../errors/index.js'
import type { Decider } from './decider.js'
import type { Demand } from './demand.js'
import type { Args } from './lines.js'
import type { StockMap } from './mapping.js'
import type { Line, Request } from './request.js'

/** Which lines of a request there may be no room for. */
interface Adding {
  readonly lines: readonly Line[]
  /** Whether any line that adds is an excess, also where there is room for it. */
  readonly isAny: boolean
  readonly isRemembered: boolean
}

/**
 * How much there may be of each item that a request adds to. It is loaded with the other methods, by the first call of
 * a stock that has a maximum.
 */
export class Room {
  /** `null` is no limit, `undefined` leaves it to the item. */
  readonly maximum: bigint | null | undefined

  constructor(maximum: bigint | null | undefined) {
    this.maximum = maximum
  }

  /** A refusal, if lines add more than there is room for. A line that takes from the stock never does. */
  refusalOf(decider: Decider, { transactionId }: Request, { lines, isAny, isRemembered }: Adding) {
    const { quantities } = decider.map
    const [first, ...others] = lines.flatMap(({ item, quantity }): Excess[] => {
      const balance = decider.balance(item)
      const limit = this.maximum === undefined ? balance.maximum : this.maximum
      const room = limit === null ? quantity : limit - balance.onHand
      if (quantity <= 0n || (quantity <= room && !isAny)) return []
      const requested = quantities.value(quantity)
      return [{ item: item.given, requested, room: quantities.value(room > 0n ? room : 0n) }]
    })
    return first && new MaximumExceededError(transactionId, [first, ...others], isRemembered)
  }

  /**
   * Demands room for what is added to an item, for the statement that writes it.
   *
   * @param sum what is moved of the item by then
   */
  demand({ item }: StockMap, all: Demand | undefined, sum: bigint): void {
    const isOwn = this.maximum === undefined && item.maximum !== undefined
    const limit = isOwn ? 0n : (this.maximum ?? null)
    if (limit === null || all === undefined) return
    const name = isOwn ? 'mostBeyond' : 'most'
    const before = all[name]
    if (before === null || limit - sum < before) all[name] = limit - sum
  }
}

/** The request of a call with the maximum that is given, or that items have of their own. */
export function withRoom({ item, quantities }: StockMap, request: Request, { maximum }: Args): Request {
  if (maximum === undefined && item.maximum === undefined) return request
  const isNumber = maximum !== undefined && maximum !== null
  return { ...request, room: new Room(isNumber ? quantities.read(maximum, 'maximum') : maximum) }
}
