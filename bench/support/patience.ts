/** How long a caller of any contender tries, so that nobody tries longer than the others. */

/** In ms: so long does a caller wait for a lock or a connection, or try to win, as with this library's own defaults. */
export const PATIENCE = 5_000

class GaveUp extends Error {
  override readonly name = 'GaveUp'
  constructor() {
    super(`Others have won for ${PATIENCE} ms.`)
  }
}

/** Makes attempts, each right after the other, until one wins. Resolves to the number of retries. */
export async function untilItWins(attempt: () => Promise<boolean>): Promise<number> {
  const deadline = performance.now() + PATIENCE
  for (let retries = 0; ; retries++) {
    if (await attempt()) return retries
    if (performance.now() >= deadline) throw new GaveUp()
  }
}
