import type { RootSession, Session } from '../engine/session.js'
import { type Events, observed } from '../events/events.js'
import type { RetryingRoot } from '../transactions/method.js'
import type { InboxMap } from './mapping.js'
import type { InboxCall } from './read.js'

export interface InboxParts {
  readonly map: InboxMap
  /** The same client, with its retried transactions: their `tx` has all of its extensions. */
  readonly rootOf: (session: RootSession) => RetryingRoot
}

/** The inbox on any engine. The code that carries its calls out is loaded with the first of them. */
export class InboxMethods {
  readonly #parts: InboxParts
  readonly #events: Events | undefined

  constructor(parts: InboxParts, events: Events | undefined) {
    this.#parts = parts
    this.#events = events
  }

  handle(session: Session, call: InboxCall): Promise<unknown> {
    return observed(this.#events, '$inbox', undefined, async (events) => {
      const { handle } = await import('./handle.js')
      return handle(session, this.#parts, call, events)
    })
  }

  async prune(session: Session, options: unknown): Promise<{ count: number }> {
    const { pruneInbox } = await import('./prune.js')
    return pruneInbox(session, this.#parts.map, options)
  }
}
