import { concurrency } from '../../src/index.js'
import { serials } from '../../src/serials/extension.js'
import { series } from '../../src/series/extension.js'
import { stock } from '../../src/stock/extension.js'
import type { createClient } from './clients.js'

export type LayerName = 'concurrency' | 'stock' | 'serials' | 'series'
type Client = ReturnType<typeof createClient>['client']

/** The quantity on hand is a column of the product, so that the stock guards a model that everybody writes. */
const PRODUCT_STOCK = {
  item: { model: 'Product', key: 'id', onHand: 'stock' },
  movement: { model: 'ProductMovement', item: 'productId' },
} as const

const withAll = (client: Client) =>
  client.$extends(concurrency()).$extends(stock(PRODUCT_STOCK)).$extends(serials()).$extends(series())

/** A client with layers of this package, by the types all of them. */
export type Layered = ReturnType<typeof withAll>
export type LayeredTx = Parameters<Parameters<Layered['$transaction']>[0]>[0]

const LAYERS: Readonly<Record<LayerName, () => unknown>> = {
  concurrency: () => concurrency(),
  stock: () => stock(PRODUCT_STOCK),
  serials: () => serials(),
  series: () => series(),
}

/** The client with these layers, the lowest first. */
export function withLayers(client: unknown, order: readonly LayerName[]): Layered {
  return order.reduce(
    (below, name) => (below as { $extends(layer: unknown): unknown }).$extends(LAYERS[name]()),
    client,
  ) as Layered
}

/** Every order of every set of layers that `concurrency()` is in. */
export const ORDERS: readonly (readonly LayerName[])[] = subsets<LayerName>(['stock', 'serials', 'series']).flatMap(
  (others) => permutations(['concurrency', ...others]),
)

/**
 * The same with `concurrency()` below whatever builds on it: where an order has it further up, it is
 * applied twice.
 */
export const POSSIBLE_ORDERS = ORDERS.map((order) =>
  order[0] === 'concurrency' ? order : (['concurrency', ...order] as const),
)

function subsets<T>([first, ...rest]: readonly T[]): T[][] {
  if (first === undefined) return [[]]
  return subsets(rest).flatMap((subset) => [subset, [first, ...subset]])
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]]
  return items.flatMap((item, i) =>
    permutations([...items.slice(0, i), ...items.slice(i + 1)]).map((rest) => [item, ...rest]),
  )
}
