import type { RootSession, Session } from '../engine/session.js'
import { InvalidArgumentError, TransactionRequiredError } from '../errors/index.js'
import { type Events, observed } from '../events/events.js'
import { callOptions } from '../retry/call-options.js'
import { DEFAULT_POLICY, LONGEST_TIMER, timeSpan } from '../retry/policy.js'
import { keyText } from '../sql/key-text.js'
import { systemClock } from '../sync/clock.js'
import * as s from '../values/schema.js'
import { checkArguments, keyTextSchema } from '../values/validation.js'
import type { LeaseMap } from './mapping.js'
import type { AssertLeaseOptions, Lease, LeaseFence, LeaseOptions } from './types.js'

const span = s.number('must be a number of ms')
const holdOptions = s.strictObject({
  ttl: span.check(s.gte(100, 'must be at least 100 ms'), s.lte(LONGEST_TIMER, `must be at most ${LONGEST_TIMER} ms`)),
  wait: s.optional(
    span.check(s.gte(0, 'must not be negative'), s.lte(LONGEST_TIMER, `must be at most ${LONGEST_TIMER} ms`)),
  ),
  signal: callOptions.signal,
})
const assertOptions = s.strictObject({ limit: s.optional(timeSpan) })
const fenceSchema = s.object(
  { name: keyTextSchema, token: s.bigint(), holder: keyTextSchema },
  'must be what the body of $withLease is given',
)

/** Leases on any engine: checks the arguments, and loads what carries them out with the first call. */
export class LeaseMethods {
  readonly map: LeaseMap
  readonly #events: Events | undefined

  constructor(map: LeaseMap, events: Events | undefined) {
    this.map = map
    this.#events = events
  }

  hold<R>(session: Session, name: string, options: LeaseOptions, body: (lease: Lease) => Promise<R>): Promise<R> {
    return observed(this.#events, '$withLease', undefined, async (events) => {
      const { ttl, wait = 0, signal } = checkArguments(holdOptions, options)
      const given = this.#nameOf(name)
      if (typeof body !== 'function') throw new InvalidArgumentError('body', 'must be a function of the lease.')
      const root = rootOf(session)
      signal?.throwIfAborted()
      const { hold } = await import('./hold.js')
      await this.map.keys.check(root)
      const place = { session: root, map: this.map, clock: systemClock }
      return hold(place, { name: given, ttl, wait, signal, events }, body)
    })
  }

  assert(session: Session, lease: LeaseFence, options: AssertLeaseOptions = {}): Promise<void> {
    return observed(this.#events, '$assertLease', undefined, async (events) => {
      const { limit } = checkArguments(assertOptions, options)
      const fence = fenceOf(lease)
      if (!session.inTransaction) {
        throw new TransactionRequiredError('$assertLease', 'no write would be fenced', 'read lease.isHeld')
      }
      const { assertLease } = await import('./assert.js')
      await assertLease(session, this.map, { lease, fence, limit, events, timeout: DEFAULT_POLICY.deadline })
    })
  }

  #nameOf(name: unknown): string {
    const [issue] = keyTextSchema.find(name)
    if (issue) throw new InvalidArgumentError('name', `${issue.message}.`)
    return keyText(String(name), this.map.name, 'name')
  }
}

/** A body of hours would keep the transaction open, and the lease could not be seen by others before its end. */
function rootOf(session: Session): RootSession {
  if (!session.inTransaction) return session
  throw new InvalidArgumentError(
    'client',
    'is the tx of a transaction, which would be open for as long as the lease is held. Call $withLease on the client.',
  )
}

/** A fence, and whether the lease that it is of can be proved to be held, where it is one of this process. */
export interface GivenFence {
  readonly name: string
  readonly token: bigint
  readonly holder: string
  readonly isProven: boolean
}

function fenceOf(lease: LeaseFence & { readonly isHeld?: boolean }): GivenFence {
  const [issue] = fenceSchema.find(lease)
  if (issue) {
    throw new InvalidArgumentError(['lease', ...issue.path].join('.'), `${issue.message}.`)
  }
  const { name, token, holder, isHeld = true } = lease
  return { name, token, holder, isProven: isHeld }
}
