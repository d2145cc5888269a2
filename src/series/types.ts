import type { ScopeBinding } from '../mapping/scoped.js'
import type { CallOptions } from '../retry/call-options.js'
import type { SeriesOptions } from './options.js'
import type { Gap, GivenNumber } from './store.js'

/** The names of the series that the options define, and any other. */
export type SeriesName<O> =
  | NameOf<Extract<keyof NonNullable<O extends SeriesOptions ? O['series'] : never>, string>>
  | (string & {})

/** The names that a definition is for: its own, or all that begin like its pattern. */
export type NameOf<K extends string> = K extends `${infer P}*` ? `${P}${string}` : K

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

export interface PeekOptions {
  /** The moment whose period is asked for. Default: now. */
  readonly at?: Date | undefined
}

/** The number that would be next. It is not taken, so it is no promise. */
export interface PeekedNumber {
  readonly value: bigint
  readonly text: string
  readonly period: string
}

export interface VoidNumberArgs extends CallOptions {
  readonly value: number | bigint
  /** Such as `2026`; of a series that begins again. */
  readonly period?: string | undefined
  /** It is shown by `gaps`. */
  readonly reason: string
}

export interface VoidedNumber {
  readonly period: string
  readonly value: bigint
  readonly reason: string
  /** Whether it was void for that reason already. */
  readonly replayed: boolean
}

export interface ClosePeriodArgs extends CallOptions {
  /** Such as `2026`; of a series that begins again. */
  readonly period?: string | undefined
  /** The reason for which the free numbers become void. */
  readonly reason: string
}

export interface ClosedPeriod {
  readonly period: string
  /** The numbers that were free, and that this call made void. */
  readonly voided: readonly bigint[]
}

export interface CreateDocumentArgs<Input> extends CallOptions {
  /** The purpose of the document; it is unique, and the document is created once for it. */
  readonly transactionId: string
  /** The values of the document, but for those that the series fills in. */
  readonly record: Input
  /** The moment whose period the number belongs to, such as the invoice's date. Default: now. */
  readonly at?: Date | undefined
}

/** A document that has its number. */
export interface CreatedDocument<Document> {
  /** The document as it is in the database. */
  readonly record: Document
  readonly value: bigint
  /** The number as the series' format writes it, such as `INV-2026-000001`. */
  readonly text: string
  /** Whether the transaction id had the document already. */
  readonly replayed: boolean
}

/** The input and the record of `create`, by the names of the series that have a `document`. */
export type SeriesDocuments = Readonly<Record<string, { readonly input: unknown; readonly record: unknown }>>

/** The series of options: with a scope, each call is told it, or is made on `in`. */
export type SeriesOf<O, D extends SeriesDocuments, Scope> = O extends { readonly scope: readonly string[] }
  ? ScopedSeries<O, D, Scope>
  : NumberSeries<O, D>

/** The scope that a call is made in, such as one company. */
export interface InScope<Scope> {
  readonly scope: Scope
}

/** `db.$series` of options with a `scope`: the calls of `NumberSeries`, each with its scope. */
export interface ScopedSeries<O, D extends SeriesDocuments, Scope> extends ScopeBinding<NumberSeries<O, D>, Scope> {
  /** Like `next` of `NumberSeries`, in a scope. */
  next(series: SeriesName<O>, options: NextNumberOptions & InScope<Scope>): Promise<GivenNumber>

  /** Like `create` of `NumberSeries`, in a scope. */
  create<N extends keyof D & string>(
    series: N,
    args: CreateDocumentArgs<D[N]['input']> & InScope<Scope>,
  ): Promise<CreatedDocument<D[N]['record']>>

  /** Like `gaps` of `NumberSeries`, in a scope. */
  gaps(series: SeriesName<O>, options: GapsOptions & InScope<Scope>): Promise<Gap[]>

  /** Like `peek` of `NumberSeries`, in a scope. */
  peek(series: SeriesName<O>, options: PeekOptions & InScope<Scope>): Promise<PeekedNumber>

  /** Like `void` of `NumberSeries`, in a scope. */
  void(series: SeriesName<O>, args: VoidNumberArgs & InScope<Scope>): Promise<VoidedNumber>

  /** Like `closePeriod` of `NumberSeries`, in a scope. */
  closePeriod(series: SeriesName<O>, args: ClosePeriodArgs & InScope<Scope>): Promise<ClosedPeriod>
}

/** `db.$series`, and `tx.$series` inside a transaction. `D` are the documents of its series (`DocumentsOf`). */
export interface NumberSeries<O, D extends SeriesDocuments = SeriesDocuments> {
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
   * **In parallel** (`parallel: true`): only on a `tx`, and with a `transactionId`. The number is the lowest free one
   * that no other transaction has taken, so nobody waits for anybody's commit, and a rollback gives it back. Numbers do
   * not follow the order of commits. At REPEATABLE READ and above it is taken like a gapless one where there is no free one.
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
   * Numbers a document and inserts it, exactly once per transaction id: a duplicate gets the document as it is now,
   * with `replayed: true`. Gapless also where the series has `blocks`.
   *
   * On the client it is one statement, and calls of one process that come together are one statement, so that the
   * counter is locked no longer than it takes: this is the fastest way to number many documents. A bad
   * document fails alone, and uses no number. In a transaction it is part of that, like `next`.
   *
   * A duplicate has to bring the same values: each of them is compared with the document as it is now, and so is the
   * number. Where your program has changed one of them meanwhile, a late duplicate is a mismatch, and changes nothing.
   *
   * Where another extension takes part in inserts of the model, or Prisma itself makes a value (`uuid()`), the document
   * is inserted by Prisma's own `create`, in a transaction and not together with others.
   *
   * @throws SeriesOverflowError if the format has no room for another number; none is used up
   * @throws IdempotencyMismatchError if the transaction id came with other values before; it names the fields
   * @throws OverloadedError if `maxWaiting` calls wait already
   * @throws OutcomeUnknownError if the connection was lost and nobody can be asked what became of the document
   *
   * @example
   * const { record, text } = await db.$series.create('invoice', { transactionId, record: { orderId } })
   * console.log(text, record.id) // INV-2026-000001
   *
   * Source: PostgreSQL manual, INSERT, "ON CONFLICT Clause".
   */
  create<N extends keyof D & string>(
    series: N,
    args: CreateDocumentArgs<D[N]['input']>,
  ): Promise<CreatedDocument<D[N]['record']>>

  /**
   * The numbers that were taken, but that no transaction id has: none, for a gapless series whose
   * numbers were all taken with a `transactionId`, as long as nobody deletes any. Those that are void or free say so.
   *
   * @example
   * await db.$series.gaps('invoice', { period: '2026' }) // [{ period: '2026', from: 7n, to: 8n }]
   */
  gaps(series: SeriesName<O>, options?: GapsOptions): Promise<Gap[]>

  /**
   * The number that would be next, without taking it. It is no promise: anybody may take it meanwhile. Of a series in
   * blocks it is the first one of the next block.
   *
   * @throws SeriesOverflowError if there is none
   *
   * @example
   * const { text } = await db.$series.peek('invoice') // the next one is probably INV-2026-000007
   */
  peek(series: SeriesName<O>, options?: PeekOptions): Promise<PeekedNumber>

  /**
   * Makes a number void that was taken, and that no transaction id has: `gaps` tells the reason. It is done once, and the
   * number is never handed out again. Its model is the option `void`. A series in blocks has none: its gaps need no reason.
   *
   * @throws SeriesNumberError if a transaction id has the number, or nobody has taken it yet
   * @throws IdempotencyMismatchError if it is void for another reason
   *
   * @example
   * await db.$series.void('invoice', { value: 7, period: '2026', reason: 'misprinted' })
   */
  void(series: SeriesName<O>, args: VoidNumberArgs): Promise<VoidedNumber>

  /**
   * Makes all numbers of a period void that are free still, for a series with `parallel`. It waits for the transactions
   * that have taken one. From then on each number of the period has a transaction id or a reason. A number of the period
   * that is asked for later opens free ones again: close it again then.
   *
   * The answer has the numbers that this call made void, also where the answer of its COMMIT was lost. To call again after
   * an OutcomeUnknownError is safe: numbers of the first call are not in the second answer, but in `gaps`, with their reason.
   *
   * @example
   * const { voided } = await db.$series.closePeriod('invoice', { period: '2026', reason: 'end of the year' })
   */
  closePeriod(series: SeriesName<O>, args: ClosePeriodArgs): Promise<ClosedPeriod>
}
