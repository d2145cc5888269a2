import type { RootSession, Session } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import { type Events, observed } from '../events/events.js'
import { timeSpan } from '../retry/policy.js'
import * as s from '../values/schema.js'
import { checkArguments } from '../values/validation.js'
import { type CheckedReplicas, waitSchema } from './options.js'

const DEFAULT_TIMEOUT = 5_000
const afterOptions = s.strictObject({ wait: s.optional(waitSchema), timeout: s.optional(timeSpan) })

/** The arguments of `$after`, as they come. */
export interface AfterCall {
  readonly at: unknown
  readonly body: unknown
  readonly options?: unknown
}

/** Reads from replicas on any engine. The code that carries them out is loaded with the first of them. */
export class ReplicaCalls {
  readonly #replicas: readonly RootSession[]
  readonly #wait: number
  readonly #events: Events | undefined
  #next: Promise<string> | undefined
  #turn = 0

  constructor(options: CheckedReplicas, sessionOf: (client: object) => RootSession, events: Events | undefined) {
    this.#replicas = options.clients.map(sessionOf)
    this.#wait = options.wait
    this.#events = events
  }

  at(session: Session): Promise<string> {
    return observed(this.#events, '$at', undefined, async () => {
      const root = rootOf(session, 'which is not committed yet. Call $at on the client, after it.')
      return (this.#next ??= this.#readNext(root))
    })
  }

  after(session: Session, { at, body, options = {} }: AfterCall): Promise<unknown> {
    return observed(this.#events, '$after', undefined, async (events) => {
      const { wait = this.#wait, timeout = DEFAULT_TIMEOUT } = checkArguments(afterOptions, options)
      if (!isBody(body)) throw new InvalidArgumentError('body', 'must be a function of the transaction client.')
      const root = rootOf(session, 'which reads on its own server. Call $after on the client.')
      const { parsePosition, readAfter } = await load()
      const replica = this.#replicas[this.#turn++ % this.#replicas.length] ?? root
      return readAfter(root, replica, { at: parsePosition(at), wait, timeout, body, events })
    })
  }

  /** It is sent in the next tick: those who ask before have committed before. */
  async #readNext(root: RootSession): Promise<string> {
    const { readPosition } = await load()
    await new Promise<void>((resolve) => setImmediate(resolve))
    this.#next = undefined
    return readPosition(root)
  }
}

async function load() {
  const [position, { readAfter }] = await Promise.all([import('./position.js'), import('./read-after.js')])
  return { ...position, readAfter }
}

function isBody(body: unknown): body is (reader: object) => Promise<unknown> {
  return typeof body === 'function'
}

function rootOf(session: Session, why: string): RootSession {
  if (!session.inTransaction) return session
  throw new InvalidArgumentError('client', `is the tx of a transaction, ${why}`)
}
