import type { DeadlineHint } from '../errors/index.js'

/** For code of the user's that a transaction waits for. */
export const CALLS_FROM_INSIDE: DeadlineHint = {
  hint:
    'If it calls the client instead of its own `tx`, that call waits for a connection of the pool, or for a row, ' +
    'which this transaction holds; what it has sent there may still be carried out. Use the `tx` inside; ' +
    'else raise the limit, or find out what takes so long.',
}
