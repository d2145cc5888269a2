import type { ContentionOptions, ContentionSnapshot } from './contention.js'

/** The type of `$contention`. */
export type ReadContention = (options?: ContentionOptions) => Promise<ContentionSnapshot>

/** The method that tells what was counted. */
export interface EventClientMethods {
  /**
   * Tells what the calls of this client have met in this process, since the client was made or the last `reset`: for each
   * method and model the conflicts, retries, waits and batches, and the rows and keys at which calls meet most.
   * `contentionReport()` of `prisma-extension-concurrency/report` makes a page of it, which says where a lock is
   * needed, and where something else costs less.
   *
   * Memory is bounded: a key beyond the hundred hottest is not told. Nothing is counted without `contention: true`.
   *
   * @throws InvalidArgumentError for a `top` that is no whole number above 0
   * @throws ConfigurationError without `concurrency({ contention: true })`
   *
   * @example
   * const { hot, operations } = await db.$contention({ top: 5 })
   */
  $contention: ReadContention
}
