import type { Command } from 'commander'

/**
 * 0: nothing was found. 1: findings. 2: the command was called in a wrong way, or could not do its work. Others are those of
 * `once`, which has the exit code of the command that it runs.
 */
export type ExitCode = number

/** A command, in a file of its own in `commands`, which is loaded when it is called. `O` is the type of its options. */
export interface CommandModule<O extends object> {
  /** Its options and arguments, and its examples. */
  describe(command: Command): Command
  /** @throws UsageError for what was called in a wrong way */
  run(options: O, args: readonly string[], output: Output): Promise<ExitCode>
}

/** Where a command prints. */
export interface Output {
  /** A line on the standard output: the answer, and nothing else. */
  print(text: string): void
  /** A line on the standard error, such as what happens meanwhile. */
  note(text: string): void
}

/** The command was called in a wrong way, or something that it needs is not there. The message says what to do. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
