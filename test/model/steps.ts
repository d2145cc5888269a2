import { changed, type Model, type Step } from './explore.js'

/**
 * An operation in steps on paper: a step in the database, a call to another system, and an end, or a refusal that undoes
 * them. Runners read the row, and go on from there; each may end at any moment, and be late at any moment. A body may
 * decide otherwise in each run, so each of them may refuse, or not.
 */
export interface Protocol {
  readonly runners?: number
  /** Whether a step looks at the locked row before it writes. */
  readonly looksUnderLock?: boolean
  /** Whether it is noted that a call begins. */
  readonly notesBegin?: boolean
  /** Whether the operation is refused or done only if no step is stored that the runner does not know. */
  readonly guardsEnd?: boolean
  /** Whether an answer that is stored stays. */
  readonly keepsFirst?: boolean
  /** Whether it is looked under the lock whether a step is undone. */
  readonly marksUndone?: boolean
}

/** Of the call: `begun`, or the runner whose answer is stored. */
type Call = 'begun' | number

interface Row {
  state: 'running' | 'refusing' | 'refused' | 'done'
  /** The step in the database, and the call. */
  steps: readonly ['step'?, Call?]
  isUndone: boolean
  isRefunded: boolean
}

interface Runner {
  at: 'idle' | 'running' | 'calling' | 'called' | 'undoing' | 'refunded'
  seen: Row
  n: number
  answer: Call | undefined
}

interface State {
  readonly row: Row
  /** How often the step has taken effect, less how often it was undone. */
  effects: number
  /** The other side knows a call that comes again by its key. */
  charge: 'none' | 'charged' | 'refunded'
  /** The answer that was stored first. */
  first: Call | undefined
  readonly runners: Runner[]
}

const EMPTY: Row = { state: 'running', steps: [], isUndone: false, isRefunded: false }
const idle = (): Runner => ({ at: 'idle', seen: { ...EMPTY }, n: 0, answer: undefined })

export function stepsModel(protocol: Protocol = {}): Model<State> {
  const { runners = 2 } = protocol
  return {
    initial: {
      row: { ...EMPTY },
      effects: 0,
      charge: 'none',
      first: undefined,
      runners: Array.from({ length: runners }, idle),
    },
    steps: (state) => state.runners.flatMap((_, i) => runnerSteps(state, i, protocol)),
    violation: violationOf,
  }
}

type Change = (copy: State, own: Runner) => void

function runnerSteps(state: State, i: number, protocol: Protocol): Step<State>[] {
  const runner = state.runners[i] as Runner
  const step = (name: string, change: Change): Step<State> => ({
    name: `${i} ${name}`,
    next: changed(state, (copy) => change(copy, copy.runners[i] as Runner)),
  })
  const ends = step('ends', (copy) => void copy.runners.splice(i, 1, idle()))
  switch (runner.at) {
    case 'idle':
      return state.row.state === 'done' || state.row.state === 'refused' ? [] : [step('reads', read)]
    case 'running':
      return [ends, ...bodySteps(runner, step, protocol)]
    case 'calling':
      return [ends, step('calls', call)]
    case 'called':
      return [ends, step('stores the answer', (copy, own) => store(copy, own, i, protocol))]
    case 'undoing':
      return [ends, step('refunds', refund)]
    case 'refunded':
      return [ends, step('undoes', (copy, own) => undo(copy, own, protocol))]
  }
}

function bodySteps(
  { n, seen }: Runner,
  step: (name: string, change: Change) => Step<State>,
  protocol: Protocol,
): Step<State>[] {
  const refuses = step('refuses', (copy, own) => end(copy, own, 'refusing', protocol))
  if (n === 0) return [step('does the step', (copy, own) => doStep(copy, own, protocol))]
  if (n === 2) return [refuses, step('is done', (copy, own) => end(copy, own, 'done', protocol))]
  if (seen.steps[1] !== undefined) return [step('knows of the call', takeCall)]
  return [refuses, step('begins the call', (copy, own) => begin(copy, own, protocol))]
}

const read: Change = (copy, own) => {
  own.seen = { ...copy.row }
  own.at = copy.row.state === 'refusing' ? 'undoing' : 'running'
}

const overtaken = (own: Runner) => Object.assign(own, idle())

function doStep(copy: State, own: Runner, { looksUnderLock = true }: Protocol): void {
  const { row } = copy
  if (looksUnderLock && row.state !== 'running') return void overtaken(own)
  if (own.seen.steps.length === 0 && (!looksUnderLock || row.steps.length === 0)) {
    copy.effects++
    if (row.steps.length === 0) row.steps = ['step']
  }
  own.seen = { ...row }
  own.n = 1
}

function begin({ row }: State, own: Runner, { notesBegin = true }: Protocol): void {
  if (!notesBegin) return void Object.assign(own, { at: 'calling' })
  if (row.state === 'running' && row.steps.length === 1) row.steps = ['step', 'begun']
  else if (row.state !== 'running') return void overtaken(own)
  own.seen = { ...row }
}

const takeCall: Change = (_, own) => {
  const [, call] = own.seen.steps
  if (call === 'begun') own.at = 'calling'
  else Object.assign(own, { n: 2, answer: call })
}

const call: Change = (copy, own) => {
  if (copy.charge === 'none') copy.charge = 'charged'
  own.at = 'called'
}

function store(copy: State, own: Runner, i: number, { keepsFirst = true, notesBegin = true }: Protocol): void {
  const { row } = copy
  if (row.state !== 'running') return void overtaken(own)
  const [, known] = row.steps
  const isFree = known === 'begun' || (!notesBegin && known === undefined)
  if (isFree || !keepsFirst) {
    row.steps = ['step', i]
    copy.first ??= i
  }
  Object.assign(own, { at: 'running', n: 2, seen: { ...row }, answer: row.steps[1] })
}

function end({ row }: State, own: Runner, to: 'refusing' | 'done', { guardsEnd = true }: Protocol): void {
  if (row.state !== 'running' || (guardsEnd && row.steps.length !== own.n)) return void overtaken(own)
  row.state = to
  own.at = to === 'done' ? 'idle' : 'undoing'
}

/** A call is undone if its answer is known. */
const refund: Change = (copy, own) => {
  const { row } = copy
  if (typeof row.steps[1] === 'number') {
    if (copy.charge === 'charged') copy.charge = 'refunded'
    row.isRefunded = true
  }
  own.at = 'refunded'
}

function undo(copy: State, own: Runner, { marksUndone = true }: Protocol): void {
  const { row } = copy
  if (row.steps.length > 0 && !(marksUndone && (row.isUndone || row.state !== 'refusing'))) copy.effects--
  row.isUndone = true
  if (row.state === 'refusing') row.state = 'refused'
  Object.assign(own, idle())
}

function violationOf({ row, effects, charge, first, runners }: State): string | undefined {
  if (effects > 1) return 'a step has taken effect twice'
  if (effects < 0) return 'a step was undone twice'
  if (row.state === 'refused' && effects > 0) return 'a step was not undone'
  if (row.state === 'refused' && charge === 'charged') return 'a call was made and not undone'
  if (row.state === 'done' && charge !== 'charged') return 'it is done without the call'
  const [, stored] = row.steps
  if (first !== undefined && stored !== first) return 'a stored answer has changed'
  const isOther = ({ n, answer }: Runner) => n === 2 && answer !== stored
  return runners.some(isOther) ? 'a runner goes on with another answer than the one that is stored' : undefined
}
