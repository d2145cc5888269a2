/** A result as the report reads it: the contenders of each workload, their order, and which are right. */
import type { BenchResult, Cell, ContenderResult, WorkloadResult } from '../result.js'
import type { Audit } from '../workload.js'
import { digits } from './number.js'

/** Those of a curve together, in the order of the result. */
export interface Group {
  readonly id: string
  readonly title: string
  readonly workloads: readonly WorkloadResult[]
}

/** The workloads that stand for all: in the overview, in the README, and open in the report. */
const HEADLINES: readonly string[] = [
  'rows-1000',
  'hot-row-1',
  'hot-row-16',
  'hot-row-processes-4',
  'stock-move-1',
  'stock-move-16',
  'stock-move-256',
  'stock-move-processes-4',
  'stock-receipt-64',
  'insert-once-1',
  'insert-once-new',
  'insert-once-duplicates',
  'critical-section-64',
  'serials',
  'serial-incident',
  'gapless-numbers',
]

const CURVES: Readonly<Record<string, string>> = {
  rows: 'Read, change, write',
  'hot-row': 'One hot row',
  'hot-row-processes': 'One hot row, several processes',
  'stock-move': 'Stock move with ledger',
  'stock-receipt': 'Stock receipt with ledger',
  'critical-section': 'Critical section',
}

/** Whether one caller is alone, so that nothing can be done together. */
const isOfOne = ({ callers, processes }: WorkloadResult) => callers * processes === 1

/** All of them in a result that has none of those that stand for all; first those of one caller. */
export function headlines({ workloads }: BenchResult): readonly WorkloadResult[] {
  const found = workloads.filter(({ id }) => HEADLINES.includes(id))
  const all = found.length === 0 ? workloads : found
  return all.toSorted((a, b) => Number(isOfOne(b)) - Number(isOfOne(a)))
}

export function groupsOf({ workloads }: BenchResult): Group[] {
  const groups = new Map<string, WorkloadResult[]>()
  for (const workload of workloads) {
    const id = workload.curve?.id ?? workload.id
    groups.set(id, [...(groups.get(id) ?? []), workload])
  }
  return Array.from(groups, ([id, members]) => {
    const [first] = members
    const title = members.length === 1 && first ? first.title : (CURVES[id] ?? id)
    return { id, title, workloads: members }
  })
}

/** A contender in a workload, with both at hand. */
export interface Taker {
  readonly contender: ContenderResult
  readonly workload: WorkloadResult
  readonly cell: Cell
  readonly isBaseline: boolean
}

/** The fastest first. */
export function takersOf(result: BenchResult, workload: WorkloadResult): Taker[] {
  return result.cells
    .filter((cell) => cell.workload === workload.id)
    .map((cell) => ({
      contender: contenderOf(result, cell.contender),
      workload,
      cell,
      isBaseline: cell.contender === workload.baseline,
    }))
    .sort((a, b) => throughputOf(b) - throughputOf(a))
}

/** Those who would take part in the workload, if something were not missing. */
export function missingIn({ contenders }: BenchResult, { operation }: WorkloadResult): ContenderResult[] {
  return contenders.filter(({ missing, operations }) => missing !== undefined && operations.includes(operation))
}

export function contenderOf({ contenders }: BenchResult, id: string): ContenderResult {
  const contender = contenders.find((candidate) => candidate.id === id)
  if (contender === undefined) throw new Error(`The result has figures of "${id}", and no contender of this id.`)
  return contender
}

export function throughputOf({ cell }: Taker): number {
  return cell.summary?.throughput.median ?? 0
}

export function isWrong({ audit }: { readonly audit: Audit }): boolean {
  return Object.values(audit).some((number) => number > 0)
}

/** The errors of an audit in words: `147 lost`. */
export function wrongs({ lost, doubled, negative, inconsistent }: Audit): string {
  const found: readonly (readonly [number, string])[] = [
    [lost, 'lost'],
    [doubled, 'doubled'],
    [negative, 'negative'],
    [inconsistent, 'inconsistent'],
  ]
  return found
    .filter(([number]) => number > 0)
    .map(([number, what]) => `${number.toLocaleString('en')} ${what}`)
    .join(', ')
}

/** In words, if there are any: `2 of 5 rounds broke down`. */
export function brokenRounds({ rounds }: Cell): string | undefined {
  const broken = rounds.filter(({ error }) => error !== undefined).length
  return broken === 0 ? undefined : `${broken} of ${rounds.length} rounds broke down`
}

/** Why there are no figures, or why fewer than there were rounds. */
export function errorOf({ rounds }: Cell): string | undefined {
  return rounds.find(({ error }) => error !== undefined)?.error
}

/** The workloads in which the fastest of ours is slower than the fastest by hand on Prisma, in words. */
export function lossesOf(result: BenchResult): string {
  const slower = headlines(result).flatMap((workload) => {
    const ours = takersOf(result, workload).filter(
      ({ contender, cell }) => contender.family === 'ours' && cell.summary?.ratio !== undefined && !isWrong(cell),
    )
    const ratio = ours[0]?.cell.summary?.ratio?.median ?? 1
    return ratio < 1 ? [`${workload.title} (${digits(ratio)}×)`] : []
  })
  return slower.length === 0
    ? 'This library is nowhere slower than the fastest way by hand on Prisma.'
    : `This library is slower than the fastest way by hand on Prisma in: ${slower.join('; ')}.`
}
