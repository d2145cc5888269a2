/** A process of one side: carries out a cell for as long as it is told. */
import { openByHand } from './by-hand.js'
import { CELLS, type Cell, type Side } from './cells.js'
import type { Order, Report } from './messages.js'
import { openOurs } from './ours.js'
import { openPlainPg } from './plain-pg.js'
import { runCell } from './run-cell.js'

const [way = '', url = ''] = process.argv.slice(2)
const side = await open()

process.on('disconnect', () => process.exit())
process.on('message', async ({ cell, ms }: Order) => {
  const wanted = CELLS[cell]
  send(wanted === undefined || side[wanted.work] === undefined ? { kind: 'absent' } : await measure(wanted, ms))
})
send({ kind: 'ready' })

function open(): Side | Promise<Side> {
  if (way === 'by hand') return openByHand(url)
  return way === 'pg' ? openPlainPg(url) : openOurs(url, way)
}

async function measure(cell: Cell, ms: number): Promise<Report> {
  try {
    const { perSecond, cpu } = await runCell(cell, side, ms)
    return { kind: 'figure', perSecond, cpuMicroseconds: cpu }
  } catch (error) {
    return { kind: 'failed', message: String(error) }
  }
}

function send(report: Report): void {
  process.send?.(report)
}
