/** Observable Plot, drawn at once into SVG text: the report needs no script, and nothing from elsewhere. */
import * as Plot from '@observablehq/plot'
import { parseHTML } from 'linkedom'
import { Html } from '../html.js'

const { document } = parseHTML('<!doctype html><html><body></body></html>')

/** For text that lies on lines. */
export const HALO = { stroke: 'var(--paper)', strokeWidth: 4, strokeLinejoin: 'round' } as const

/** @param label what a person who cannot see the plot is told instead */
export function draw(label: string, { className = '', ...options }: Plot.PlotOptions): Html {
  const svg = Plot.plot({ ...options, document: document as unknown as Document, style: { fontSize: '12px' } })
  svg.querySelector('style')?.remove() // the report's own style sheet has it, once
  svg.setAttribute('class', `plot ${className}`.trim())
  svg.setAttribute('role', 'img')
  svg.setAttribute('aria-label', label)
  return new Html(svg.outerHTML)
}

/** Ticks at powers of ten, and between them, where there would be too few to read the axis by. */
export function ticksOf(low: number, high: number): number[] {
  const [tens, ...finer] = [[1], [1, 3], [1, 2, 5]].map((steps) => {
    const ticks: number[] = []
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const step of steps) ticks.push(Number((step * 10 ** power).toPrecision(1)))
    }
    return ticks.filter((tick) => tick >= low && tick <= high)
  })
  return [tens, ...finer].find((ticks) => ticks !== undefined && ticks.length >= 3) ?? finer.at(-1) ?? []
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

/**
 * The names of the ticks below a plot, and of the axis below them. Not an axis of Plot's: a
 * logarithmic one leaves out names as d3 sees fit.
 */
export function axisBelow(
  ticks: readonly number[],
  tickFormat: (tick: number) => string,
  title: string,
  textAnchor: 'start' | 'end',
): Plot.Markish[] {
  const text = { frameAnchor: 'bottom', fill: 'var(--soft)' } as const
  const side = textAnchor === 'start' ? 'left' : 'right'
  return [
    Plot.text(ticks, { ...text, x: (tick: number) => tick, text: tickFormat, dy: 15 }),
    Plot.text([title], { ...text, frameAnchor: `bottom-${side}`, textAnchor, text: (line: string) => line, dy: 33 }),
  ]
}
