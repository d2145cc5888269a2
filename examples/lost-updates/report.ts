import { styleText } from 'node:util'
import type { Audit } from './audit.js'

type Cell = (audit: Audit) => number | string
interface Row {
  readonly label: string
  readonly cell: Cell
  /** Whether anything but 0 means that data is wrong. */
  readonly isFault?: boolean
}

const ROWS: readonly (Row | undefined)[] = [
  { label: 'Units asked for', cell: ({ unitsAsked }) => unitsAsked },
  { label: 'Units sold', cell: ({ unitsSold }) => unitsSold },
  { label: 'Units refused for want of stock', cell: ({ unitsRefused }) => unitsRefused },
  undefined,
  { label: 'Opening stock', cell: ({ openingStock }) => openingStock },
  { label: 'Stock expected (opening − sold)', cell: ({ expectedStock }) => expectedStock },
  { label: 'Stock found', cell: ({ foundStock }) => foundStock },
  undefined,
  { label: 'Updates lost', cell: ({ updatesLost }) => updatesLost, isFault: true },
  { label: 'Units lost with them', cell: ({ unitsVanished }) => unitsVanished, isFault: true },
  { label: 'Products oversold', cell: ({ productsOversold }) => productsOversold, isFault: true },
  undefined,
  { label: 'Lines that noticed a conflict', cell: ({ conflicts }) => conflicts },
  { label: 'Retries', cell: ({ retries }) => retries },
  { label: 'Time', cell: ({ milliseconds }) => `${(milliseconds / 1000).toFixed(1)} s` },
]

const LABEL_WIDTH = 34
const CELL_WIDTH = 18

/** The two runs side by side. Colours need a terminal. */
export function table(plain: Audit, versioned: Audit, isColoured: boolean): string {
  const rule = `  ${'─'.repeat(LABEL_WIDTH + 2 * CELL_WIDTH)}`
  const rows = ROWS.map((row) => {
    if (row === undefined) return rule
    const cells = [plain, versioned].map((audit) => {
      const value = row.cell(audit)
      const text = formatted(value).padStart(CELL_WIDTH)
      return isColoured && row.isFault ? styleText(value === 0 ? 'green' : 'red', text) : text
    })
    return `  ${row.label.padEnd(LABEL_WIDTH)}${cells.join('')}`
  })
  const head = `  ${' '.repeat(LABEL_WIDTH)}${['plain update', 'updateVersioned'].map((name) => name.padStart(CELL_WIDTH)).join('')}`
  return [head, rule, ...rows].join('\n')
}

/** The table in words. */
export function conclusion(plain: Audit, versioned: Audit): string {
  const first =
    plain.updatesLost === 0
      ? 'The plain run was lucky this time: no two sales of one product came close enough together.'
      : `The plain run lost ${formatted(plain.updatesLost)} updates without a word: each was overwritten by a sale that had read the stock ` +
        `before it. The shop sold ${formatted(plain.unitsSold)} units of the ${formatted(plain.openingStock)} it had, and believes that ` +
        `${formatted(plain.foundStock)} are left.`
  const second = versioned.isExact
    ? `The versioned run noticed ${formatted(versioned.retries)} such moments, read again and decided anew: every sale is in the stock, ` +
      'and nothing was sold that was not there.'
    : 'The versioned run is not exact. That is a defect of this package: please report it, with this table.'
  return `${first}\n${second}`
}

export function formatted(value: number | string): string {
  return typeof value === 'number' ? value.toLocaleString('en-GB') : value
}
