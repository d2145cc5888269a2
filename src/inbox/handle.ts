import type { Session, TransactionSession } from '../engine/session.js'
import type { CallEvents } from '../events/call-events.js'
import { confirm } from '../retry/confirm.js'
import { DEFAULT_POLICY } from '../retry/policy.js'
import { partOf, patienceWith } from '../transactions/method.js'
import { inNestedBody } from '../transactions/serialize.js'
import { claim, type Incoming, type Sorted } from './claim.js'
import type { InboxMap } from './mapping.js'
import type { InboxParts } from './methods.js'
import { type CheckedCall, type InboxCall, readCall } from './read.js'

/** The outcome of a call: there is no result where the body was not called. */
interface Outcome {
  readonly sorted: Sorted
  readonly results: readonly unknown[]
}

/** Handles the messages of a call that were not handled before. */
export async function handle(
  session: Session,
  { map, rootOf }: InboxParts,
  given: InboxCall,
  events: CallEvents | undefined,
): Promise<unknown> {
  const call = readCall(map, given)
  const work = (tx: TransactionSession) => handleIn(tx, map, call)
  const { sorted, results } = await (session.inTransaction
    ? inside(session, call, work)
    : rootOf(session).transactionWithRetry(work, partOf(events, { ...call.options })))
  const [result] = results
  const all = (list: readonly Incoming[]) => list.map((each) => each.given)
  if (call.isBatch) {
    const { fresh, duplicates, outdated } = sorted
    return { handled: all(fresh), duplicates: all(duplicates), outdated: all(outdated), result }
  }
  if (results.length > 0) return { status: 'handled', result }
  return { status: sorted.outdated.length > 0 ? 'outdated' : 'duplicate' }
}

/** In a savepoint: a body that throws takes back its own part alone. */
function inside(
  session: TransactionSession,
  { options }: CheckedCall,
  work: (tx: TransactionSession) => Promise<Outcome>,
): Promise<Outcome> {
  const { deadline } = patienceWith(DEFAULT_POLICY, options)
  return inNestedBody(session, deadline, (inner) => inner.keepingCalls(() => work(inner)))
}

async function handleIn(tx: TransactionSession, map: InboxMap, call: CheckedCall): Promise<Outcome> {
  const sorted = await claim(tx, map, call.consumer, call.messages)
  if (sorted.duplicates.length > 0) await confirm(tx)
  const { fresh } = sorted
  if (fresh.length === 0) return { sorted, results: [] }
  const result = await call.body(
    tx.client,
    fresh.map((each) => each.given),
  )
  return { sorted, results: [result] }
}
