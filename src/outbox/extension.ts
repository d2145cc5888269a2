import { clientOf, featureExtension, retryingRoot, withConcurrency } from '../mapping/extension.js'
import { ownRows } from '../mapping/own-rows.js'
import type { ClientExtension } from '../mapping/types.js'
import { propertyOf } from '../prisma/client.js'
import type { TransactionClient } from '../prisma/types.js'
import { mapOutbox } from './mapping.js'
import { OutboxFeature } from './methods.js'
import { checkOutboxOptions, type OutboxOptions } from './options.js'
import type { Outbox, TopicsOf } from './types.js'

/** The members that `outbox()` adds to a client of type C. */
export type OutboxExtension<C, O> = ClientExtension<'$outbox', Outbox<TopicsOf<O>, TransactionClient<C>>>

/**
 * The extension for messages that are sent after the commit: `db.$outbox`, on models of yours. Apply it after
 * `concurrency()`. Without options it uses the models that `outboxSchema()` prints.
 *
 * @throws ConfigurationError when it is called, or when the client is extended: every mistake, with its path
 *
 * @example
 * interface Topics {
 *   'order.created': { orderId: number }
 * }
 * const db = base.$extends(concurrency()).$extends(outbox({ topics: {} as Topics }))
 */
export function outbox<const O extends OutboxOptions, C extends object = object>(
  options?: O,
): (client: C) => OutboxExtension<C, O> {
  const given = checkOutboxOptions(options ?? {})
  return featureExtension('outbox', (models) => {
    const map = mapOutbox(models, given)
    const rootOf = (session: Parameters<typeof clientOf>[0]) =>
      retryingRoot(withConcurrency(clientOf(session), 'outbox'), map.message.model.name)
    const feature = new OutboxFeature({ map, rootOf })
    return { feature, ...ownRows('$outbox', feature.models, propertyOf) }
  })
}
