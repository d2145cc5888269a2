/** The common part of the contenders with an outbox: which payments were made in this process, and which were told. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Environment } from '../contender.js'

/** How many messages a process handles at a time: half of its connections. */
export const RELAYS = 8

/** The connections of callers and of relays, where they have pools of their own. */
export const poolSizes = ({ poolSize }: Environment) => ({ callers: poolSize - RELAYS - 2, relays: RELAYS + 2 })

/** In ms: how long somebody who has found nothing waits before the next look. */
export const LOOK_AGAIN = 50

export class Telling {
  readonly #made = new Set<string>()
  readonly #told = new Set<string>()
  #isOver = false

  /** The payment is committed. */
  made(transactionId: string): void {
    this.#made.add(transactionId)
  }

  /** Its message was handled, and may be again. */
  told(transactionId: string): void {
    this.#told.add(transactionId)
  }

  /** Every payment that was made was told, but that the last ones may not be committed. */
  async settled(): Promise<void> {
    while (this.#told.size < this.#made.size) await sleep(5)
  }

  /** Looks for messages with so many at once, until `end`. `handle` tells whether it has found one. */
  relay(handle: () => Promise<boolean>): { end(): Promise<void> } {
    const work = async () => {
      while (!this.#isOver) if (!(await handle())) await sleep(LOOK_AGAIN)
    }
    const working = Promise.all(Array.from({ length: RELAYS }, work))
    working.catch(() => {}) // it is awaited at the end
    return {
      end: async () => {
        this.#isOver = true
        await working
      },
    }
  }
}
