import type { RoundResult } from './round.js'

/** The figures of rounds, as they are written to the file of the result. */
export function summary(rounds: readonly RoundResult[]) {
  return {
    seeds: [rounds[0]?.seed, rounds.at(-1)?.seed],
    rounds: rounds.length,
    calls: rounds.reduce((sum, { calls }) => sum + calls, 0),
    outcomes: total(rounds.map(({ outcomes }) => outcomes)),
    faults: total(rounds.map(({ faults }) => faults)),
    lost: rounds.reduce((sum, { lost }) => sum + lost, 0),
    violations: rounds.reduce((sum, { violations }) => sum + violations.length, 0),
    longest: Math.max(0, ...rounds.map(({ longest }) => longest)),
    growth: Math.max(0, ...rounds.map(({ growth }) => growth)),
    exceptions: rounds.reduce((sum, { exceptions }) => sum + exceptions, 0),
  }
}

function total(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const [name, count] of counts.flatMap((each) => Object.entries(each))) sums[name] = (sums[name] ?? 0) + count
  return Object.fromEntries(Object.entries(sums).sort(([a], [b]) => (a < b ? -1 : 1)))
}
