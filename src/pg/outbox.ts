import { mapOutbox } from '../outbox/mapping.js'
import { OutboxFeature } from '../outbox/methods.js'
import { checkOutboxOptions, type OutboxOptions } from '../outbox/options.js'
import type { Outbox, TopicsOf } from '../outbox/types.js'
import type { PgExtension } from './extension.js'
import { extensionOf } from './features.js'
import type { PgTransactionClient } from './methods.js'
import { rootOf } from './session.js'

/**
 * The extension for messages that are sent after the commit, `db.$outbox`, with the same options and the same tables as
 * `outbox()` of `prisma-extension-concurrency/work`.
 *
 * @throws ConfigurationError when it is called, or by `$extends`: every mistake, with its path
 *
 * @example
 * interface Topics {
 *   'order.created': { orderId: number }
 * }
 * const shop = db.$extends(outbox({ topics: {} as Topics }))
 */
export function outbox<const O extends OutboxOptions>(
  options?: O,
): PgExtension<{ readonly $outbox: Outbox<TopicsOf<O>, PgTransactionClient> }> {
  const given = checkOutboxOptions(options ?? {})
  return extensionOf('outbox', (_, models) => new OutboxFeature({ map: mapOutbox(models, given), rootOf }))
}
