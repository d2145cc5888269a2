import type { Scoped } from '../mapping/scoped.js'
import type { CallOptions } from '../retry/call-options.js'

export type AllocateArgs<Where, Data> = CallOptions & {
  /** The purpose of the serials; it is unique, and the serials are allocated once for it. */
  transactionId: string
  /** Values to set on the serials that are taken, such as the order they are for. */
  data?: Data | undefined
} & (AnySerials<Where> | NamedSerials<Where>)

/** So many of the serials that there are. */
export interface AnySerials<Where> {
  /** Which serials, by plain values of their fields: `{ productId: 7 }`; `{}` is any of them. */
  where: Where
  count: number
  /** Whether fewer serials will do, where there are too few; perhaps none. Default false. */
  partial?: boolean | undefined
  numbers?: undefined
}

/** Particular serials, such as those that were scanned. */
export interface NamedSerials<Where> {
  /** Their numbers: all are taken, or none. */
  numbers: readonly string[]
  /** The other fields of their unique key, such as the product: needed where there are any. */
  where?: Where | undefined
  count?: undefined
  partial?: undefined
}

export interface ReleaseArgs<Data = never> extends CallOptions {
  /** That of the allocation. */
  transactionId: string
  /** The numbers of the serials to free. Default: all that the transaction id has. */
  numbers?: readonly string[] | undefined
  /** Values to set on the serials, such as the state in which they came back. */
  data?: Data | undefined
}

/** From one number to another, both included. */
export interface SerialRange {
  from: number | bigint
  to: number | bigint
  /** `SN-{000000}`: room for six digits, filled up with zeros; `{0}` has room for any number of them. */
  format: string
}

export type ImportArgs<New> = CallOptions & {
  /** Unique; the serials are imported once for it. */
  transactionId: string
  /** How long it may take, in ms. Default: the deadline, which it extends if it is longer. */
  timeout?: number | undefined
} & (Record<never, never> extends New
    ? { data?: New | undefined }
    : {
        /** The values that all the new serials have, such as the product. */
        data: New
      }) &
  ({ range: SerialRange; numbers?: undefined } | { numbers: readonly string[]; range?: undefined })

/**
 * `db.$serials`, and `tx.$serials` inside a transaction.
 *
 * `Serial` is a record (`SerialOf`), `Where` what serials are found by (`SerialWhere`), `Data` what
 * `allocate` may set (`SerialData`), `New` the values of a new serial (`NewSerial`), and `Released` what `release` may set
 * (`ReleasedData`).
 */
export interface Serials<Serial, Where, Data, New, Released = Data> {
  /**
   * Takes free serials, exactly once per transaction id: a duplicate gets the same ones, with
   * `replayed: true`. It is all or nothing, unless `partial` allows fewer.
   *
   * Callers don't wait for one another as long as there are enough, so in a busy hour the lowest
   * numbers go first only by and large; numbers are compared as texts, so give them one width. A
   * call that finds too few waits for the calls that are about to take the others, and looks again: too few is
   * only said when it is true.
   *
   * A refusal leaves nothing behind, and is not remembered: a late duplicate may succeed after an
   * import. After a `release`, a duplicate gets what the transaction id still has, perhaps nothing;
   * it never takes serials a second time.
   *
   * Inside a transaction it runs there, and its serials are free again if that rolls back. Two
   * transactions that each hold the other's last serials are a deadlock (40P01), which
   * `$transactionWithRetry` runs again: allocate once per transaction, or in one order of products.
   *
   * With `numbers` it takes these and no others, all or none. It waits for callers that are about to take one of them.
   *
   * @throws InsufficientSerialsError if there are too few, with the number of free ones
   * @throws SerialsUnavailableError if not all `numbers` are free, with those that somebody has, and those that are not there
   * @throws IdempotencyMismatchError if the transaction id came with another request before
   *
   * @example
   * const { serials } = await db.$serials.allocate({
   *   transactionId, where: { productId: 7 }, count: 3, data: { orderId },
   * })
   *
   * Source: PostgreSQL manual, SELECT, "The Locking Clause".
   */
  allocate(args: AllocateArgs<Where, Data>): Promise<{ serials: Serial[]; replayed: boolean }>

  /**
   * Frees serials of an allocation: all that the transaction id has, or those with the given
   * numbers. Fields that the allocation had set by `data` are NULL again, where they may be, and those of `data` here
   * have its values. A second time it
   * finds nothing to free, and a serial that somebody else has is left alone.
   *
   * @example
   * const { released } = await db.$serials.release({ transactionId })
   */
  release(args: ReleaseArgs<Released>): Promise<{ released: number }>

  /**
   * Adds serials, exactly once per transaction id, and all or nothing: a range of numbers, or
   * numbers one by one. `imported` is how many; for a duplicate, how many it was the first time.
   *
   * @throws DuplicateSerialsError if some of them are there already; it names a few
   * @throws IdempotencyMismatchError if the transaction id came with another request before
   *
   * @example
   * await db.$serials.import({
   *   transactionId, data: { productId: 7 }, range: { from: 1, to: 2_500, format: 'SN-{000000}' },
   * })
   */
  import(args: ImportArgs<New>): Promise<{ imported: number; replayed: boolean }>

  /**
   * How many serials are free now, those included that somebody is about to take.
   *
   * @example
   * const left = await db.$serials.free({ productId: 7 })
   */
  free(where: Where): Promise<number>

  /**
   * Deletes what is over: the transaction ids of allocations and imports from before `forgetBefore` that have no serials
   * any more. A serial that somebody has keeps its allocation, however old that is.
   *
   * **A transaction id that was pruned is not known any more: an `allocate` that is sent again would take serials again.**
   * So `forgetBefore` is longer ago than any call may come again. An `import` would be refused, for its numbers are there.
   *
   * With `changesBefore` the beginnings of histories go as well, and the last change of each serial stays: `history`
   * refuses what is before.
   *
   * It commits page by page, so it may be killed at any point, and run on several machines at once. In a transaction it is
   * part of that.
   *
   * @returns how many rows were deleted
   * @throws ConfigurationError if the model of the allocations has no DateTime `createdAt` (`allocation.createdAt` names
   *   another field), or there is no `history` for `changesBefore`
   *
   * @example
   * const { allocations } = await db.$serials.prune({ forgetBefore: '2025-01-01' })
   */
  prune(args: PruneSerialsArgs): Promise<PruneSerialsResult>
}

/** The part of `$serials` that the option `history` adds: `Key` is the unique key of a serial, and `Change` a record of the history. */
export interface SerialsHistory<Key, Change> {
  /**
   * The owners of a serial over time: a record of the history for each change of its owner, in their order. A record has
   * the values of the serial after the change: its `transactionId` is the owner from `changedAt` on, and NULL where it is
   * free from then on.
   *
   * A page has at most `limit` changes (100, and up to 1,000). The next one begins behind the `sequence` of its last one. Where
   * the changes behind that were pruned, it is an InvalidArgumentError; without it, the history begins with what is there.
   * No change is missed: of one serial, each change has its sequence in the order of the commits.
   *
   * @example
   * const devices = base.$extends(concurrency()).$extends(
   *   serials({
   *     serial: { model: 'Device' },
   *     allocation: { model: 'DeviceAllocation' },
   *     history: { model: 'DeviceHistory' },
   *   }),
   * )
   * const changes = await devices.$serials.history({ productId: 7, number: 'SN-000001' }, { after: 0, limit: 50 })
   */
  history(serial: Key, options?: HistoryOptions): Promise<Change[]>
}

export interface HistoryOptions {
  /** The `sequence` of a change: only those behind it. Default: from the first one on. */
  after?: number | bigint | undefined
  /** How many changes at most, up to 1,000. Default 100. */
  limit?: number | undefined
}

export interface PruneSerialsArgs {
  /** Calls from before that are not expected again. It must not be in the future. */
  forgetBefore: Date | string
  /** Changes of owners from before are deleted as well, but for the last one of each serial. Default: none are. */
  changesBefore?: Date | string | undefined
  /** Rows per page. Default 1,000. */
  batchSize?: number | undefined
  /** Ends it after the page that is under way. */
  signal?: AbortSignal | undefined
}

export interface PruneSerialsResult {
  /** How many transaction ids were forgotten. */
  readonly allocations: number
  /** How many changes were deleted of the history. */
  readonly changes: number
}

/** `$serials` with its history, if the options name one. */
export type WithHistory<T, Key, Change> = [Change] extends [never] ? T : T & SerialsHistory<Key, Change>

/** `$serials`, with its scope if the options name one. */
export type ScopedSerials<T, Scope> = [Scope] extends [never] ? T : Scoped<T, Scope>
