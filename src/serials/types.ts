import type { Scoped } from '../mapping/scoped.js'
import type { CallOptions } from '../retry/call-options.js'

export interface AllocateArgs<Where, Data> extends CallOptions {
  /** The purpose of the serials; it is unique, and the serials are allocated once for it. */
  transactionId: string
  /** Which serials, by plain values of their fields: `{ productId: 7 }`; `{}` is any of them. */
  where: Where
  count: number
  /** Values to set on the serials that are taken, such as the order they are for. */
  data?: Data | undefined
  /** Whether fewer serials will do, where there are too few; perhaps none. Default false. */
  partial?: boolean | undefined
}

export interface ReleaseArgs extends CallOptions {
  /** That of the allocation. */
  transactionId: string
  /** The numbers of the serials to free. Default: all that the transaction id has. */
  numbers?: readonly string[] | undefined
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
 * `allocate` may set (`SerialData`), and `New` the values of a new serial (`NewSerial`).
 */
export interface Serials<Serial, Where, Data, New> {
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
   * @throws InsufficientSerialsError if there are too few, with the number of free ones
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
   * numbers. Fields that the allocation had set by `data` are NULL again, where they may be. A second time it
   * finds nothing to free, and a serial that somebody else has is left alone.
   *
   * @example
   * const { released } = await db.$serials.release({ transactionId })
   */
  release(args: ReleaseArgs): Promise<{ released: number }>

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
}

/** `$serials`, with its scope if the options name one. */
export type ScopedSerials<T, Scope> = [Scope] extends [never] ? T : Scoped<T, Scope>
