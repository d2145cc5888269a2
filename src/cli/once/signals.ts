import { constants } from 'node:os'
import type { Child } from './child.js'

const NAMES = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** The signals that end this process. While the command runs, they go to it; else they end the wait. */
export class Signals {
  readonly #controller = new AbortController()
  readonly #listener = (name: NodeJS.Signals) => this.#take(name)
  #child: Child | undefined
  /** The first one that ended the wait. */
  received: NodeJS.Signals | undefined

  constructor() {
    for (const name of NAMES) process.on(name, this.#listener)
  }

  get aborted(): AbortSignal {
    return this.#controller.signal
  }

  /** As that of a shell. */
  get exitCode(): number {
    return this.received === undefined ? 0 : 128 + constants.signals[this.received]
  }

  async during<T>(child: Child, work: () => Promise<T>): Promise<T> {
    this.#child = child
    try {
      return await work()
    } finally {
      this.#child = undefined
    }
  }

  close(): void {
    for (const name of NAMES) process.off(name, this.#listener)
  }

  #take(name: NodeJS.Signals): void {
    if (this.#child === undefined) {
      this.received ??= name
      this.#controller.abort(new Error(`ended by ${name}`))
    } else if (name !== 'SIGINT' || !process.stdin.isTTY) {
      // The terminal gives ctrl-c to the command as well.
      this.#child.send(name)
    }
  }
}
