import { type RetryPolicy, retryPolicySchema } from '../retry/policy.js'
import { scopeSchema } from '../sql/scope.js'
import * as s from '../values/schema.js'
import { isTimeZone } from '../values/time-zone.js'
import { checkConfiguration, keyTextSchema, mappingSchema, nameSchema } from '../values/validation.js'
import { parseFormat, tellsFiscalYear } from './format.js'

/** The model whose records the numbers of a series are for, such as the invoices. */
export interface DocumentMapping {
  /** The model's name, such as `Invoice`. */
  readonly model: string
  /** The number as text; or an Int or BigInt, where the format is digits alone. Default `number`. */
  readonly number?: string
  /** Unique. It may be optional, for records that are made in another way. Default `transactionId`. */
  readonly transactionId?: string
  /** The plain number, an Int or BigInt. Default: none. */
  readonly value?: string
}

/** One series: how its numbers look, and how they are taken. */
export interface SeriesDefinition {
  /**
   * Text with one place for the number: `{000000}` has room for six digits, filled up with zeros,
   * and ends at 999999; `{0}` has room for any number. With `{yyyy}` or `{yy}`, `{MM}` and `{dd}`
   * the series begins again each year, month or day. `{fromyyyy}` and `{fromyy}` are the year in which the fiscal year
   * begins, `{toyyyy}` and `{toyy}` the one in which it ends. A brace itself is `{{` or `}}`. Default `{0}`.
   */
  readonly format?: string
  /** The month with which fiscal years begin, from 1 to 12. Default 1: they are calendar years. */
  readonly fiscalYearStart?: number
  /** The first number, also of each period. Default 1. */
  readonly start?: number | bigint
  /** Where the periods begin at midnight: `UTC`, or a name such as `Europe/Vienna`. Default `UTC`. */
  readonly timeZone?: string
  /**
   * How many numbers a process takes at a time, to give them out from memory. There can be gaps then, but
   * nobody waits for anybody. Without it the series is gapless.
   */
  readonly blocks?: number
  /**
   * Numbers without waiting: a transaction takes the lowest free number, and a rollback gives it back. All numbers are
   * explained in the end, and they do not follow the order of commits. Each needs a transaction id.
   */
  readonly parallel?: boolean
  /** The record that the numbers are for: `create` numbers and inserts one in a single call. */
  readonly document?: DocumentMapping
}

/** The model with a row per series and period. */
export interface CounterMapping {
  /** Default `Series`. */
  readonly model?: string
  /** Default `name`. */
  readonly name?: string
  /** Default `period`. */
  readonly period?: string
  /** The last number that was taken. Default `last`. */
  readonly last?: string
}

/** The model with a row per transaction id and series. */
export interface NumberMapping {
  /** Default `SeriesNumber`. */
  readonly model?: string
  /** Default `series`. */
  readonly series?: string
  /** Default `transactionId`. */
  readonly transactionId?: string
  /** Default `period`. */
  readonly period?: string
  /** Default `value`. */
  readonly value?: string
  /** Default `text`. */
  readonly text?: string
}

/** The model with a row per number that is void. */
export interface VoidMapping {
  /** Default `SeriesVoid`. */
  readonly model?: string
  /** Default `series`. */
  readonly series?: string
  /** Default `period`. */
  readonly period?: string
  /** Default `value`. */
  readonly value?: string
  /** Default `reason`. */
  readonly reason?: string
}

/** The model with a row per free number of a parallel series. */
export interface FreeMapping {
  /** Default `SeriesFree`. */
  readonly model?: string
  /** Default `series`. */
  readonly series?: string
  /** Default `period`. */
  readonly period?: string
  /** Default `value`. */
  readonly value?: string
}

export interface SeriesOptions {
  /**
   * The fields, in all models, that keep companies or tenants apart, such as `['companyId']`. Each call is told their
   * values then, and each scope has series, numbers and transaction ids of its own.
   */
  readonly scope?: readonly string[]
  /**
   * The series, by their names. A name that ends with `*` is a pattern, such as `invoice:*`: it defines all series whose
   * names begin so, unless the own name or a longer pattern does. Any other name is a gapless series of the format `{0}`.
   */
  readonly series?: Readonly<Record<string, SeriesDefinition>>
  /** Where the counters are, if not where `seriesSchema()` puts them. */
  readonly counter?: CounterMapping
  /** Where the numbers of transaction ids are, if not where `seriesSchema()` puts them. */
  readonly number?: NumberMapping
  /** Where the void numbers are. Default: numbers are made void in clients with a parallel series alone. */
  readonly void?: VoidMapping
  /** Where the free numbers of parallel series are, if not where `seriesSchema()` puts them. */
  readonly free?: FreeMapping
  /** How many calls of `create` may wait in this process; the next one is an OverloadedError. Default 10,000. */
  readonly maxWaiting?: number
  /**
   * The retry policy of every call, and its deadline, unless the call brings its own values. Default: the package's own;
   * `concurrency({ retry })` does not count here.
   */
  readonly retry?: RetryPolicy
}

/** Options without a scope, of which no series has a document. */
export interface NumbersOnly extends SeriesOptions {
  readonly scope?: undefined
  readonly series?: Readonly<Record<string, SeriesDefinition & { readonly document?: undefined }>>
}

const model = s.optional(nameSchema('a model'))

const format = keyTextSchema.check((text) => {
  const parsed = parseFormat(text)
  return 'problem' in parsed ? parsed.problem : undefined
})

const definitionForm = s.strictObject(
  {
    format: s.optional(format),
    fiscalYearStart: s.optional(s.whole().check(s.gte(1), s.lte(12))),
    start: s.optional(
      s
        .union([s.whole(), s.bigint()], 'must be a whole number')
        .check(s.refine((start) => start >= 0, 'must not be negative')),
    ),
    timeZone: s.optional(s.string().check(s.refine(isTimeZone, "must be 'UTC', or a name such as 'Europe/Vienna'"))),
    blocks: s.optional(
      s.whole('must be a whole number').check(s.gte(1), s.lte(1_000_000, 'must be at most 1,000,000')),
    ),
    parallel: s.optional(s.boolean()),
    document: s.optional(
      mappingSchema(['number', 'transactionId', 'value'], { model: nameSchema('a model') }, 'must be an object'),
    ),
  },
  'must be an object of options',
)

const definition = definitionForm.check(
  ({ format = '{0}', fiscalYearStart = 1 }) =>
    fiscalYearStart === 1 || tellsFiscalYear(format)
      ? undefined
      : 'has a fiscalYearStart, so the format needs the fiscal year: {fromyyyy}, {fromyy}, {toyyyy} or {toyy}',
  ({ parallel, blocks }) =>
    parallel && blocks !== undefined ? 'has parallel and blocks: numbers in blocks may have gaps' : undefined,
)

const seriesOptions = s.strictObject({
  scope: scopeSchema,
  series: s.optional(s.record(definition, keyTextSchema)),
  counter: s.optional(mappingSchema(['name', 'period', 'last'], { model })),
  number: s.optional(mappingSchema(['series', 'transactionId', 'period', 'value', 'text'], { model })),
  void: s.optional(mappingSchema(['series', 'period', 'value', 'reason'], { model })),
  free: s.optional(mappingSchema(['series', 'period', 'value'], { model })),
  maxWaiting: s.optional(s.whole().check(s.gte(1))),
  retry: s.optional(retryPolicySchema),
})

/** Checks the options' own form. Whether they fit the schema is checked when the client is known. */
export function checkSeriesOptions(options: SeriesOptions): SeriesOptions {
  return checkConfiguration(seriesOptions, options)
}
