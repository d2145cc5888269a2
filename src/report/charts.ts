import * as Plot from '@observablehq/plot'
import { parseHTML } from 'linkedom'
import type { HotSpot, OperationContention } from '../events/contention.js'
import { placeOf } from './advice.js'

const WIDTH = 860
const ROW = 30
const LONGEST_NAME = 44

const { document } = parseHTML('<!doctype html><html><body></body></html>')

/** Drawn at once into SVG text, so that the page needs no script. */
function draw(label: string, options: Plot.PlotOptions): string {
  const svg = Plot.plot({ width: WIDTH, marginLeft: 310, marginRight: 60, document, ...options })
  svg.querySelector('style')?.remove()
  svg.setAttribute('role', 'img')
  svg.setAttribute('aria-label', label)
  return svg.outerHTML
}

/** The end of a long name is cut: the list above the chart has it whole. */
function shortened(name: string): string {
  return name.length <= LONGEST_NAME ? name : `${name.slice(0, LONGEST_NAME - 1)}…`
}

export function hotChart(hot: readonly HotSpot[]): string {
  const spots = hot.map((spot, i) => ({ ...spot, name: `${i + 1}. ${shortened(placeOf(spot))}` }))
  const said = spots.map(({ name, count }) => `${name}: ${count}`).join(', ')
  return draw(`Conflicts, deadlocks and waits by key: ${said}`, {
    height: 60 + ROW * spots.length,
    x: { label: 'conflicts, deadlocks and waits', grid: true },
    y: { label: null, domain: spots.map(({ name }) => name) },
    marks: [
      Plot.barX(spots, { x: 'count', y: 'name', fill: 'var(--hot)', insetTop: 4, insetBottom: 4 }),
      Plot.text(spots, { x: 'count', y: 'name', text: 'count', textAnchor: 'start', dx: 5, fill: 'currentColor' }),
    ],
  })
}

export function waitChart(operations: readonly OperationContention[]): string {
  const waits = operations.flatMap((own) =>
    Object.entries(own.waits).map(([kind, wait]) => ({ ...wait, name: shortened(`${placeOf(own)}: ${kind}`) })),
  )
  const said = waits.map(({ name, p50, p99 }) => `${name} p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}`).join('; ')
  return draw(`Waits in ms: ${said}`, {
    height: 70 + ROW * waits.length,
    x: {
      label: 'ms waited: p50, p90 and p99',
      type: 'log',
      grid: true,
      domain: [1, Math.max(10, ...waits.map(({ max }) => max))],
    },
    y: { label: null, domain: waits.map(({ name }) => name) },
    marks: [
      Plot.ruleY(waits, { y: 'name', x1: 'p50', x2: 'p99', stroke: 'var(--bar)', strokeWidth: 2 }),
      ...(['p50', 'p90', 'p99'] as const).map((at) => Plot.dot(waits, { x: at, y: 'name', fill: 'var(--bar)', r: 4 })),
    ],
  })
}
