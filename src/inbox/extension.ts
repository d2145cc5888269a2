import { clientOf, retryingRoot, soleWriter, withConcurrency } from '../mapping/extension.js'
import { sessionOf } from '../prisma/client-session.js'
import { readDataModel } from '../prisma/data-model.js'
import {
  clientContext,
  type Extension,
  extensionOf,
  type Implementation,
  type Members,
  type Nothing,
} from '../prisma/extension.js'
import { eventsOn, noteLayer } from '../prisma/layers.js'
import type { TransactionClient } from '../prisma/types.js'
import { mapInbox } from './mapping.js'
import { InboxMethods } from './methods.js'
import { checkInboxOptions, type InboxOptions } from './options.js'
import type { InboxBatchResult, InboxCallOptions, InboxMessage, InboxResult, PruneInboxOptions } from './types.js'

/** The type of `$inbox`: for one message, or for several. */
export interface HandleOnce {
  <T extends object, R>(
    this: T,
    consumer: string,
    message: string | InboxMessage,
    body: (tx: TransactionClient<T>) => Promise<R>,
    options?: InboxCallOptions,
  ): Promise<InboxResult<R>>
  <T extends object, M extends string | InboxMessage, R>(
    this: T,
    consumer: string,
    messages: readonly M[],
    body: (tx: TransactionClient<T>, messages: readonly M[]) => Promise<R>,
    options?: InboxCallOptions,
  ): Promise<InboxBatchResult<R, M>>
}

/** The methods that `inbox()` adds to a client. */
export interface InboxClientMethods {
  /**
   * Handles a message of a queue once for each consumer, however often it is delivered: the note that it was handled is
   * committed together with what the body writes, or not at all. A body that throws leaves nothing behind.
   *
   * Of a batch, the body is given those messages that were not handled before, and all are noted together.
   *
   * With a `key` and a `version` a message that comes behind one with a higher version is `outdated`: it is noted, and not
   * handled.
   *
   * Inside a transaction it is part of it, in a savepoint.
   *
   * @throws OutcomeUnknownError if the connection was lost at COMMIT and nobody can tell what became of it: have the
   *   message delivered again
   *
   * @example
   * const { status } = await db.$inbox('shipping', message.id, (tx) => ship(tx, message.body))
   * await queue.acknowledge(message)
   */
  $inbox: HandleOnce

  /**
   * Forgets the messages that were handled more than so many ms ago, in batches. One that is delivered after that is
   * handled again: take longer than your queue keeps messages.
   *
   * @example
   * await db.$pruneInbox({ consumer: 'shipping', olderThan: 14 * 24 * 3_600_000 })
   */
  $pruneInbox(options: PruneInboxOptions): Promise<{ count: number }>
}

/** The members that `inbox()` adds to a client. */
export type InboxExtension = Extension<Nothing, Members<InboxClientMethods>>

/**
 * The extension for consumers of a message queue: `db.$inbox`, on models of yours. Apply it after `concurrency()`. Without
 * options it uses the model that `inboxSchema()` prints.
 *
 * @throws ConfigurationError when it is called, or when the client is extended: every mistake, with its path
 *
 * @example
 * const db = base.$extends(concurrency()).$extends(inbox())
 */
export function inbox(options: InboxOptions = {}): (client: object) => InboxExtension {
  const given = checkInboxOptions(options)
  return extensionOf((client) => {
    const below = withConcurrency(client, 'inbox')
    const map = mapInbox(readDataModel(below), given)
    const rootOf = (session: Parameters<typeof clientOf>[0]) =>
      retryingRoot(withConcurrency(clientOf(session), 'inbox'), map.message.model.name)
    const models = [map.message, map.version].flatMap((each) => each?.model ?? [])
    const { note, query } = soleWriter(below, '$inbox', models)
    return below.$extends({
      name: 'prisma-extension-concurrency/inbox',
      ...noteLayer({ name: 'inbox', ...note, map }),
      client: inboxClientMethods(new InboxMethods({ map, rootOf }, eventsOn(below))),
      query,
    })
  })
}

/** The methods as they are run. */
function inboxClientMethods(methods: InboxMethods): Implementation<InboxClientMethods> {
  return {
    $inbox(consumer: unknown, message: unknown, body: unknown, options?: unknown) {
      return methods.handle(sessionOf(clientContext(this)), { consumer, message, body, options })
    },
    $pruneInbox(options: PruneInboxOptions) {
      return methods.prune(sessionOf(clientContext(this)), options)
    },
  }
}
