import { Prisma } from '@prisma/client/extension'
import { withConcurrency } from '../mapping/client.js'
import { checkModels } from '../mapping/kept-models.js'
import type { ClientExtension } from '../mapping/types.js'
import { namespace } from '../prisma/bound.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { readDataModel } from '../prisma/data-model.js'
import { noteLayer } from '../prisma/layers.js'
import { DEFAULT_POLICY, resolvePolicy } from '../retry/policy.js'
import { Protection } from './balance-guard.js'
import type { ItemKey, Quantity } from './client-types.js'
import { StockExecutor } from './executor.js'
import { mapStock } from './mapping.js'
import { stockMethods } from './methods.js'
import { checkStockOptions, type StockOptions } from './options.js'
import { protectedQueries } from './protected.js'
import type { Stock } from './types.js'

/** How many calls may wait in this process unless told otherwise. */
const DEFAULT_MAX_WAITING = 10_000

/**
 * The extension for stock: `db.$stock`, on models of yours. Apply it after `concurrency()`.
 *
 * @param options your models and fields
 * @throws ConfigurationError when it is called, or when the client is extended: every mistake, with its path
 *
 * @example
 * const db = base.$extends(concurrency()).$extends(
 *   stock({
 *     item: { model: 'Stock', key: 'productId', onHand: 'onHand' },
 *     movement: { model: 'StockMovement', transactionId: 'transactionId', item: 'productId', quantity: 'quantity', applied: 'applied' },
 *   }),
 * )
 * await db.$stock.move({ transactionId, item: 11, quantity: -3 })
 */
export function stock<const O extends StockOptions, C extends object>(
  options: O,
): (client: C) => ClientExtension<'$stock', Stock<ItemKey<C, O>, Quantity<C, O>>> {
  const given = checkStockOptions(options)
  return Prisma.defineExtension((client) => {
    const own = withConcurrency(client as unknown as PrismaClientLike, 'stock')
    const dataModel = readDataModel(own)
    const map = mapStock(dataModel, given)
    const protection = new Protection(dataModel, map)
    checkModels(own, 'stock', protection.models)
    const core = {
      map,
      policy: resolvePolicy(DEFAULT_POLICY, given.retry),
      combiner: new StockExecutor(own, map, given.maxWaiting ?? DEFAULT_MAX_WAITING),
    }
    return client.$extends({
      name: 'prisma-extension-concurrency/stock',
      ...noteLayer({
        name: 'stock',
        models: protection.models,
        guard: (model, operation, data, path) => protection.check(model, operation, data, path),
      }),
      client: namespace(own, '$stock', (bound) => stockMethods(core, bound)),
      query: protectedQueries(protection),
    })
  }) as unknown as (client: C) => ClientExtension<'$stock', Stock<ItemKey<C, O>, Quantity<C, O>>>
}
