import { mapInbox } from '../inbox/mapping.js'
import { InboxMethods } from '../inbox/methods.js'
import { checkInboxOptions, type InboxOptions } from '../inbox/options.js'
import type {
  InboxBatchResult,
  InboxCallOptions,
  InboxMessage,
  InboxResult,
  PruneInboxOptions,
} from '../inbox/types.js'
import type { PgExtension } from './extension.js'
import type { PgTransactionClient } from './methods.js'
import { rootOf } from './session.js'

/** The methods that `inbox()` adds. `Tx` is the `tx` that a body is given. */
export interface PgInbox<Tx> {
  /** As `$inbox` on Prisma. */
  $inbox<R>(
    consumer: string,
    message: string | InboxMessage,
    body: (tx: Tx) => Promise<R>,
    options?: InboxCallOptions,
  ): Promise<InboxResult<R>>
  $inbox<M extends string | InboxMessage, R>(
    consumer: string,
    messages: readonly M[],
    body: (tx: Tx, messages: readonly M[]) => Promise<R>,
    options?: InboxCallOptions,
  ): Promise<InboxBatchResult<R, M>>

  /** As `$pruneInbox` on Prisma. */
  $pruneInbox(options: PruneInboxOptions): Promise<{ count: number }>
}

/**
 * The extension for consumers of a message queue, `db.$inbox`, with the same options and the same tables as `inbox()` of
 * `prisma-extension-concurrency/work`. `Tx` is the `tx` that a body is given.
 *
 * @throws ConfigurationError when it is called, or by `$extends`: every mistake, with its path
 *
 * @example
 * const worker = db.$extends(inbox())
 * await worker.$inbox('shipping', message.id, (tx) => ship(tx, message.body))
 */
export function inbox<Tx = PgTransactionClient>(options: InboxOptions = {}): PgExtension<PgInbox<Tx>> {
  const given = checkInboxOptions(options)
  return {
    apply(root, models) {
      const map = mapInbox(models, given)
      const methods = new InboxMethods({ map, rootOf }, root.events)
      const own = [map.message, map.version].flatMap((each) => each?.model.name ?? [])
      return [
        {
          name: '$inbox',
          models: own,
          feature: { name: 'inbox', map },
          make: (session) => (consumer: unknown, message: unknown, body: unknown, options?: unknown) =>
            methods.handle(session, { consumer, message, body, options }),
        },
        {
          name: '$pruneInbox',
          models: [],
          make: (session) => (options: PruneInboxOptions) => methods.prune(session, options),
        },
      ]
    },
  }
}
