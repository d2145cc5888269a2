import type { CloseResult, PruneResult } from './results.js'

/** The calls at the end of a month, or of a year. */
export interface StockPeriods<Key> {
  /**
   * Closes the period up to a date, on all items: a movement with that date or an earlier one is a PeriodClosedError from
   * then on. One that is under way is committed before, or refused. Deferred movements of the period are folded
   * first. Periods that are closed longer stay so, unless `reopen` is given.
   *
   * It commits page by page, so it may be killed at any point, and run again. In a transaction it is part of that, which
   * must be at READ COMMITTED.
   *
   * @returns how many items were closed, and in `open` those of which something stays deferred: `project()` says why
   * @throws ConfigurationError if no columns `item.closedUntil` and `movement.date` are mapped
   * @throws InvalidArgumentError in a transaction above READ COMMITTED, or one that has locked or changed items before, if one of
   *   the two was in a savepoint: a movement that is deferred meanwhile could come in
   *
   * @example
   * const { closed, open = [] } = await db.$stock.close({ until: '2026-11-30' })
   */
  close(args: {
    /** The last date of the period; `null`, with `reopen`, opens all of them. */
    until: Date | string | null
    /** Whether it sets the date of items also where they are closed longer. Default false. */
    reopen?: boolean | undefined
    /** Items per page. Default 1,000. */
    batchSize?: number | undefined
    /** Ends it after the page that is under way. */
    signal?: AbortSignal | undefined
  }): Promise<CloseResult<Key>>

  /**
   * Deletes what has ended: reservations that were fulfilled or released, or have expired, before `forgetBefore`; and
   * movements of closed periods with an earlier date, which are added to the opening balance of their item (`item.opening`)
   * in the same statement. Each balance stays the sum of its opening balance and its movements at every moment. The movement
   * of a reservation that is still there stays with it.
   *
   * **A transaction id that was pruned is not known any more: sent again, it would be carried out again.** So `forgetBefore`
   * is longer ago than any call may come again. A call that names a date in a closed period is refused all the same. Of
   * a movement that is pruned, `reverse` is a ReversalError (`missing-or-pruned`); a reversal that was recorded before, and comes
   * again, is replayed.
   *
   * In a ledger with a history, the beginning of an item's history goes, and its last movement stays: `history` and
   * `balanceAt` refuse what is before.
   *
   * It commits page by page, so it may be killed at any point, and run on several machines at once. Items that others have
   * locked are left to the next call.
   *
   * @returns how many rows were deleted
   * @throws ConfigurationError if there are no reservations, and no columns `item.opening`, `item.closedUntil` and
   *   `movement.date` are mapped, without which no movement is pruned
   *
   * @example
   * const { movements, reservations } = await db.$stock.prune({ forgetBefore: '2025-01-01' })
   */
  prune(args: {
    /** Calls from before that are not expected again. It must not be in the future. */
    forgetBefore: Date | string
    /** Transactions per page. Default 1,000. */
    batchSize?: number | undefined
    /** Ends it after the page that is under way. */
    signal?: AbortSignal | undefined
  }): Promise<PruneResult>
}
