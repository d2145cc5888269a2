/** Observable Plot, drawn at once into SVG text: the report needs no script, and nothing from elsewhere. */
import * as Plot from '@observablehq/plot'
import { parseHTML } from 'linkedom'
import { Html } from '../html.js'

const { document } = parseHTML('<!doctype html><html><body></body></html>')

/** @param label what a person who cannot see the plot is told instead */
export function draw(label: string, { className = '', ...options }: Plot.PlotOptions): Html {
  const svg = Plot.plot({ ...options, document: document as unknown as Document, style: { fontSize: '12px' } })
  svg.querySelector('style')?.remove() // the report's own style sheet has it, once
  svg.setAttribute('class', `plot ${className}`.trim())
  svg.setAttribute('role', 'img')
  svg.setAttribute('aria-label', label)
  return new Html(svg.outerHTML)
}

/** Ticks at powers of ten only, as long as there are enough of them to read the axis by. */
export function ticksOf(low: number, high: number): number[] {
  const steps = Math.log10(high / low) > 1.5 ? [1] : [1, 2, 5]
  const ticks: number[] = []
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const step of steps) {
      const tick = Number((step * 10 ** power).toPrecision(1))
      if (tick >= low && tick <= high) ticks.push(tick)
    }
  }
  return ticks
}

/** A logarithmic domain around all numbers above zero; undefined if there are none. */
export function domainOf(numbers: readonly number[]): readonly [number, number] | undefined {
  const above = numbers.filter((number) => number > 0)
  if (above.length === 0) return undefined
  const [low, high] = [Math.min(...above), Math.max(...above)]
  // At least a factor of four, so that noise does not look like a difference.
  const widen = Math.max(1.15, Math.sqrt(Math.max(1, 4 / (high / low))))
  return [low / widen, high * widen]
}

/** 20000 is `20k` on an axis. */
export function tickText(number: number): string {
  if (number >= 1_000_000) return `${number / 1_000_000}M`
  return number >= 1_000 ? `${number / 1_000}k` : String(number)
}
