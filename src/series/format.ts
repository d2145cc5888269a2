import { isNumberPlace, type Token, tokensOf } from '../values/placeholders.js'

/** How often a series begins again. */
export type Unit = 'year' | 'month' | 'day'

/** A format such as `INV-{yyyy}-{000000}`, taken apart. */
export interface Format {
  /** The text before the number, and behind it: patterns of PostgreSQL's `to_char`. */
  readonly before: string
  readonly after: string
  /** The least number of digits; a shorter number is filled up with zeros. */
  readonly width: number
  /** The highest number that there is room for. */
  readonly highest: bigint
  /** `undefined` if the series never begins again. */
  readonly unit: Unit | undefined
}

const LARGEST_BIGINT = 9_223_372_036_854_775_807n
const MOST_DIGITS = 18 // all numbers of 18 digits are a bigint, those of 19 are not

const DATE_PARTS: Readonly<Record<string, string>> = { yyyy: 'YYYY', yy: 'YY', MM: 'MM', dd: 'DD' }
const isDatePart = (text: string) => Object.hasOwn(DATE_PARTS, text)

/** The format, or what is wrong with it. */
export function parseFormat(text: string): Format | { readonly problem: string } {
  const tokens = tokensOf(text)
  if (tokens === undefined) return { problem: 'has a brace without its other half; a brace itself is written {{ or }}' }
  const placeholders = tokens.flatMap((token) => ('placeholder' in token ? [token.placeholder] : []))
  const problem = problemOf(placeholders)
  if (problem !== undefined) return { problem }

  const place = tokens.findIndex((token) => 'placeholder' in token && isNumberPlace(token.placeholder))
  const width = placeholders.find(isNumberPlace)?.length ?? 0
  return {
    before: tokens.slice(0, place).map(patternOf).join(''),
    after: tokens
      .slice(place + 1)
      .map(patternOf)
      .join(''),
    width,
    highest: width === 1 ? LARGEST_BIGINT : 10n ** BigInt(width) - 1n,
    unit: unitOf(placeholders),
  }
}

function problemOf(placeholders: readonly string[]): string | undefined {
  const unknown = placeholders.find((name) => !isDatePart(name) && !isNumberPlace(name))
  if (unknown !== undefined) {
    return `has {${unknown}}, which means nothing: there are {yyyy}, {yy}, {MM}, {dd}, and zeros such as {000000}`
  }
  const counters = placeholders.filter(isNumberPlace)
  const [counter] = counters
  if (counter === undefined) return 'has no place for the number, such as {000000}'
  if (counters.length > 1) return 'has two places for the number'
  if (counter.length > MOST_DIGITS) return `has room for more than ${MOST_DIGITS} digits`
  const has = (...names: string[]) => names.some((name) => placeholders.includes(name))
  // The series begins again with each of them, so that the same text would be given twice.
  if (has('MM') && !has('yyyy', 'yy'))
    return 'has {MM} without {yyyy} or {yy}, so its numbers would come again each year'
  if (has('dd') && !has('MM')) return 'has {dd} without {MM}, so its numbers would come again each month'
  return undefined
}

function unitOf(placeholders: readonly string[]): Unit | undefined {
  if (placeholders.includes('dd')) return 'day'
  if (placeholders.includes('MM')) return 'month'
  return placeholders.some(isDatePart) ? 'year' : undefined
}

/** In a pattern of `to_char`, text stands in quotes, with a backslash before a quote or a backslash. */
function patternOf(token: Token): string {
  if ('literal' in token) return `"${token.literal.replace(/["\\]/g, '\\$&')}"`
  return DATE_PARTS[token.placeholder] ?? ''
}
