/** The families' marks and what they stand for. */
import * as Plot from '@observablehq/plot'
import type { BenchResult } from '../../result.js'
import { FAMILIES, type Look } from '../families.js'
import { type Html, html } from '../html.js'
import { draw } from './draw.js'

/** Of those families that are in the result. */
export function key({ contenders }: BenchResult): Html {
  const families = new Set(contenders.map(({ family }) => family))
  const items = Array.from(families, (family) => {
    const look = FAMILIES[family]
    return html`<li${family === 'ours' ? html` class="ours"` : undefined}>${mark(look)} ${look.title}</li>`
  })
  return html`<ul class="key">${items}<li>${mark({ title: 'left wrong data', colour: 'var(--soft)', symbol: 'circle', radius: 4.5 }, true)} hollow: left wrong data</li></ul>`
}

function mark({ title, colour, symbol, radius }: Look, isHollow = false): Html {
  return draw(title, {
    width: 16,
    height: 16,
    margin: 8,
    axis: null,
    r: { type: 'identity' },
    marks: [
      Plot.dot([0], {
        frameAnchor: 'middle',
        r: radius,
        symbol,
        fill: isHollow ? 'var(--paper)' : colour,
        stroke: colour,
        strokeWidth: 1.5,
      }),
    ],
  })
}
