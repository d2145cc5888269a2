import { isConnectionLost, isTransactionConflict } from '../engine/error-facts.js'
import type { RootSession, TransactionSession } from '../engine/session.js'
import type { CallEvents } from '../events/call-events.js'
import type { WhyPrimary } from '../events/types.js'
import { systemClock } from '../sync/clock.js'
import { Deadline } from '../sync/deadline.js'
import { timeoutBehind } from '../transactions/bounded-body.js'
import type { Position } from './position.js'

export interface ReadAfter<R> {
  readonly at: Position
  readonly wait: number
  readonly timeout: number
  readonly body: (reader: object) => Promise<R>
  readonly events: CallEvents | undefined
}

/** How long it is until a replica is asked again, in ms: at first, and at most. */
const FIRST_PAUSE = 5
const LONGEST_PAUSE = 50
/** How long a replica that is not behind has for its answer, with the wait for a connection, in ms. */
const LONGEST_ASKING = 2_000

/** The body on the replica, if that is there in time, or on the primary. */
export async function readAfter<R>(primary: RootSession, replica: RootSession, call: ReadAfter<R>): Promise<R> {
  const read = await readOnReplica(replica, call)
  if ('result' in read) return read.result
  call.events?.tell({ type: 'read-on-primary', ...read }, undefined)
  const { timeout, body } = call
  return within(
    timeout,
    primary.transaction({ isolationLevel: 'ReadCommitted', timeout: timeoutBehind(timeout) }, async (tx) => {
      // So that a body that writes fails here as it does on a replica.
      await tx.rows({ text: `SELECT set_config('transaction_read_only', 'on', true)`, values: [] })
      return body(tx.client)
    }),
  )
}

/** A body that only reads may be left alone when its time is up. */
function within<T>(ms: number, work: Promise<T>): Promise<T> {
  return new Deadline(ms, undefined, systemClock).race(work, 'a body of $after')
}

type Read<R> = { readonly result: R } | { readonly why: WhyPrimary; readonly error?: unknown }

/**
 * READ COMMITTED, whatever the server's default is: the body's statements must see what is there when the replica says that
 * it is, and not what was there when it was first asked.
 *
 * A connection that is swallowed gives no answer, nor does its transaction ever end, so neither is waited for without a
 * limit. The body of a replica that answers too late does not begin.
 */
async function readOnReplica<R>(replica: RootSession, { at, wait, timeout, body }: ReadAfter<R>): Promise<Read<R>> {
  let state: 'asking' | 'reading' | 'late' = 'asking'
  let begin = () => {}
  const begun = new Promise<void>((resolve) => {
    begin = resolve
  })
  const isReading = () => state === 'reading'
  const longest = wait + LONGEST_ASKING
  const options = { isolationLevel: 'ReadCommitted', timeout: timeoutBehind(longest + timeout) } as const
  const read = replica.transaction<Read<R>>(options, async (tx) => {
    const why = await catchUp(tx, at, wait)
    if (why || state === 'late') return { why: why ?? 'unreachable' }
    state = 'reading'
    begin()
    return { result: await body(tx.client) }
  })
  try {
    await within(longest, Promise.race([begun, read]))
    return await within(timeout, read)
  } catch (error) {
    if (!isReading()) {
      state = 'late'
      return { why: 'unreachable', error }
    }
    if (isConnectionLost(error) || isTransactionConflict(error)) return { why: 'interrupted', error }
    throw error
  }
}

/** Waits until the replica has all that was committed before, or says why it cannot be read. */
async function catchUp(
  tx: TransactionSession,
  { timeline, lsn }: Position,
  wait: number,
): Promise<WhyPrimary | undefined> {
  const end = systemClock.now() + wait
  for (let pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    const [replayed] = await tx.rows<Replayed>({ text: REPLAYED, values: [lsn] })
    if (replayed === undefined) return 'no-replica'
    if (replayed.isHidden) return 'timeline-hidden'
    if (replayed.timeline !== timeline) return 'timeline'
    if (replayed.isThere) return undefined
    const left = end - systemClock.now()
    if (left <= 0) return 'behind'
    await new Promise<void>((resolve) => systemClock.timer(Math.min(pause, left), resolve))
  }
}

interface Replayed {
  readonly isThere: boolean
  readonly timeline: number | null
  readonly isHidden: boolean
}

/**
 * The place first, and then the timeline, which a join that needs the place makes certain: the timeline only grows, so one
 * that is still that of `at` was so when the place was reached. A place on another timeline says nothing.
 */
const REPLAYED = `
SELECT
  replayed.lsn >= $1::pg_lsn AS "isThere",
  received.timeline,
  received.pid IS NOT NULL AND received.timeline IS NULL AS "isHidden"
FROM (
  SELECT pg_last_wal_replay_lsn() AS lsn
  WHERE pg_is_in_recovery()
) AS replayed
LEFT JOIN LATERAL (
  SELECT received_tli AS timeline, pid
  FROM pg_stat_wal_receiver
  WHERE replayed.lsn IS NOT NULL
) AS received ON true`
