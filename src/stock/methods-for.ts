import type { StockParts } from './call.js'
import { OtherMethods } from './other-methods.js'
import { SlotMethods } from './slot-methods.js'

export { ARGUMENTS } from './other-methods.js'

export function methodsFor(parts: StockParts): OtherMethods {
  return new (parts.map.item.slots ? SlotMethods : OtherMethods)(parts)
}
