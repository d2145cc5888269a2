/** Every contender by the baseline of its workload, in all workloads that stand for the others. */
import * as Plot from '@observablehq/plot'
import type { BenchResult } from '../../result.js'
import { FAMILIES } from '../families.js'
import type { Html } from '../html.js'
import { digits } from '../number.js'
import { contenderOf, headlines, isWrong, takersOf } from '../reading.js'
import { domainOf, draw, ticksOf } from './draw.js'

const ROW = 58

/** @param width as wide as the screen that it is for */
export function overview(result: BenchResult, width: number, className: string): Html | undefined {
  const rows = headlines(result).map((workload, index) => ({
    index,
    title: workload.title,
    baseline: `1× is ${contenderOf(result, workload.baseline).title}`,
    points: takersOf(result, workload).flatMap(({ contender, cell }) => {
      const ratio = cell.summary?.ratio?.median
      if (ratio === undefined || ratio <= 0) return []
      const look = FAMILIES[contender.family]
      return [{ index, ratio, ...look, family: contender.family, name: contender.title, isWrong: isWrong(cell) }]
    }),
  }))
  const points = rows.flatMap((row) => row.points)
  const domain = domainOf([1, ...points.map(({ ratio }) => ratio)])
  if (points.length === 0 || domain === undefined) return undefined
  const [low, high] = domain
  const ours = points.filter(({ family }) => family === 'ours')
  const others = points.filter(({ family }) => family !== 'ours')
  // Of several of ours, the fastest is named: the others are near it, and in the tables.
  const named = rows.flatMap((row) => {
    const [best] = row.points.filter(({ family }) => family === 'ours').sort((a, b) => b.ratio - a.ratio)
    return best === undefined ? [] : [best]
  })
  const ticks = ticksOf(low, high)
  const label = `Calls per second by those of the baseline. ${named
    .map(({ index, name, ratio }) => `${rows[index]?.title}: ${name} ${digits(ratio)} times`)
    .join('; ')}.`
  return draw(label, {
    className,
    width,
    height: rows.length * ROW + 46,
    marginLeft: 4,
    marginRight: 12,
    marginTop: 4,
    marginBottom: 38,
    x: { type: 'log', domain: [low, high], label: null },
    y: { type: 'linear', domain: [rows.length - 0.5, -0.5], axis: null },
    r: { type: 'identity' },
    color: { type: 'identity' },
    symbol: { type: 'identity' },
    marks: [
      Plot.gridX(ticks, { stroke: 'var(--line)', strokeOpacity: 1 }),
      Plot.ruleX([1], { stroke: 'var(--soft)', strokeDasharray: '3,3' }),
      Plot.axisX(ticks, {
        tickFormat: (ratio: number) => `${ratio}×`,
        tickSize: 0,
        fill: 'var(--soft)',
        label: 'calls per second by those of the baseline, logarithmic',
        labelAnchor: 'left',
        labelArrow: 'none',
        labelOffset: 34,
      }),
      Plot.text(rows, {
        y: 'index',
        text: 'title',
        frameAnchor: 'left',
        textAnchor: 'start',
        dy: -19,
        fontWeight: 600,
        fontSize: 13,
        fill: 'var(--ink)',
      }),
      Plot.text(rows, {
        y: 'index',
        text: 'baseline',
        frameAnchor: 'left',
        textAnchor: 'start',
        dy: -4,
        fontSize: 11,
        fill: 'var(--soft)',
      }),
      ...[true, false].map((wrong) =>
        Plot.dot(
          others.filter((point) => point.isWrong === wrong),
          {
            x: 'ratio',
            y: 'index',
            dy: 13,
            r: 4.5,
            symbol: 'symbol',
            stroke: 'colour',
            strokeWidth: 1.5,
            fill: wrong ? 'var(--paper)' : 'colour',
            fillOpacity: 0.75,
            title: ({ name, ratio }) => `${name}: ${digits(ratio)}×`,
          },
        ),
      ),
      Plot.dot(ours, {
        x: 'ratio',
        y: 'index',
        dy: 13,
        r: 7,
        symbol: 'symbol',
        fill: 'colour',
        stroke: 'var(--paper)',
        strokeWidth: 1.5,
        title: ({ name, ratio }) => `${name}: ${digits(ratio)}×`,
      }),
      Plot.text(named, {
        y: 'index',
        text: ({ ratio }) => `${digits(ratio)}×`,
        frameAnchor: 'right',
        textAnchor: 'end',
        dy: -19,
        fontSize: 14,
        fontWeight: 700,
        fontVariant: 'tabular-nums',
        fill: 'var(--ours)',
      }),
    ],
  })
}
