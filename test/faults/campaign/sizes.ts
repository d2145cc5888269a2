/** The rows and keys that all workers share: few enough that they meet, in all features. */
export const COUNTERS = 40
export const HOT = 2
export const SECTIONS = { first: 101, count: 4 }
export const ACCOUNTS = { first: 201, count: 12, opening: 1_000 }
export const LISTS = 60
export const ITEMS = 8
export const OPENING = 10
/** Of the orders: of the first ones no more than so many are on hand. */
export const PALLETS = { count: 6, opening: 40, withMaximum: 2, maximum: 60 }
/** Of the ledger with a history; the last one is moved without a date, so it is never closed. */
export const ACCOUNTS_OF_LEDGER = { count: 6, opening: 40 }
export const SERIAL_POOLS = { kept: 1, released: 2 }
export const SERIALS = 20_000
export const KEYS = { perSecond: 20 }

/** The quantity and the item that a key stands for: each call under it asks for the same. */
export function storyOf(key: number): { productId: number; other: number; quantity: number } {
  const productId = 1 + (key % ITEMS)
  return { productId, other: 1 + ((key * 3 + 1) % ITEMS), quantity: 1 + (key % 5) }
}

/** The pallet that an order is of, how many it asks for at first, and how many when it is changed. */
export function orderOf(key: number): { pallet: string; quantity: number; changed: number } {
  const quantity = 3 + (key % 4)
  return { pallet: palletAt(key), quantity, changed: quantity + 1 }
}

export const palletAt = (n: number): string => `pallet ${1 + (n % PALLETS.count)}`

/** The items and the quantity that a booking is of. Its date is a day for each second of the round; the last item's is that of today. */
export function bookingOf(key: number): { item: string; other: string; quantity: number; date: string | undefined } {
  const { count } = ACCOUNTS_OF_LEDGER
  const place = key % count
  const isDated = place < count - 1
  const other = isDated ? (place + 1) % (count - 1) : place
  const quantity = (key % 3 === 0 ? -1 : 1) * (1 + (key % 4))
  return {
    item: accountAt(place),
    other: accountAt(other),
    quantity,
    date: isDated ? dayAt(Math.floor(key / KEYS.perSecond)) : undefined,
  }
}

export const accountAt = (place: number): string => `account ${place + 1}`

export const dayAt = (second: number): string =>
  new Date(Date.UTC(2020, 0, 1 + second)).toISOString().slice(0, 'yyyy-mm-dd'.length)
