/**
 * One figure of every contender in a workload: a line each, the name above its mark, so that a
 * panel is as narrow as a phone, and several of them stand side by side on a larger screen.
 */
import * as Plot from '@observablehq/plot'
import { FAMILIES } from '../families.js'
import type { Html } from '../html.js'
import { isWrong, type Taker } from '../reading.js'
import { axisBelow, domainOf, draw, HALO, ticksOf, tickText } from './draw.js'

const WIDTH = 340
const ROW = 40
/** For the names of ticks that stand at an end. */
const MARGIN = 14

export interface Measure {
  /** Of the axis, such as `calls per second`. */
  readonly title: string
  /** Where the mark is; undefined if there is none to be had. */
  value(taker: Taker): number | undefined
  /** From where to where its line goes. */
  span(taker: Taker): readonly [number, number] | undefined
  /** Whether it says who left wrong data; a hollow mark says so everywhere. */
  readonly saysWrong?: boolean
  /** The text at the right. */
  text(taker: Taker): string
}

/** @param takers in the order in which they are shown */
export function panel(takers: readonly Taker[], measure: Measure, label: string): Html {
  const rows = takers.map((taker, index) => {
    const [from, to] = measure.span(taker) ?? [undefined, undefined]
    const look = FAMILIES[taker.contender.family]
    return {
      index,
      from,
      to,
      value: measure.value(taker),
      name: taker.contender.title,
      text: measure.text(taker),
      colour: look.colour,
      symbol: look.symbol,
      radius: taker.contender.family === 'ours' ? 6.5 : look.radius,
      isOurs: taker.contender.family === 'ours',
      isWrong: isWrong(taker.cell),
    }
  })
  const numbers = rows.flatMap(({ from, to, value }) => [from ?? [], to ?? [], value ?? []].flat())
  const [low, high] = domainOf(numbers) ?? [1, 10]
  const ticks = ticksOf(low, high)
  const marked = rows.filter(({ value }) => value !== undefined && value > 0)
  const names = (isOurs: boolean) =>
    Plot.text(
      rows.filter((row) => row.isOurs === isOurs),
      {
        y: 'index',
        text: 'name',
        frameAnchor: 'left',
        textAnchor: 'start',
        dx: -MARGIN + 2,
        dy: -9,
        fill: isOurs ? 'var(--ink)' : 'var(--soft)',
        fontWeight: isOurs ? 700 : 400,
        ...HALO,
      },
    )
  const texts = (wrong: boolean) =>
    Plot.text(
      rows.filter((row) => row.isWrong === wrong),
      {
        y: 'index',
        text: ({ text }) => (wrong && measure.saysWrong ? `✕ wrong   ${text}` : text),
        frameAnchor: 'right',
        textAnchor: 'end',
        dx: MARGIN - 4,
        dy: -9,
        fill: wrong ? 'var(--wrong)' : 'var(--ink)',
        fontVariant: 'tabular-nums',
        ...HALO,
      },
    )
  return draw(label, {
    width: WIDTH,
    height: rows.length * ROW + 50,
    marginLeft: MARGIN,
    marginRight: MARGIN,
    marginTop: 4,
    marginBottom: 40,
    x: { type: 'log', domain: [low, high], axis: null },
    y: { type: 'linear', domain: [rows.length - 0.5, -0.5], axis: null },
    color: { type: 'identity' },
    symbol: { type: 'identity' },
    marks: [
      Plot.gridX(ticks, { stroke: 'var(--line)', strokeOpacity: 1 }),
      ...axisBelow(ticks, tickText, `${measure.title}, logarithmic`, 'start'),
      names(true),
      names(false),
      texts(true),
      texts(false),
      Plot.link(
        rows.filter(({ from }) => from !== undefined && from > 0),
        {
          x1: 'from',
          x2: 'to',
          y: 'index',
          dy: 7,
          stroke: 'colour',
          strokeWidth: 3,
          strokeOpacity: 0.45,
          strokeLinecap: 'round',
        },
      ),
      ...[true, false].map((wrong) =>
        Plot.dot(
          marked.filter((row) => row.isWrong === wrong),
          {
            x: 'value',
            y: 'index',
            dy: 7,
            r: 'radius',
            symbol: 'symbol',
            fill: wrong ? 'var(--paper)' : 'colour',
            stroke: 'colour',
            strokeWidth: 1.5,
          },
        ),
      ),
    ],
    r: { type: 'identity' },
  })
}
