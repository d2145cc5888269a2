import type { CallEvents } from '../events/call-events.js'
import type { Effect } from './effects.js'

/** Runs in Node, and elsewhere. */
declare const process: { emitWarning?(warning: string): void } | undefined

/**
 * Runs them, one after the other. The transaction is committed, so an error of theirs is none of the call's: it is told
 * to the listener, or, without one, to `process.emitWarning`.
 */
export async function runEffects(effects: readonly Effect[], events: CallEvents | undefined): Promise<void> {
  for (const run of effects) {
    try {
      await run()
    } catch (error) {
      if (events?.events.isHeard) events.tell({ type: 'after-commit-failed', error })
      else if (typeof process !== 'undefined') {
        process.emitWarning?.(`A function of $afterCommit has failed. Its transaction is committed. ${error}`)
      }
    }
  }
}
