import { UsageError } from './command.js'

/**
 * Asks on the terminal. Nothing is asked where nobody could answer.
 *
 * @param otherwise the flag that answers it, such as `--yes`
 * @throws UsageError without a terminal
 */
export async function confirmed(question: string, otherwise: string): Promise<boolean> {
  const { confirm } = await prompts(otherwise)
  return (await confirm({ message: question, initialValue: false })) === true
}

/** The prompts, which are loaded when they are needed. */
export function prompts(otherwise: string) {
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    throw new UsageError(`there is no terminal to ask on: ${otherwise}`)
  }
  return import('@clack/prompts')
}
