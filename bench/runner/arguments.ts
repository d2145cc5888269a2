/** The command line of the bench. */
import { parseArgs } from 'node:util'
import type { Contender } from '../contender.js'
import { GROWTH_SECONDS } from '../growth/measure.js'
import { PAUSE_TEST_SECONDS } from '../pause-test/index.js'
import { WORKLOADS } from '../workloads/index.js'
import type { Form } from './plan.js'

export const USAGE = `npm run bench       -- [options]   the short form: under 5 minutes, no server but PostgreSQL
npm run bench:full  -- [options]   all contenders that are installed, all workloads: under 40 minutes

  --contender TEXT   only the contender of this id, or those with this text in theirs; may be given several times
  --workload TEXT    the same for workloads
  --pause-test       only the pause test: holders that are stopped in the middle (it is part of the full form)
  --rounds NUMBER    how often each contender is measured in each workload
  --budget SECONDS   about how long all of it may take; if need be, with fewer rounds
  --seed NUMBER      of the random order
  --output FILE      where the JSON goes; without it, to bench/results, and nowhere if something was chosen above
  --list             only says what would be run`

export interface Request {
  readonly form: Form
  readonly isWanted: (contender: Contender) => boolean
  readonly seed: number
  readonly output: string | undefined
  readonly isListOnly: boolean
  /** Whether holders are stopped, too. */
  readonly hasPauseTest: boolean
  /** Whether the growth curves are measured, too. */
  readonly hasGrowth: boolean
}

/** @throws Error that says what is wrong with them */
export function readArguments(args: readonly string[], contenders: readonly Contender[]): Request {
  const ids = contenders.map(({ id }) => id)
  const workloadIds = WORKLOADS.map(({ id }) => id)
  const { values } = parseArgs({
    args: [...args],
    options: {
      full: { type: 'boolean', default: false },
      contender: { type: 'string', multiple: true },
      workload: { type: 'string', multiple: true },
      rounds: { type: 'string' },
      budget: { type: 'string' },
      seed: { type: 'string' },
      output: { type: 'string' },
      list: { type: 'boolean', default: false },
      'pause-test': { type: 'boolean', default: false },
    },
  })
  const { full, contender, workload, output, 'pause-test': pauseTest } = values
  const isCustom = [contender, workload, values.rounds, values.budget].some((value) => value !== undefined) || pauseTest
  const workloads = WORKLOADS.filter(({ id, short }) =>
    workload === undefined ? !pauseTest && (full || short === true) : isNamed(id, workload, workloadIds),
  )
  if (workloads.length === 0 && !pauseTest)
    throw new Error(`No workload is called so; there are ${workloadIds.join(', ')}.`)
  return {
    form: {
      name: isCustom ? 'custom' : full ? 'full' : 'short',
      rounds: number(values.rounds, 'rounds') ?? 5,
      budget: number(values.budget, 'budget') ?? (full ? 36.5 * 60 - PAUSE_TEST_SECONDS - GROWTH_SECONDS : 265),
      workloads,
    },
    isWanted: ({ id, server, packages = [] }) =>
      contender === undefined
        ? // The short form has the contenders that run anywhere; one that is asked for by name always runs.
          full || pauseTest || (server === undefined && packages.length === 0)
        : isNamed(id, contender, ids),
    seed: number(values.seed, 'seed') ?? Math.floor(Math.random() * 2 ** 32),
    output,
    isListOnly: values.list,
    hasPauseTest: pauseTest || (full && !isCustom),
    hasGrowth: full && !isCustom,
  }
}

/** An id that is one of the texts; a text that is nobody's id stands for all that it is in. */
function isNamed(id: string, texts: readonly string[], ids: readonly string[]): boolean {
  return texts.some((text) => (ids.includes(text) ? id === text : id.includes(text)))
}

function number(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} must be a whole number from 1 on.`)
  return value
}
