import { styleText } from 'node:util'
import { type Audit, FAULTS, isExact } from './audit.js'
import type { Replay } from './crew.js'

const LABEL_WIDTH = 52
const CELL_WIDTH = 10

/** The outcome as a table. Colours need a terminal. */
export function table(audit: Audit, { answers, killed }: Replay, isColoured: boolean): string {
  const rows: readonly (readonly [label: string, value: number] | undefined)[] = [
    ['Answers given (every order was sent at least twice)', answers],
    ['Processes killed on the way, and started again', killed],
    undefined,
    ['Orders sold', audit.ordersSold],
    ['Orders refused, as a whole', audit.ordersRefused],
    ['Units asked for', audit.unitsAsked],
    ['Units sold', audit.unitsSold],
    ['Opening stock', audit.openingStock],
    ['Stock left', audit.stockLeft],
    ['Invoices', audit.invoices],
    ['Serial numbers sold', audit.serialsSold],
    undefined,
    ...FAULTS.map((fault) => [LABELS[fault], audit[fault]] as const),
  ]
  const rule = `  ${'─'.repeat(LABEL_WIDTH + CELL_WIDTH)}`
  return rows
    .map((row) => {
      if (row === undefined) return rule
      const [label, value] = row
      const text = formatted(value).padStart(CELL_WIDTH)
      const isFault = FAULTS.some((fault) => LABELS[fault] === label)
      const shown = isColoured && isFault ? styleText(value === 0 ? 'green' : 'red', text) : text
      return `  ${label.padEnd(LABEL_WIDTH)}${shown}`
    })
    .join('\n')
}

const LABELS: Readonly<Record<(typeof FAULTS)[number], string>> = {
  wrongBalances: 'Balances that are not the sum of their movements',
  negativeBalances: 'Balances below zero',
  halfSold: 'Orders sold in part',
  soldTwice: 'Lines sold more than once',
  invoiceGaps: 'Invoice numbers missing',
  invoicesAmiss: 'Orders with too few or too many invoices',
  serialsAmiss: 'Lines with too few or too many serial numbers',
}

/** The table in words. */
export function conclusion(audit: Audit): string {
  if (!isExact(audit)) return 'It is not exact. That is a defect of this package: please report it, with this table.'
  return (
    `Every order was sent at least twice, by four processes, one of which was killed in the middle. ` +
    `${formatted(audit.unitsSold)} of ${formatted(audit.openingStock)} units were sold, each once; the invoices are numbered ` +
    `from 1 to ${formatted(audit.invoices)} without a gap; ${formatted(audit.ordersRefused)} orders were refused whole.`
  )
}

export function formatted(value: number): string {
  return value.toLocaleString('en-GB')
}
