/** All workloads, in the order of the report. */
import type { Workload } from '../workload.js'
import { criticalSection } from './critical-section.js'
import { gaplessNumbers } from './gapless-numbers.js'
import { insertAlone, insertDuplicates, insertNew } from './insert-once.js'
import { outbox } from './outbox.js'
import { readChangeWrite } from './read-change-write.js'
import { serialIncident } from './serial-incident.js'
import { serials } from './serials.js'
import { stockMove, stockReceipt } from './stock-move.js'

/** Where two callers seldom meet, and on the way from there to where they always do. */
const overRows = [1_000, 10].map((rows) =>
  readChangeWrite({
    id: `rows-${rows}`,
    title: `Read, change, write over ${rows.toLocaleString('en')} rows`,
    about: `16 callers, each on a row of ${rows.toLocaleString('en')} that it picks at random.`,
    curve: { id: 'rows', axis: 'rows', value: rows },
    short: rows === 1_000,
    rows,
  }),
)

const overCallers = [1, 16, 64].map((callers) =>
  readChangeWrite({
    id: `hot-row-${callers}`,
    title: `One hot row, ${callers} caller${callers === 1 ? '' : 's'}`,
    about: 'One process; all callers on the same row.',
    curve: { id: 'hot-row', axis: 'callers', value: callers },
    short: callers === 16,
    callers,
    rows: 1,
  }),
)

const overProcesses = [1, 4].map((processes) =>
  readChangeWrite({
    id: `hot-row-processes-${processes}`,
    title: `One hot row, ${processes} process${processes === 1 ? '' : 'es'} × 8 callers`,
    about: 'Nobody can queue in the process alone: the processes race.',
    curve: { id: 'hot-row-processes', axis: 'processes', value: processes },
    short: processes === 4,
    processes,
    callers: 8,
    rows: 1,
  }),
)

const SELLING =
  'One hot product; each call takes one piece and notes it in the ledger. One call in twenty asks for one that is scarce.'

const moves = [1, 16, 64, 256, 1_000].map((callers) =>
  stockMove({
    id: `stock-move-${callers}`,
    title: callers === 1 ? 'Stock move with ledger, 1 caller' : `Stock move with ledger, ${callers} callers`,
    about: SELLING,
    curve: { id: 'stock-move', axis: 'callers', value: callers },
    short: callers === 256,
    processes: 1,
    callers,
  }),
)

/** Where what can be done together in a process is a quarter of it. */
const moveOfProcesses = stockMove({
  id: 'stock-move-processes-4',
  title: 'Stock move, 4 processes × 8 callers',
  about: `${SELLING} The processes know nothing of one another.`,
  processes: 4,
  callers: 8,
})

export const WORKLOADS: readonly Workload[] = [
  ...overRows,
  ...overCallers,
  ...overProcesses,
  ...moves,
  moveOfProcesses,
  stockReceipt(64),
  insertAlone,
  insertNew,
  insertDuplicates,
  criticalSection(64, true),
  serials,
  serialIncident,
  gaplessNumbers,
  outbox,
]

export function findWorkload(id: string): Workload {
  const workload = WORKLOADS.find((candidate) => candidate.id === id)
  if (workload === undefined) throw new Error(`There is no workload "${id}".`)
  return workload
}
