import { isNumberPlace, type Token, tokensOf } from '../values/placeholders.js'

/** How often a series begins again. */
export type Unit = 'year' | 'month' | 'day'

/** Text for a date: a pattern of PostgreSQL's `to_char`, and how many months the moment is moved for it. */
export interface DatePattern {
  readonly pattern: string
  readonly months: number
}

/** A format such as `INV-{yyyy}-{000000}`, taken apart. */
export interface Format {
  /** The text before the number, and behind it. */
  readonly before: readonly DatePattern[]
  readonly after: readonly DatePattern[]
  /** The least number of digits; a shorter number is filled up with zeros. */
  readonly width: number
  /** The highest number that there is room for. */
  readonly highest: bigint
  /** `undefined` if the series never begins again. */
  readonly unit: Unit | undefined
  /** How many months after January its years begin. */
  readonly shift: number
}

const LARGEST_BIGINT = 9_223_372_036_854_775_807n
const MOST_DIGITS = 18 // all numbers of 18 digits are a bigint, those of 19 are not

const DATE_PARTS: Readonly<Record<string, string>> = {
  yyyy: 'YYYY',
  yy: 'YY',
  MM: 'MM',
  dd: 'DD',
  fromyyyy: 'YYYY',
  fromyy: 'YY',
  toyyyy: 'YYYY',
  toyy: 'YY',
}
const FISCAL = /^(?:from|to)yy/
const isDatePart = (text: string) => Object.hasOwn(DATE_PARTS, text)

/** The format, or what is wrong with it. Fiscal years begin with the first of the given month. */
export function parseFormat(text: string, fiscalYearStart = 1): Format | { readonly problem: string } {
  const tokens = tokensOf(text)
  if (tokens === undefined) return { problem: 'has a brace without its other half; a brace itself is written {{ or }}' }
  const placeholders = tokens.flatMap((token) => ('placeholder' in token ? [token.placeholder] : []))
  const problem = problemOf(placeholders)
  if (problem !== undefined) return { problem }

  const place = tokens.findIndex((token) => 'placeholder' in token && isNumberPlace(token.placeholder))
  const width = placeholders.find(isNumberPlace)?.length ?? 0
  return {
    before: patternsOf(tokens.slice(0, place), fiscalYearStart),
    after: patternsOf(tokens.slice(place + 1), fiscalYearStart),
    width,
    highest: width === 1 ? LARGEST_BIGINT : 10n ** BigInt(width) - 1n,
    unit: unitOf(placeholders),
    shift: unitOf(placeholders) === 'year' ? fiscalYearStart - 1 : 0,
  }
}

function problemOf(placeholders: readonly string[]): string | undefined {
  const unknown = placeholders.find((name) => !isDatePart(name) && !isNumberPlace(name))
  if (unknown !== undefined) {
    return `has {${unknown}}, which means nothing: there are {yyyy}, {yy}, {MM}, {dd}, {fromyyyy}, {fromyy}, {toyyyy}, {toyy}, and zeros such as {000000}`
  }
  const counters = placeholders.filter(isNumberPlace)
  const [counter] = counters
  if (counter === undefined) return 'has no place for the number, such as {000000}'
  if (counters.length > 1) return 'has two places for the number'
  if (counter.length > MOST_DIGITS) return `has room for more than ${MOST_DIGITS} digits`
  const has = (...names: string[]) => names.some((name) => placeholders.includes(name))
  // The series begins again with each of them, so that the same text would be given twice.
  if (has('MM') && !has('yyyy', 'yy') && !placeholders.some(isFiscal))
    return 'has {MM} without {yyyy} or {yy}, so its numbers would come again each year'
  if (has('dd') && !has('MM')) return 'has {dd} without {MM}, so its numbers would come again each month'
  return undefined
}

/** Whether a placeholder is the year in which a fiscal year begins or ends. */
const isFiscal = (placeholder: string) => FISCAL.test(placeholder)

/** Whether the format tells the fiscal year, without which numbers of two of them could be the same text. */
export function tellsFiscalYear(text: string): boolean {
  return (tokensOf(text) ?? []).some((token) => 'placeholder' in token && isFiscal(token.placeholder))
}

function unitOf(placeholders: readonly string[]): Unit | undefined {
  if (placeholders.includes('dd')) return 'day'
  if (placeholders.includes('MM')) return 'month'
  return placeholders.some(isDatePart) ? 'year' : undefined
}

/** The tokens as patterns: the fewest, and at least one. */
function patternsOf(tokens: readonly Token[], fiscalYearStart: number): readonly DatePattern[] {
  const patterns: DatePattern[] = []
  for (const token of tokens) {
    const months = 'literal' in token ? (patterns.at(-1)?.months ?? 0) : monthsTo(token.placeholder, fiscalYearStart)
    const last = patterns.at(-1)
    if (last?.months === months) patterns[patterns.length - 1] = { pattern: last.pattern + patternOf(token), months }
    else patterns.push({ pattern: patternOf(token), months })
  }
  return patterns.length > 0 ? patterns : [{ pattern: '', months: 0 }]
}

/** How far the moment is moved, so that its calendar year is the one in which its fiscal year begins or ends. */
function monthsTo(placeholder: string, fiscalYearStart: number): number {
  if (fiscalYearStart === 1 || !isFiscal(placeholder)) return 0
  return placeholder.startsWith('from') ? 1 - fiscalYearStart : 13 - fiscalYearStart
}

/** In a pattern of `to_char`, text stands in quotes, with a backslash before a quote or a backslash. */
function patternOf(token: Token): string {
  if ('literal' in token) return `"${token.literal.replace(/["\\]/g, '\\$&')}"`
  return DATE_PARTS[token.placeholder] ?? ''
}
