/** Batches after a replay. */
const CAREFUL_BATCHES = 100

/**
 * Tells whether a batch should look for its transaction ids first. An error for a recorded one costs a connection of
 * the pool, and the look a tenth of a statement's time. Replays seldom come by themselves.
 */
export class ReplayWatch {
  #careful = 0

  /** There was a replay. */
  note(): void {
    this.#careful = CAREFUL_BATCHES
  }

  /** Asked once per batch. */
  expectsReplays(): boolean {
    if (this.#careful === 0) return false
    this.#careful--
    return true
  }
}
