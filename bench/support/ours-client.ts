/**
 * The extended client, as the README makes it: the ERP lies on top, and there is no option that a
 * beginner would not have. From the build, as its users have it. By its path, since the bench is a package of its
 * own, for which the root is not to be had by its name.
 */
import { serials, series, stock } from '../../dist/erp.js'
import { concurrency } from '../../dist/index.js'
import type { Environment } from '../contender.js'
import { createPrisma } from './prisma-client.js'

const core = (env: Environment) => createPrisma(env).$extends(concurrency())

/** With a stock that has rows of its own. */
export function createOurs(env: Environment) {
  return core(env)
    .$extends(stock({ item: { model: 'Stock', key: 'itemId' }, movement: { model: 'StockMovement' } }))
    .$extends(serials())
    .$extends(series({ counter: { model: 'SeriesCounter' } }))
}

/** With the stock of the items, which is then written by `$stock` alone. */
export function createOursWithStock(env: Environment) {
  return core(env)
    .$extends(
      stock({ item: { model: 'Item', key: 'id', onHand: 'stock' }, movement: { model: 'Movement', item: 'itemId' } }),
    )
    .$extends(serials())
    .$extends(series({ counter: { model: 'SeriesCounter' } }))
}
