import type { Session } from '../engine/session.js'
import { OutcomeUnknownError } from '../errors/index.js'
import type { Deadline } from '../sync/deadline.js'
import { isServerAway, wasAnswerLost } from './ambiguous-outcome.js'

type Sender = Pick<Session, 'inTransaction' | 'rows'>

interface Found {
  /** Until when it is tried again on the root; the statements of a transaction have its limits. */
  readonly deadline?: Deadline | undefined
  /** The server that has committed it, where that is known: another one, after a failover, may not have it. */
  readonly server?: string
  /** Whether a body of the user's may have raised `synchronous_commit` in the transaction that is to be confirmed. */
  readonly hadBody?: boolean
}

const UNCONFIRMED = 'it is committed, and a synchronous standby has not confirmed that by the deadline'

/**
 * Called before a caller is told that something is committed which its call has found, and not written.
 *
 * COMMIT waits for a synchronous standby. A backend that is ended in this wait leaves its rows visible, though the
 * standby has not got them, and may never get them. WAL is one sequence: the commit of a write that begins after the
 * rows were seen waits until the standby has them, too. In a transaction, its own COMMIT does so.
 *
 * A lock on a row is WAL as well: a replay whose transaction locks one, as in `$stock`, needs no confirmation.
 *
 * Nothing is sent unless an answer was lost in this process, and nothing is written without a synchronous standby.
 *
 * @throws OutcomeUnknownError if the standby has not confirmed it by the deadline
 */
export async function confirm(session: Sender, found: Found = {}): Promise<void> {
  const { deadline } = found
  if (!wasAnswerLost()) return
  if (session.inTransaction) return write(session, found)
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        return await write(session, found)
      } catch (error) {
        if (!isServerAway(error) || !deadline || deadline.passed()) throw error
        await deadline.sleep(Math.min(250, 5 * 2 ** attempt))
      }
    }
  } catch (error) {
    throw new OutcomeUnknownError(UNCONFIRMED, { cause: error })
  }
}

/** A look for what an earlier call has left. */
interface Read<T> {
  readonly deadline?: Deadline | undefined
  read(): Promise<T>
  isFound(value: T): boolean
}

/**
 * Reads what an earlier call has left, and confirms it. Outside a transaction it is read again then: a failover may lie
 * between the two, and the server that has confirmed does not have what the lost one had.
 */
export async function readConfirmed<T>(session: Sender, { deadline, read, isFound }: Read<T>): Promise<T> {
  const value = await read()
  if (!isFound(value) || !wasAnswerLost()) return value
  await confirm(session, { deadline })
  return session.inTransaction ? value : read()
}

/** Asked first: a function that is not there, or not allowed, would end the transaction. */
const LOOK = `SELECT current_setting('synchronous_standby_names', true) <> '' AS "isNeeded",
  EXISTS (
    SELECT FROM pg_proc WHERE proname = 'pg_logical_emit_message' AND has_function_privilege(oid, 'EXECUTE')
  ) AS "isAllowed"`

/** A message in the WAL, for nobody. A transaction that has an id, and no WAL, does not wait for a standby. */
const WRITE = `pg_logical_emit_message(true, 'prisma-extension-concurrency', '')::text AS written`

/** `on` makes the standby write it to its disk. Less is not enough where the body may have asked for that. */
const RAISE = `set_config('synchronous_commit',
  CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true) AS level`

/** Timeline and recovery: another server, or one that has recovered, has others. */
export const SERVER = `concat(
    left(pg_walfile_name(pg_current_wal_lsn()), 8),
    ' ', (SELECT extract(epoch FROM stats_reset) FROM pg_stat_bgwriter)
  )`

async function write(session: Sender, { hadBody = false, server }: Found): Promise<void> {
  const ask = async (columns: string) => {
    const text = server === undefined ? columns : `${columns},\n  ${SERVER} AS server`
    const [row] = await session.rows<Answer>({ text, values: [] })
    // The standby that was promoted may never have got what the lost server has committed.
    if (row?.server !== server) throw new OutcomeUnknownError('the server that has committed it was lost since', {})
    return row
  }
  const look = await ask(LOOK)
  if (!look?.isNeeded) return
  if (!look.isAllowed) throw new OutcomeUnknownError('pg_logical_emit_message() is not allowed', {})
  await ask(`SELECT ${hadBody ? `${RAISE}, ` : ''}${WRITE}`)
}

interface Answer {
  readonly isNeeded?: boolean | null
  readonly isAllowed?: boolean
  readonly server?: string
}
