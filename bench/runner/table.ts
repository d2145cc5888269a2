/** The result as plain text: a table per workload, the fastest first. */
import type { BenchResult, Cell, ContenderResult, PauseTestResult, Spread, WorkloadResult } from '../result.js'
import { isWrong } from './summary.js'

const HEAD = [
  'contender',
  'per s',
  'spread',
  'ratio',
  'p50 ms',
  'p99 ms',
  'failed',
  'retries',
  'stmts',
  'txs',
  'db ms',
  'app ms',
  'lock ms',
  'conns',
  'waiting',
  'audit',
] as const

export function headline({ form, date, machine, server, method }: BenchResult): string {
  const settings = Object.entries(server.settings).map(([name, value]) => `${name}=${value}`)
  return [
    `prisma-extension-concurrency, ${form} bench of ${date}`,
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGigabytes} GB, ${machine.system}, Node ${machine.node}, load ${machine.load}`,
    `${server.version}${server.isEmbedded ? ' (embedded, started for this)' : ''}: ${settings.join(', ')}`,
    `${method.rounds} rounds, contenders in random order in each (seed ${method.seed})`,
  ].join('\n')
}

export function legend({ windows }: BenchResult['method']): string {
  const measured = windows.map(({ measuredMilliseconds }) => measuredMilliseconds).join(', ')
  return `Each run was measured for so many ms in the rounds: ${measured}; after a third of that, and at first 1.5 s, to warm up
per s    median of the rounds; spread: lowest to highest
ratio    to the contender marked *, the fastest by hand on Prisma that was right, within each round; then the median
retries, stmts, txs, db ms, app ms, lock ms    per operation; CPU time of the database's processes, the contender's, and its lock server's
conns    at a time, at most; waiting: how many of them, on average, only waited for a lock
audit    what is wrong in the database afterwards, over all rounds`
}

/** The text for a contender that could take part, but was not chosen on the command line. */
export const NOT_ASKED_FOR = 'was not asked for'

export function missingContenders(contenders: readonly ContenderResult[]): string {
  const others = contenders.filter(({ missing }) => missing === NOT_ASKED_FOR).map(({ id }) => id)
  const missing = contenders.filter((contender) => ![undefined, NOT_ASKED_FOR].includes(contender.missing))
  const lines = missing.map(({ id, missing: why }) => `Missing: ${id}: ${why}`)
  if (others.length > 0) lines.push(`Not asked for: ${others.join(', ')}`)
  return lines.length === 0 ? 'All contenders take part.' : lines.join('\n')
}

export function workloadTable(result: BenchResult, workload: WorkloadResult): string {
  const cells = result.cells
    .filter((cell) => cell.workload === workload.id)
    .sort((a, b) => (b.summary?.throughput.median ?? 0) - (a.summary?.throughput.median ?? 0))
  const { processes, callers, poolSize } = workload
  const shape = `${processes} process${processes === 1 ? '' : 'es'} × ${callers} caller${callers === 1 ? '' : 's'}, pool of ${poolSize}`
  return `\n${workload.title} (${shape})\n${aligned([[...HEAD], ...cells.map((cell) => row(cell, workload))])}`
}

const PAUSE_TEST_HEAD = [
  'contender',
  'stopped',
  'lost updates',
  'refused',
  'told too late',
  'others waited',
  'others failed',
]

export function pauseTestTable(results: readonly PauseTestResult[]): string {
  const rows = results.map(({ contender, moment, rounds, error, ...result }) => {
    const name = [contender, moment === 'thinking' ? 'while thinking' : 'before writing']
    if (error !== undefined) return [...name, `broke down: ${error}`]
    const { corrupted, refusedLateWrites, toldTooLate, othersWaitedMilliseconds, othersFailed } = result
    const seconds = `${(othersWaitedMilliseconds / 1_000).toFixed(1)} s`
    return [
      ...name,
      `${corrupted} of ${rounds}`,
      ...[refusedLateWrites, toldTooLate, seconds, othersFailed].map(String),
    ]
  })
  const stopped = Math.max(...results.map(({ stoppedMilliseconds }) => stoppedMilliseconds))
  const title = `The holder is stopped for ${(stopped / 1_000).toFixed(0)} s in the middle of its sections, and goes on`
  const widths = PAUSE_TEST_HEAD.map((_, column) =>
    Math.max(
      ...[PAUSE_TEST_HEAD, ...rows.filter(({ length }) => length > 3)].map((cells) => cells[column]?.length ?? 0),
    ),
  )
  const lines = [PAUSE_TEST_HEAD, ...rows].map((cells) =>
    cells.map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))),
  )
  return `\n${title}\n${lines.map((cells) => cells.join('  ').trimEnd()).join('\n')}`
}

function row(cell: Cell, { baseline }: WorkloadResult): string[] {
  const name = cell.contender === baseline ? `${cell.contender} *` : cell.contender
  const { summary } = cell
  if (summary === undefined) return [name, `broke down: ${cell.rounds.find(({ error }) => error)?.error ?? 'not run'}`]
  const median = (spread: Spread) => figure(spread.median)
  const known = (spread: Spread | null, otherwise = '?') => (spread === null ? otherwise : median(spread))
  return [
    name,
    median(summary.throughput),
    `${figure(summary.throughput.low)}–${figure(summary.throughput.high)}`,
    summary.ratio === undefined ? '' : median(summary.ratio),
    known(summary.p50Milliseconds, ''),
    known(summary.p99Milliseconds, ''),
    failed(cell),
    median(summary.retries),
    median(summary.statements),
    median(summary.transactions),
    known(summary.databaseCpuMilliseconds),
    median(summary.clientCpuMilliseconds),
    known(summary.lockServerCpuMilliseconds),
    median(summary.peakConnections),
    median(summary.waitingConnections),
    verdict(cell),
  ]
}

function failed({ summary, rounds }: Cell): string {
  const broken = rounds.filter(({ error }) => error !== undefined).length
  return `${summary?.failures ?? 0}${broken === 0 ? '' : ` +${broken} rounds`}`
}

function verdict(cell: Cell): string {
  if (!isWrong(cell)) return 'right'
  const wrong = Object.entries(cell.audit).filter(([, count]) => count > 0)
  return wrong.map(([what, count]) => `${count} ${what}`).join(', ')
}

/** Three digits that count. */
function figure(number: number): string {
  if (number === 0) return '0'
  if (number >= 100) return Math.round(number).toLocaleString('en')
  return number >= 10 ? number.toFixed(1) : number.toFixed(2)
}

/** The first column and the last to the left, the others to the right; a row of two is a name and a text. */
function aligned(rows: readonly string[][]): string {
  const full = rows.filter(({ length }) => length > 2)
  const widths = HEAD.map((_, column) => Math.max(0, ...full.map((cells) => cells[column]?.length ?? 0)))
  widths[0] = Math.max(widths[0] ?? 0, ...rows.map(([name = '']) => name.length))
  return rows
    .map((cells) =>
      cells
        .map((cell, column) => {
          if (column === 0) return cell.padEnd(widths[0] ?? 0)
          return column === HEAD.length - 1 || cells.length === 2 ? cell : cell.padStart(widths[column] ?? 0)
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
