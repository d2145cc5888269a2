import type { Session } from '../engine/session.js'
import { isConcurrencyError } from '../errors/index.js'
import type { Body } from '../transactions/with-retry.js'
import { AT_LEAST, type KeyStore, ONCE_PER } from './key-store.js'
import type { OperationCall, Operations } from './operation.js'
import { currentPeriod, gridOf, type Period, secondsOf } from './period.js'

/** What became of a call of `$oncePer`. */
export type OncePerResult<R> =
  | { readonly ran: true; readonly result: R }
  /** When it ran, or `undefined` if it is running right now. */
  | { readonly ran: false; readonly since: Date | undefined }

/** Runs the job's body once per period: who comes second is told so at once. */
export async function oncePer<R>(
  operations: Operations,
  session: Session,
  store: KeyStore,
  job: string,
  period: Period,
  options: Pick<OperationCall, 'transaction' | 'answerLimit'>,
  body: Body<R>,
): Promise<OncePerResult<R>> {
  const name = nameOf(job, period)
  const key =
    typeof name.key === 'string' ? name.key : await options.transaction.deadline.race(name.key(session), 'the database')
  const call: OperationCall = {
    ...options,
    scope: name.scope,
    key,
    request: undefined,
    whileRunning: 'refuse',
    keepsAnswer: false, // nobody is given it a second time
    pause: name.pause,
  }
  try {
    const outcome = await operations.run(session, store, call, body)
    return outcome.replayed ? { ran: false, since: outcome.since } : { ran: true, result: outcome.result }
  } catch (error) {
    // The body may have asked for other operations, and met one that runs.
    const isOwn =
      isConcurrencyError(error, 'IDEMPOTENCY_IN_PROGRESS') && error.scope === call.scope && error.key === key
    if (isOwn) return { ran: false, since: undefined }
    throw error
  }
}

interface Name {
  readonly scope: string
  readonly key: string | ((session: Session) => Promise<string>)
  readonly pause?: number
}

/** Under which key the period's run is noted; a pause has one key for all its runs, and renews it. */
function nameOf(job: string, period: Period): Name {
  const scope = `${ONCE_PER}${job}`
  if (typeof period === 'string') return { scope, key: period }
  if ('atLeast' in period) {
    return { scope: `${AT_LEAST.scope}${job}`, key: AT_LEAST.key, pause: secondsOf(period.atLeast, 'period.atLeast') }
  }
  const grid = gridOf(period)
  return { scope, key: (session) => currentPeriod(session, grid) }
}
