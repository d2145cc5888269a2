/** Where each contender bends: a small plot each, with the others in grey behind it, all on the same axes. */
import * as Plot from '@observablehq/plot'
import type { BenchResult } from '../../result.js'
import { FAMILIES } from '../families.js'
import { type Html, html } from '../html.js'
import { digits } from '../number.js'
import { type Group, type Taker, takersOf } from '../reading.js'
import { domainOf, draw, HALO, ticksOf, tickText } from './draw.js'

const WIDTH = 164
const HEIGHT = 128

export interface Growing {
  /** Such as `calls per second`. */
  readonly title: string
  value(taker: Taker): number | undefined
}

interface Point {
  readonly id: string
  readonly at: number
  readonly value: number
}

/** @returns undefined if there is no curve: a single point is none */
export function growth(result: BenchResult, { workloads }: Group, growing: Growing): Html | undefined {
  const takers = workloads.flatMap((workload) => takersOf(result, workload))
  const points = takers.flatMap((taker): Point[] => {
    const [at, value] = [taker.workload.curve?.value, growing.value(taker)]
    return at === undefined || value === undefined || value <= 0 ? [] : [{ id: taker.contender.id, at, value }]
  })
  const places = Array.from(new Set(points.map(({ at }) => at))).sort((a, b) => a - b)
  const domain = domainOf(points.map(({ value }) => value))
  if (places.length < 2 || domain === undefined) return undefined
  const axis = workloads[0]?.curve?.axis ?? ''
  // In the order of the result: ours first, and each family together.
  const shown = result.contenders.filter(({ id }) => points.some((point) => point.id === id))
  return html`<div class="growth">${shown.map(({ id, title, family }) => {
    const own = points.filter((point) => point.id === id).sort((a, b) => a.at - b.at)
    const said = own.map(({ at, value }) => `${digits(value)} at ${at}`).join(', ')
    return html`<figure${family === 'ours' ? html` class="ours"` : undefined}>
<figcaption>${title}</figcaption>
${small(points, own, FAMILIES[family].colour, places, domain, `${title}, ${growing.title} by ${axis}: ${said}`)}
</figure>`
  })}</div>
<p class="note">Across: ${axis}. Up: ${growing.title}. Both logarithmic, and the same in all of these; the others in grey.</p>`
}

function small(
  all: readonly Point[],
  own: readonly Point[],
  colour: string,
  places: readonly number[],
  [low, high]: readonly [number, number],
  label: string,
): Html {
  const ticks = ticksOf(low, high)
  const [first, last] = [places[0] ?? 1, places.at(-1) ?? 1]
  return draw(label, {
    width: WIDTH,
    height: HEIGHT,
    marginLeft: 30,
    marginRight: 8,
    marginTop: 18,
    marginBottom: 20,
    x: { type: 'log', domain: [first, last], axis: null },
    y: { type: 'log', domain: [low, high], axis: null },
    color: { type: 'identity' },
    marks: [
      Plot.gridY(ticks, { stroke: 'var(--line)', strokeOpacity: 1 }),
      Plot.text(ticks, {
        y: (tick: number) => tick,
        text: tickText,
        frameAnchor: 'left',
        textAnchor: 'end',
        dx: -5,
        fontSize: 10,
        fill: 'var(--soft)',
      }),
      Plot.text(places, {
        x: (place: number) => place,
        text: tickText,
        frameAnchor: 'bottom',
        dy: 14,
        fontSize: 10,
        fill: 'var(--soft)',
      }),
      Plot.line(all, { x: 'at', y: 'value', z: 'id', stroke: 'var(--ghost)', strokeWidth: 1, sort: 'at' }),
      Plot.line(own, { x: 'at', y: 'value', stroke: colour, strokeWidth: 2.5 }),
      Plot.dot(own, { x: 'at', y: 'value', fill: colour, r: 2.5 }),
      // Inwards from both ends, so that they keep clear of the axis and of the edge.
      ...(['start', 'end'] as const).map((textAnchor) =>
        Plot.text(
          own.length > 1 || textAnchor === 'start' ? own.slice(...(textAnchor === 'start' ? [0, 1] : [-1])) : [],
          {
            x: 'at',
            y: 'value',
            text: ({ value }: Point) => digits(value),
            textAnchor,
            dx: textAnchor === 'start' ? -3 : 6,
            dy: -11,
            fontSize: 11,
            fontWeight: 600,
            fill: 'var(--ink)',
            ...HALO,
          },
        ),
      ),
    ],
  })
}
