import type { SeriesOptions } from './options.js'
import type { Gap, GivenNumber } from './store.js'

/** The names of the series that the options define, and any other. */
export type SeriesName<O> =
  | Extract<keyof NonNullable<O extends SeriesOptions ? O['series'] : never>, string>
  | (string & {})

export interface NextNumberOptions {
  /** The owner of the number: it is given one of the series, however often it asks. */
  readonly transactionId?: string | undefined
  /** The moment whose period the number belongs to, such as the invoice's date. Default: the transaction's start. */
  readonly at?: Date | undefined
  /** Ends the wait for a block of numbers at once. */
  readonly signal?: AbortSignal | undefined
}

export interface GapsOptions {
  /** Only this period, such as `2026`. */
  readonly period?: string | undefined
}

/** `db.$series`, and `tx.$series` inside a transaction. */
export interface NumberSeries<O> {
  /**
   * The next number of a series.
   *
   * **Gapless**, unless the series has `blocks`: only on the `tx` of a transaction. The number is
   * used up when the transaction commits, and by nobody if it rolls back. That has a price: the
   * counter is one row, locked from this call until the end of the transaction, and everybody
   * else who wants a number of the same series and period waits for it. So take it last, and
   * commit. A transaction that takes of several series takes them in one order everywhere,
   * or two transactions deadlock, and one of them is run again.
   *
   * **In blocks**: also on the client itself. The process takes so many numbers at a time and
   * gives them out from memory; nobody waits for anybody else's transaction. A number that is not given out
   * when the process ends, or is given to a transaction that rolls back, is a gap. No number is given
   * twice. In a transaction, where a block cannot be had at once since all connections are in
   * use, the one number is taken like a gapless one.
   *
   * With a `transactionId` the number is noted, and a second call with it gets the same number,
   * with `replayed: true`, whatever its `at` is.
   *
   * @throws SeriesOverflowError if the format has no room for another number; none is used up
   * @throws TransactionRequiredError for a gapless number outside a transaction
   *
   * @example
   * await db.$transactionWithRetry(async (tx) => {
   *   const invoice = await tx.invoice.create({ data })
   *   const { text } = await tx.$series.next('invoice', { transactionId }) // INV-2026-000001
   *   await tx.invoice.update({ where: { id: invoice.id }, data: { number: text } })
   * })
   *
   * Source: PostgreSQL manual, INSERT, "ON CONFLICT Clause".
   */
  next(series: SeriesName<O>, options?: NextNumberOptions): Promise<GivenNumber>

  /**
   * The numbers that were taken, but that no transaction id has: none, for a gapless series whose
   * numbers were all taken with a `transactionId`, as long as nobody deletes any.
   *
   * @example
   * await db.$series.gaps('invoice', { period: '2026' }) // [{ period: '2026', from: 7n, to: 8n }]
   */
  gaps(series: SeriesName<O>, options?: GapsOptions): Promise<Gap[]>
}
