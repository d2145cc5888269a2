/** How each call of this library grows with what it is given: a small plot each, and the figures in a table. */
import * as Plot from '@observablehq/plot'
import { remarkOf } from '../growth/table.js'
import type { BenchResult, GrowthCurve } from '../result.js'
import { domainOf, draw, HALO, ticksOf, tickText } from './charts/draw.js'
import { type Html, html } from './html.js'
import { count, digits } from './number.js'

const WIDTH = 220
const HEIGHT = 150

export function growthSection({ growth }: BenchResult): Html | undefined {
  if (growth === undefined) return undefined
  return html`<section id="growth"><h2>How this library grows</h2>
<p>Calls per second on the client that the README shows, with prepared statements; with several callers or processes, of all
of them together. Both axes are logarithmic. The table below has the CPU of the client per call, and its memory for each call that waits.</p>
<div class="growth">${growth.map(
    (curve) => html`<figure class="ours"><figcaption>${curve.title}</figcaption>
${plot(curve)}<p class="note">by ${curve.axis}</p></figure>`,
  )}</div>
<div class="scroll" role="region" tabindex="0" aria-label="How this library grows, all figures"><table>
<thead><tr><th scope="col">Call</th><th scope="col" class="text">by</th><th scope="col">at</th><th scope="col">per second</th>
<th scope="col">CPU per call, µs</th><th scope="col">memory per waiting call, kB</th><th scope="col" class="text">remark</th></tr></thead>
<tbody>${growth.map((curve) => rows(curve))}</tbody></table></div></section>`
}

function rows(curve: GrowthCurve): Html[] {
  return curve.points.map(
    ({ at, perSecond, cpuMicroseconds, heapBytesPerCall, error }, index) => html`<tr>
<th scope="row">${index === 0 ? curve.title : ''}</th><td class="text">${index === 0 ? curve.axis : ''}</td><td>${count(at)}</td>
<td>${error === undefined ? digits(perSecond) : '–'}</td><td>${error === undefined ? digits(cpuMicroseconds) : '–'}</td>
<td>${heapBytesPerCall === null ? '–' : digits(heapBytesPerCall / 1_000)}</td><td class="text">${index === 0 ? remarkOf(curve) : ''}</td></tr>
`,
  )
}

function plot({ title, axis, points }: GrowthCurve): Html {
  const measured = points.filter(({ perSecond }) => perSecond > 0)
  const domain = domainOf(measured.map(({ perSecond }) => perSecond)) ?? [1, 10]
  const ticks = ticksOf(...domain)
  const sizes = points.map(({ at }) => at)
  const said = measured.map(({ at, perSecond }) => `${digits(perSecond)} at ${count(at)}`).join(', ')
  const small = { fontSize: 10, fill: 'var(--soft)' }
  return draw(`${title}, calls per second by ${axis}: ${said}`, {
    width: WIDTH,
    height: HEIGHT,
    marginLeft: 34,
    marginRight: 16,
    marginTop: 18,
    marginBottom: 20,
    x: { type: 'log', domain: [Math.min(...sizes), Math.max(...sizes)], axis: null },
    y: { type: 'log', domain: [...domain], axis: null },
    marks: [
      Plot.gridY(ticks, { stroke: 'var(--line)', strokeOpacity: 1 }),
      Plot.text(ticks, {
        y: (tick: number) => tick,
        text: tickText,
        frameAnchor: 'left',
        textAnchor: 'end',
        dx: -5,
        ...small,
      }),
      Plot.text(sizes, { x: (size: number) => size, text: tickText, frameAnchor: 'bottom', dy: 14, ...small }),
      Plot.line(measured, { x: 'at', y: 'perSecond', stroke: 'var(--ours)', strokeWidth: 2.5 }),
      Plot.dot(measured, { x: 'at', y: 'perSecond', fill: 'var(--ours)', r: 2.5 }),
      Plot.text(measured.slice(-1), {
        ...{ x: 'at', y: 'perSecond', text: ({ perSecond }: { perSecond: number }) => digits(perSecond) },
        ...{ dy: -11, dx: -6, fontSize: 11, fontWeight: 600, fill: 'var(--ink)' },
        ...HALO,
      }),
    ],
  })
}
