import type { SlotsMapping } from './options.js'

/** How many slots an item may have. */
export interface SlotBounds {
  readonly least: number
  readonly most: number
}

/** The number of slots that no item may have more of. */
export const MOST_SLOTS = 1_000
const MOST_BY_DEFAULT = 32

/** The bounds within which the number adapts; `undefined` where it does not. */
export function slotBounds(slots: string | SlotsMapping | undefined): SlotBounds | undefined {
  if (slots === undefined) return undefined
  const { least = 1, most = Math.max(least, MOST_BY_DEFAULT), adapt = true } = typeof slots === 'string' ? {} : slots
  return adapt ? { least, most } : undefined
}
