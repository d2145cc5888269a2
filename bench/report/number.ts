/** Figures as people read them, the same in the report, its plots and the README. */
import type { BenchResult, Spread } from '../result.js'

/** Three digits that count. */
export function digits(number: number): string {
  if (number === 0) return '0'
  const rounded = Number(number.toPrecision(3))
  if (Math.abs(rounded) < 0.001) return '<0.001'
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded))))
  return rounded.toLocaleString('en', { maximumFractionDigits: decimals })
}

export function count(number: number): string {
  return number.toLocaleString('en')
}

/** Lowest to highest. */
export function range({ low, high }: Spread): string {
  const [from, to] = [digits(low), digits(high)]
  return from === to ? from : `${from}–${to}`
}

export function plural(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`
}

/** How long the runs were measured: `412 to 533 ms per run`. */
export function measured({ windows }: BenchResult['method']): string {
  const lengths = windows.map(({ measuredMilliseconds }) => measuredMilliseconds)
  const [least, most] = [Math.min(...lengths), Math.max(...lengths)]
  return `${least === most ? least : `${least} to ${most}`} ms per run`
}
