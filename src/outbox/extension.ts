import { clientOf, featureExtension, retryingRoot, withConcurrency } from '../mapping/extension.js'
import type { ClientExtension } from '../mapping/types.js'
import type { TransactionClient } from '../prisma/types.js'
import { mapOutbox } from './mapping.js'
import { OutboxFeature } from './methods.js'
import { checkOutboxOptions, type OutboxOptions } from './options.js'
import type { JsonValue, Outbox } from './types.js'

/**
 * The extension for messages that are sent after the commit: `db.$outbox`, on models of yours. Apply it after
 * `concurrency()`. Without options it uses the models that `outboxSchema()` prints. `T` are the payloads by their topics.
 *
 * @throws ConfigurationError when it is called, or when the client is extended: every mistake, with its path
 *
 * @example
 * type Topics = { 'order.created': { orderId: number } }
 * const db = base.$extends(concurrency()).$extends(outbox<Topics>())
 */
export function outbox<T extends object = Record<string, JsonValue>>(
  options: OutboxOptions = {},
): <C extends object>(client: C) => ClientExtension<'$outbox', Outbox<T, TransactionClient<C>>> {
  const given = checkOutboxOptions(options)
  return <C extends object>(client: C) =>
    featureExtension<C, ClientExtension<'$outbox', Outbox<T, TransactionClient<C>>>>('outbox', (models) => {
      const map = mapOutbox(models, given)
      const rootOf = (session: Parameters<typeof clientOf>[0]) =>
        retryingRoot(withConcurrency(clientOf(session), 'outbox'), map.message.model.name)
      return { feature: new OutboxFeature(map, rootOf, given) }
    })(client)
}
