/** A made-up result of the bench, with everything in it that can happen to a contender. */
import type { Contender } from '../../bench/contender.js'
import {
  type BenchResult,
  type Cell,
  type Figures,
  type GrowthCurve,
  RESULT_FORMAT,
  type Round,
} from '../../bench/result.js'
import { findContenders } from '../../bench/runner/contenders.js'
import { takersOf } from '../../bench/runner/plan.js'
import { seededRandom } from '../../bench/runner/random.js'
import { fastestByHand, sumAudits, summarise } from '../../bench/runner/summary.js'
import type { Workload } from '../../bench/workload.js'
import { WORKLOADS } from '../../bench/workloads/index.js'

export const UNESCAPED = '<img src="https://example.com/a.png" onerror="alert(1)">'

const ROUNDS = 3
const SPEED = { ours: 900, prisma: 250, pg: 800, orm: 180, lock: 60, queue: 100 }
const NOTHING_WRONG = { lost: 0, doubled: 0, negative: 0, inconsistent: 0 }

export interface Shape {
  readonly form: 'short' | 'full'
  /** Those who are missing, by their ids, and why. */
  readonly missing: (contender: Contender) => string | undefined
}

/** One of its contenders loses updates, one breaks down, and the calls of one fail with HTML in the message. */
export async function madeUpResult({ form, missing }: Shape): Promise<BenchResult> {
  const contenders = await findContenders()
  const present = contenders.filter((contender) => missing(contender) === undefined)
  const workloads = WORKLOADS.filter(({ short }) => form === 'full' || short === true)
  const random = seededRandom(1)
  const measured = workloads.map((workload) => {
    const takers = takersOf(workload, present)
    const rounds = new Map(takers.map((taker) => [taker.id, roundsOf(taker, workload, random)]))
    return { workload, takers, rounds, baseline: fastestByHand(takers, ({ id }) => rounds.get(id) ?? []) }
  })
  return {
    format: RESULT_FORMAT,
    form,
    date: '2026-11-24T12:00:00.000Z',
    seconds: 2_000,
    isComplete: true,
    machine: {
      cpu: 'A processor with a long name @ 3.00GHz',
      cores: 2,
      memoryGigabytes: 8,
      system: 'linux 6.8.0 x64',
      node: 'v20.20.2',
      load: 0.5,
    },
    server: { version: 'PostgreSQL 18.0', isEmbedded: true, settings: { fsync: 'on', wal_sync_method: 'fdatasync' } },
    method: {
      rounds: ROUNDS,
      windows: [500, 450, 550].map((measured) => ({
        measuredMilliseconds: measured,
        warmUpMilliseconds: Math.round(measured / 3),
      })),
      seed: 1,
      packages: { pg: '8.0.0' },
    },
    contenders: contenders.map((contender) => {
      const { id, title, family, source, choices, operations } = contender
      const why = missing(contender)
      return { id, title, family, source, choices, operations, ...(why === undefined ? {} : { missing: why }) }
    }),
    workloads: measured.map(({ workload: { fill: _, caller: _c, audit: _a, short: _s, ...workload }, baseline }) => ({
      ...workload,
      ...(baseline === undefined ? {} : { baseline: baseline.id }),
    })),
    cells: measured.flatMap(({ workload, takers, rounds, baseline }) => {
      return takers.map(({ id }): Cell => {
        const own = rounds.get(id) ?? []
        const summary = summarise(own, rounds.get(baseline?.id ?? '') ?? [])
        return {
          workload: workload.id,
          contender: id,
          rounds: own,
          ...(summary === undefined ? {} : { summary }),
          audit: sumAudits(own),
        }
      })
    }),
    ...(form === 'short'
      ? {}
      : { growth: [madeUpCurve('callers', [1, 5_000]), madeUpCurve('rows in the ledger', [1_000, 1_000_000])] }),
    pauseTest:
      form === 'short'
        ? []
        : present
            .filter(({ operations }) => operations.includes('critical'))
            .map(({ id, family }, index) => ({
              contender: id,
              moment: index % 2 === 0 ? 'thinking' : 'writing',
              rounds: 8,
              stoppedMilliseconds: 9_000,
              corrupted: family === 'lock' ? 8 : 0,
              refusedLateWrites: family === 'lock' ? 0 : 8,
              toldTooLate: 0,
              told: ['The lock was lost.', UNESCAPED],
              othersWaitedMilliseconds: 9_100,
              othersFailed: 0,
              othersTold: [],
            })),
  }
}

function roundsOf({ id, family }: Contender, { callers, processes }: Workload, random: () => number): Round[] {
  return Array.from({ length: ROUNDS }, (_, round) => {
    if (id === 'prisma/serializable') return { round, failures: [], error: 'It did not answer any more.' }
    const isWrong = id === 'prisma/unguarded'
    return {
      round,
      figures: figuresOf(SPEED[family] * (0.5 + random()) * Math.sqrt(processes), callers, random),
      audit: { ...NOTHING_WRONG, lost: isWrong ? 1_234 : 0 },
      failures: id === 'prisma/select-for-update' ? [{ message: UNESCAPED, count: 3 }] : [],
    }
  })
}

function figuresOf(throughput: number, callers: number, random: () => number): Figures {
  const waiting = (1_000 * callers) / throughput
  return {
    operations: Math.round(throughput),
    throughput,
    p50Milliseconds: waiting,
    p99Milliseconds: waiting * (1.5 + 3 * random()),
    failures: 0,
    refused: 0,
    retries: random(),
    statements: 1 + 4 * random(),
    transactions: 1,
    databaseCpuMilliseconds: random(),
    clientCpuMilliseconds: 3 * random(),
    lockServerCpuMilliseconds: random(),
    peakConnections: 10,
    waitingConnections: 7 * random(),
    idleInTransactionConnections: random(),
  }
}

function madeUpCurve(axis: string, sizes: readonly number[]): GrowthCurve {
  const points = sizes.map((at) => ({
    at,
    perSecond: 1e6 / at,
    cpuMicroseconds: 80,
    heapBytesPerCall: at > 256 ? 1_200 : null,
  }))
  return { id: axis, title: `A call by ${axis}`, axis, points }
}
