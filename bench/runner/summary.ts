/** Medians over rounds. A ratio is taken within a round, and only then over the rounds. */

import type { Contender } from '../contender.js'
import type { Cell, Figures, Round, Spread, Summary } from '../result.js'
import type { Audit } from '../workload.js'

/**
 * @param baseline the rounds of the contender that the others are compared with, in the same workload
 */
export function summarise(rounds: readonly Round[], baseline: readonly Round[]): Summary | undefined {
  const figures = rounds.flatMap((round) => round.figures ?? [])
  if (figures.length === 0) return undefined
  const ratios = rounds.flatMap(({ round, figures }) => {
    const base = baseline.find((other) => other.round === round)?.figures
    return figures && base && base.throughput > 0 ? [figures.throughput / base.throughput] : []
  })
  const spread = (value: (figures: Figures) => number) => spreadOf(figures.map(value))
  const known = (value: (figures: Figures) => number | null) => {
    const numbers = figures.flatMap((round) => value(round) ?? [])
    return numbers.length === 0 ? null : spreadOf(numbers)
  }
  const total = (value: (figures: Figures) => number) => figures.reduce((sum, round) => sum + value(round), 0)
  return {
    throughput: spread(({ throughput }) => throughput),
    ...(ratios.length === 0 ? {} : { ratio: spreadOf(ratios) }),
    p50Milliseconds: known(({ p50Milliseconds }) => p50Milliseconds),
    p99Milliseconds: known(({ p99Milliseconds }) => p99Milliseconds),
    retries: spread(({ retries }) => retries),
    statements: spread(({ statements }) => statements),
    transactions: spread(({ transactions }) => transactions),
    databaseCpuMilliseconds: known(({ databaseCpuMilliseconds }) => databaseCpuMilliseconds),
    clientCpuMilliseconds: spread(({ clientCpuMilliseconds }) => clientCpuMilliseconds),
    lockServerCpuMilliseconds: known(({ lockServerCpuMilliseconds }) => lockServerCpuMilliseconds),
    peakConnections: spread(({ peakConnections }) => peakConnections),
    waitingConnections: spread(({ waitingConnections }) => waitingConnections),
    idleInTransactionConnections: spread(({ idleInTransactionConnections }) => idleInTransactionConnections),
    operations: total(({ operations }) => operations),
    failures: total(({ failures }) => failures),
    refused: total(({ refused }) => refused),
  }
}

/** Among those who write it themselves on Prisma, and left no wrong data in any round. */
export function fastestByHand(
  takers: readonly Contender[],
  roundsOf: (contender: Contender) => readonly Round[],
): Contender | undefined {
  const speeds = takers
    .filter(({ family, isUnguarded }) => family === 'prisma' && !isUnguarded)
    .flatMap((contender) => {
      const rounds = roundsOf(contender)
      const figures = rounds.flatMap((round) => round.figures ?? [])
      if (figures.length === 0 || isWrong({ audit: sumAudits(rounds) })) return []
      return [{ contender, speed: spreadOf(figures.map(({ throughput }) => throughput)).median }]
    })
  return speeds.sort((a, b) => b.speed - a.speed)[0]?.contender
}

export function sumAudits(rounds: readonly Round[]): Audit {
  const sum = (value: (audit: Audit) => number) =>
    rounds.reduce((total, { audit }) => total + (audit ? value(audit) : 0), 0)
  return {
    lost: sum(({ lost }) => lost),
    doubled: sum(({ doubled }) => doubled),
    negative: sum(({ negative }) => negative),
    inconsistent: sum(({ inconsistent }) => inconsistent),
  }
}

/** Something was wrong in the database after one of the rounds. */
export function isWrong({ audit }: Pick<Cell, 'audit'>): boolean {
  return Object.values(audit).some((count) => count > 0)
}

export function spreadOf(numbers: readonly number[]): Spread {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] as number
  const lower = sorted[Math.ceil(middle) - 1] as number
  return { median: (upper + lower) / 2, low: sorted[0] as number, high: sorted.at(-1) as number }
}
