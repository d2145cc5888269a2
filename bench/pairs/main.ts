/**
 * Each call of this library beside the same work by hand on Prisma, and beside its floor on node-postgres, where
 * there is one: in one run, interleaved, with fsync, prepared statements on all sides, and `stock`, `serials` and
 * `series` on top. Prints ratios: the times themselves say more about the machine.
 *
 * With `--before FOLDER` the package in that folder (an earlier version that is built) is a side, too.
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { startServer } from '../../test/support/server.js'
import { Databases, onDatabase } from '../runner/databases.js'
import { CELLS, type Cell } from './cells.js'
import { fill } from './fill.js'
import { type Figure, Processes } from './processes.js'

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    rounds: { type: 'string', default: '15' },
    ms: { type: 'string', default: '250' },
    before: { type: 'string' },
  },
})
const rounds = Number(values.rounds)
const ms = Number(values.ms)
/** Of each call before it is measured, in ms: a server that runs for an hour has compiled its code. */
const WARM_UP = 1_500
const root = fileURLToPath(new URL('../..', import.meta.url))

const server = await startServer({ durable: true })
try {
  await onDatabase(server.url, async (admin) => {
    const databases = new Databases(server.url, admin)
    try {
      await compare(databases)
    } finally {
      await databases.dropAll()
    }
  })
} finally {
  await server.stop()
}

async function compare(databases: Databases): Promise<void> {
  const ways = [root, 'by hand', 'pg', ...(values.before === undefined ? [] : [values.before])]
  const sides: Processes[] = []
  for (const way of ways) sides.push(new Processes(way, (await databases.create({ id: 'pairs', fill }, false)).url))
  try {
    const only = new RegExp(values.only)
    console.log(
      `${'ours ÷ by hand: median (quartiles), wanted'.padEnd(81)}calls per second: ours, by hand, pg, before | client CPU per call, µs`,
    )
    for (const [index, cell] of CELLS.entries()) {
      if (only.test(titleOf(cell))) await compareIn(cell, index, sides)
    }
  } finally {
    for (const side of sides) side.end()
  }
}

async function compareIn(cell: Cell, index: number, sides: readonly Processes[]): Promise<void> {
  const figures: (Figure | undefined)[][] = []
  for (let round = -1; round < rounds; round++) {
    const row: (Figure | undefined)[] = []
    const order = [...sides.keys()]
    if (round % 2) order.reverse()
    for (const k of order)
      row[k] = await sides[k]?.measure(cell.processes, { cell: index, ms: round < 0 ? WARM_UP : ms })
    if (round >= 0) figures.push(row)
  }
  const ratiosTo = (side: number) =>
    figures.map(({ 0: ours, [side]: other }) => (ours && other ? ours.perSecond / other.perSecond : NaN))
  const ratios = ratiosTo(1)
  const of = (what: keyof Figure) =>
    sides.map((_, k) =>
      number(
        quantile(
          figures.map((row) => row[k]?.[what] ?? NaN),
          0.5,
        ),
      ),
    )
  const [low, median, high] = [0.25, 0.5, 0.75].map((p) => quantile(ratios, p).toFixed(2))
  const title = `${titleOf(cell).padEnd(60)} ${median} (${low}–${high}), ${cell.wanted}`
  const missed = Number(high) < cell.wanted ? ' <' : ''
  const before = sides.length > 3 ? `${quantile(ratiosTo(3), 0.5).toFixed(2)} of before; ` : ''
  console.log(
    `${(title + missed).padEnd(80)} ${before}${of('perSecond').join(', ')} | ${of('cpuMicroseconds').join(', ')}`,
  )
}

function titleOf({ name, callers, processes }: Cell): string {
  const process = processes === 1 ? '' : `${processes} processes × `
  return `${name}, ${process}${callers} ${callers === 1 ? 'caller' : 'callers'}`
}

function quantile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? NaN
}

function number(value: number): string {
  return Number.isNaN(value) ? '–' : String(Number(value.toPrecision(3)))
}
