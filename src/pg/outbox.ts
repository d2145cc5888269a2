import { mapOutbox } from '../outbox/mapping.js'
import { OutboxFeature } from '../outbox/methods.js'
import { checkOutboxOptions, type OutboxOptions } from '../outbox/options.js'
import type { JsonValue, Outbox } from '../outbox/types.js'
import type { RetryingRoot } from '../transactions/method.js'
import type { PgExtension } from './extension.js'
import { extensionOf } from './features.js'
import type { PgTransactionClient } from './methods.js'

/**
 * The extension for messages that are sent after the commit, `db.$outbox`, with the same options and the same tables as
 * `outbox()` on Prisma. `T` are the payloads by their topics, and `Tx` is the `tx` that a handler is given.
 *
 * @throws ConfigurationError when it is called, or by `$extends`: every mistake, with its path
 *
 * @example
 * const shop = db.$extends(outbox<{ 'order.created': { orderId: number } }>())
 */
export function outbox<T extends object = Record<string, JsonValue>, Tx = PgTransactionClient>(
  options: OutboxOptions = {},
): PgExtension<{ readonly $outbox: Outbox<T, Tx> }> {
  const given = checkOutboxOptions(options)
  return extensionOf(
    'outbox',
    (_, models) => new OutboxFeature(mapOutbox(models, given), (session) => session as RetryingRoot, given),
  )
}
