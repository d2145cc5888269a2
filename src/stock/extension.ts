import { featureExtension } from '../mapping/extension.js'
import type { ClientExtension } from '../mapping/types.js'
import { propertyOf } from '../prisma/client.js'
import { DEFAULT_POLICY, resolvePolicy } from '../retry/policy.js'
import { DEFAULT_MAX_WAITING } from '../sync/batcher.js'
import { BalanceGuard } from './balance-guard.js'
import type { StockOf } from './client-types.js'
import { StockExecutor } from './executor.js'
import { guardedQueries } from './guarded-queries.js'
import { mapStock } from './mapping.js'
import { StockFeature } from './methods.js'
import { checkStockOptions, type StockOptions } from './options.js'
import type { LedgerName } from './types.js'

/**
 * The extension for stock: `db.$stock`, on models of yours. Apply it after `concurrency()`. For another ledger apply it
 * again, with a name: `stock({ name: 'credit', … })` adds `db.$credit`.
 *
 * @param options your models and fields
 * @throws ConfigurationError when it is called, or when the client is extended: every mistake, with its path
 *
 * @example
 * const db = base.$extends(concurrency()).$extends(
 *   stock({
 *     item: { model: 'Product', key: 'id', onHand: 'stock' },
 *     movement: { model: 'ProductMovement', item: 'productId' },
 *   }),
 * )
 * await db.$stock.move({ transactionId, item: 11, quantity: -3 })
 */
export function stock<const O extends StockOptions, C extends object>(
  options: O,
): (client: C) => ClientExtension<LedgerName<O>, StockOf<C, O>> {
  const { retry, maxWaiting = DEFAULT_MAX_WAITING, ...given } = checkStockOptions(options)
  return featureExtension('stock', (models, rootFor) => {
    const map = mapStock(models, given)
    const guard = new BalanceGuard(models, map)
    const executor = new StockExecutor(rootFor(map.movement.model.name), map, maxWaiting)
    return {
      feature: new StockFeature(map, resolvePolicy(DEFAULT_POLICY, retry), executor),
      guard: (model, operation, data, path) => guard.check(model, operation, data, path),
      query: guardedQueries(guard, propertyOf),
    }
  })
}
