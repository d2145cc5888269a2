import type { TransactionSession } from '../engine/session.js'
import { InvalidArgumentError, TransactionRequiredError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { type Events, observed } from '../events/events.js'
import { scopeOf, seenBy } from './serialize.js'
import type { TransactionScope } from './transaction-scope.js'

/** A function that is run after the commit. */
export type Effect = () => unknown

/** `$afterCommit`: the function belongs to the body that the `tx` was given to. */
export function addEffect(tx: TransactionSession, run: unknown): void {
  if (typeof run !== 'function') throw new InvalidArgumentError('fn', 'must be a function.')
  const scope = scopeOf(tx)
  if (scope.commitSeenBy === undefined) {
    throw new TransactionRequiredError('$afterCommit', 'whose COMMIT is seen here', 'after it')
  }
  scope.check()
  scope.effects.push(() => run())
}

/** The functions of a body, as they come: for a transaction that gives its answer again. */
export function effectsOf(tx: TransactionSession): Effect[] {
  return scopeOf(tx).effects
}

/** The body of the last run of a call. */
export interface Committed {
  scope?: TransactionScope
}

/** Runs the functions of a call whose transaction was committed. Most have none, and their file is not loaded then. */
export async function runCommitted({ scope }: Committed, events: CallEvents | undefined): Promise<void> {
  if (!scope?.effects.length) return
  const { runEffects } = await import('./after-commit.js')
  await runEffects(scope.effects, events)
}

/** The same of a transaction that is no call of this package, to its listeners. */
export async function runAsCall(committed: Committed, operation: string, events: Events | undefined): Promise<void> {
  if (committed.scope?.effects.length) {
    await observed(events, operation, undefined, (own) => runCommitted(committed, own))
  }
}

/** A plain `$transaction`, whose functions are run when it is committed. One that a call of ours has opened is left to that. */
export async function runningEffects<R>(
  events: Events | undefined,
  run: (opened: (tx: TransactionSession) => void) => Promise<R>,
): Promise<R> {
  const committed: Committed = {}
  const result = await run((tx) => {
    committed.scope = seenBy(tx, '$transaction')
  })
  if (committed.scope?.commitSeenBy === '$transaction') await runAsCall(committed, '$transaction', events)
  return result
}
