/** Every contender by the baseline of its workload, in all workloads that stand for the others. */
import * as Plot from '@observablehq/plot'
import type { BenchResult } from '../../result.js'
import { FAMILIES } from '../families.js'
import type { Html } from '../html.js'
import { digits } from '../number.js'
import { contenderOf, headlines, isWrong, takersOf } from '../reading.js'
import { axisBelow, domainOf, draw, HALO, ticksOf } from './draw.js'

interface Layout {
  readonly width: number
  /** Of a line. */
  readonly height: number
  /** The names stand to the left of the marks, in this width, or above them. */
  readonly names: number
  /** From the middle of a line, down. */
  readonly titleAt: number
  readonly baselineAt: number
  readonly marksAt: number
}

const LAYOUTS: Readonly<Record<'wide' | 'narrow', Layout>> = {
  wide: { width: 1080, height: 46, names: 310, titleAt: -8, baselineAt: 9, marksAt: 0 },
  narrow: { width: 340, height: 60, names: 0, titleAt: -20, baselineAt: -5, marksAt: 11 },
}

/** @param name which of both; the style sheet shows the one that fits the screen */
export function overview(result: BenchResult, name: keyof typeof LAYOUTS): Html | undefined {
  const { width, height, names, titleAt, baselineAt, marksAt } = LAYOUTS[name]
  const rows = headlines(result).map((workload, index) => ({
    index,
    title: workload.title,
    baseline: workload.baseline === undefined ? '' : `1× is ${contenderOf(result, workload.baseline).title}`,
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
  const label = `Calls per second, as a multiple of the baseline’s. ${named
    .map(({ index, name, ratio }) => `${rows[index]?.title}: ${name} ${digits(ratio)} times`)
    .join('; ')}.`
  return draw(label, {
    className: name,
    width,
    height: rows.length * height + 46,
    marginLeft: 8 + names,
    marginRight: names === 0 ? 12 : 90,
    marginTop: 4,
    marginBottom: 38,
    x: { type: 'log', domain: [low, high], axis: null },
    y: { type: 'linear', domain: [rows.length - 0.5, -0.5], axis: null },
    r: { type: 'identity' },
    color: { type: 'identity' },
    symbol: { type: 'identity' },
    marks: [
      Plot.gridX(ticks, { stroke: 'var(--line)', strokeOpacity: 1 }),
      Plot.ruleX([1], { stroke: 'var(--soft)', strokeDasharray: '3,3' }),
      ...axisBelow(
        ticks,
        (ratio) => `${ratio}×`,
        'multiple of the baseline, logarithmic',
        names === 0 ? 'start' : 'end',
      ),
      Plot.text(rows, {
        y: 'index',
        text: 'title',
        frameAnchor: 'left',
        textAnchor: 'start',
        dx: -names - 8,
        dy: titleAt,
        fontWeight: 600,
        fontSize: 13,
        fill: 'var(--ink)',
        ...HALO,
      }),
      Plot.text(rows, {
        y: 'index',
        text: 'baseline',
        frameAnchor: 'left',
        textAnchor: 'start',
        dx: -names - 8,
        dy: baselineAt,
        fontSize: 11,
        fill: 'var(--soft)',
        ...HALO,
      }),
      ...[true, false].map((wrong) =>
        Plot.dot(
          others.filter((point) => point.isWrong === wrong),
          {
            x: 'ratio',
            y: 'index',
            dy: marksAt,
            r: 'radius',
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
        dy: marksAt,
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
        dx: names === 0 ? 8 : 84,
        dy: names === 0 ? baselineAt : marksAt,
        fontSize: 14,
        fontWeight: 700,
        fontVariant: 'tabular-nums',
        fill: 'var(--ours)',
        ...HALO,
      }),
    ],
  })
}
