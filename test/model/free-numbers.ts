import { changed, type Model, type Step } from './explore.js'

/**
 * Numbers in parallel on paper. Each number up to the counter's last one is used, void or free. A transaction locks the
 * lowest free number that nobody has locked, and makes it used when it commits; it may roll back, or be killed. Where
 * there is no such number it has a block opened, by a transaction of its own under the lock of the counter. A closer
 * makes free numbers void, and waits for those that are locked.
 */
export interface Protocol {
  readonly takers?: number
  /** Whether a taker passes over numbers that others have locked. */
  readonly skipsLocked?: boolean
  /** Whether the opener looks again once it has the counter. */
  readonly looksAgain?: boolean
  /** Whether the opener locks the counter before it reads it. */
  readonly locksCounter?: boolean
  /** Whether the counter and the numbers of a block are written in one transaction. */
  readonly opensAtOnce?: boolean
  /** Whether the closer waits for numbers that are locked. */
  readonly closerWaits?: boolean
}

interface Taker {
  at: 'idle' | 'taken' | 'opening' | 'locked' | 'half open' | 'done' | 'gone'
  /** The number that it has locked. */
  number: number
  /** The counter, as its opener has read it. */
  read: number
}

interface State {
  last: number
  /** By number, from 1 on. */
  readonly numbers: ('used' | 'void' | 'free')[]
  /** The index of the taker that has locked each number, and the counter; or -1. */
  readonly locks: number[]
  counter: number
  closer: 'idle' | 'locked' | 'done'
  /** The mistake of a step, where the state behind it does not show it. */
  mistake: string | undefined
  readonly takers: Taker[]
}

const BLOCK = 2
/** The index of the closer. */
const CLOSER = 100

export function freeNumbers(protocol: Protocol = {}): Model<State> {
  const { takers = 3 } = protocol
  return {
    initial: {
      last: 0,
      numbers: [],
      locks: [],
      counter: -1,
      closer: 'idle',
      mistake: undefined,
      takers: Array.from({ length: takers }, (): Taker => ({ at: 'idle', number: 0, read: 0 })),
    },
    steps: (state) => [
      ...state.takers.flatMap((_, i) => takerSteps(state, i, protocol)),
      ...closerSteps(state, protocol),
    ],
    violation: violationOf,
  }
}

/** The index of the lowest free number; of those that nobody has locked where it is to be one of them. */
const lowest = ({ numbers, locks }: State, unlocked: boolean) =>
  numbers.findIndex((number, n) => number === 'free' && (!unlocked || locks[n] === -1))

function add(copy: State, from: number): void {
  for (let n = from; n < from + BLOCK; n++) {
    if (copy.numbers[n] !== undefined) copy.mistake = 'a number is opened twice'
    copy.numbers[n] = 'free'
    copy.locks[n] = -1
  }
}

function takerSteps(state: State, i: number, protocol: Protocol): Step<State>[] {
  const { skipsLocked = true, looksAgain = true, locksCounter = true, opensAtOnce = true } = protocol
  const taker = state.takers[i] as Taker
  const step = (name: string, change: (copy: State, own: Taker) => void): Step<State> => ({
    name: `${i} ${name}`,
    next: changed(state, (copy) => change(copy, copy.takers[i] as Taker)),
  })
  const end = (copy: State, own: Taker, at: Taker['at']) => {
    own.at = at
    if (copy.counter === i) copy.counter = -1
    copy.locks.forEach((owner, n) => {
      if (owner === i) copy.locks[n] = -1
    })
  }
  const killed = step('is killed', (copy, own) => end(copy, own, 'gone'))
  switch (taker.at) {
    case 'idle': {
      const n = lowest(state, skipsLocked)
      if (n === -1) return [step('finds none', (_, own) => void (own.at = 'opening'))]
      const take = (copy: State, own: Taker) => {
        copy.locks[n] = i
        Object.assign(own, { at: 'taken', number: n })
      }
      return [step(`takes ${n + 1}`, take)]
    }
    case 'taken': {
      const commit = step('commits', (copy, own) => {
        if (copy.numbers[own.number] === 'used') copy.mistake = 'a number is given twice'
        copy.numbers[own.number] = 'used'
        end(copy, own, 'done')
      })
      return [commit, step('rolls back', (copy, own) => end(copy, own, 'gone')), killed]
    }
    case 'opening': {
      if (locksCounter && state.counter !== -1) return [killed]
      const lock = step('locks the counter', (copy, own) => {
        if (locksCounter) copy.counter = i
        Object.assign(own, { at: 'locked', read: copy.last })
      })
      return [lock, killed]
    }
    case 'locked': {
      if (looksAgain && lowest(state, true) !== -1) {
        return [step('finds some again', (copy, own) => end(copy, own, 'idle')), killed]
      }
      const open = step('opens a block', (copy, own) => {
        if (lowest(copy, true) !== -1) copy.mistake = 'a block is opened without need'
        copy.last = own.read + BLOCK
        if (!opensAtOnce) return void (own.at = 'half open')
        add(copy, own.read)
        end(copy, own, 'idle')
      })
      return [open, killed]
    }
    case 'half open': {
      const adds = step('adds its numbers', (copy, own) => {
        add(copy, own.read)
        end(copy, own, 'idle')
      })
      return [adds, killed]
    }
    default:
      return []
  }
}

function closerSteps(state: State, { closerWaits = true }: Protocol): Step<State>[] {
  const step = (name: string, change: (copy: State) => void) => [{ name, next: changed(state, change) }]
  if (state.closer === 'idle') {
    if (state.counter !== -1) return []
    return step('the closer locks the counter', (copy) => {
      copy.counter = CLOSER
      copy.closer = 'locked'
    })
  }
  if (state.closer === 'done') return []
  const n = lowest(state, false)
  if (n === -1) {
    return step('the closer commits', (copy) => {
      if (copy.counter === CLOSER) copy.counter = -1
      copy.closer = 'done'
    })
  }
  // It waits for the transaction that has locked the number.
  return state.locks[n] === -1 || !closerWaits
    ? step(`the closer voids ${n + 1}`, (copy) => void (copy.numbers[n] = 'void'))
    : []
}

function violationOf({ last, numbers, locks, closer, mistake, takers }: State, isEnd: boolean): string | undefined {
  if (mistake) return mistake
  if (numbers.length !== last || Array.from(numbers).includes(undefined as never)) {
    return 'used, free and void are not 1 to the last number'
  }
  for (const [i, { at, number }] of takers.entries()) {
    if (at !== 'taken') continue
    if (locks[number] !== i) return 'two have the same number'
    if (numbers[number] === 'void') return 'a void number is given'
  }
  const isStuck = takers.some(({ at }) => at !== 'done' && at !== 'gone') || closer !== 'done'
  return isEnd && isStuck ? 'somebody waits for ever' : undefined
}
