import { changed, type Model, type Step } from './explore.js'

/**
 * A lease on paper. A row has its holder, its token, and its end by the database's clock. Each new holder gets the next
 * token. A holder counts its time from before it sent its call, so it never believes in a lease that is over. But it may
 * be paused after it has looked, and before it writes. So a write carries the token, and the resource that is written
 * remembers the highest token that it has seen: the fence.
 */
export interface Protocol {
  /** Whether a write with a token lower than one that was seen is refused. */
  readonly isFenced?: boolean
  /** Whether a holder counts from before it sent the call, and not from the answer. */
  readonly countsFrom?: 'call' | 'answer'
  /** Whether a lease is taken only after its end by the database's clock. */
  readonly looksAtEnd?: boolean
  /** Whether each holder gets a token of its own. */
  readonly renewsToken?: boolean
  readonly holders?: number
}

interface Holder {
  at: 'idle' | 'asking' | 'held' | 'writing' | 'done' | 'refused'
  token: number
  /** Its own time when it asked, and when it believes that its lease ends. */
  asked: number
  ends: number
  /** Whether it was told that it has the lease; the answer may be on its way. */
  isGranted: boolean
}

interface State {
  /** Of the database, and of all holders: no clock is wrong here. */
  now: number
  readonly row: { holder: number; token: number; ends: number }
  /** The highest token that the resource has seen, and the tokens of its writes. */
  fence: number
  readonly writes: number[]
  readonly holders: Holder[]
}

/** How long a lease lasts, and how long it is watched. */
const TTL = 2
const END = 5

export function lease(protocol: Protocol = {}): Model<State> {
  const { holders = 2 } = protocol
  const made = (): Holder => ({ at: 'idle', token: 0, asked: 0, ends: 0, isGranted: false })
  return {
    initial: {
      now: 0,
      row: { holder: -1, token: 0, ends: 0 },
      fence: 0,
      writes: [],
      holders: Array.from({ length: holders }, made),
    },
    steps: (state) => [
      ...state.holders.flatMap((_, i) => holderSteps(state, i, protocol)),
      ...(state.now < END ? [{ name: 'time passes', next: changed(state, (copy) => void copy.now++) }] : []),
    ],
    violation: violationOf,
  }
}

function holderSteps(state: State, i: number, protocol: Protocol): Step<State>[] {
  const { isFenced = true, countsFrom = 'call', looksAtEnd = true, renewsToken = true } = protocol
  const holder = state.holders[i] as Holder
  const step = (name: string, change: (copy: State, own: Holder) => void): Step<State> => ({
    name: `${i} ${name}`,
    next: changed(state, (copy) => change(copy, copy.holders[i] as Holder)),
  })
  switch (holder.at) {
    case 'idle':
      return [step('asks', (copy, own) => Object.assign(own, { at: 'asking', asked: copy.now, isGranted: false }))]
    case 'asking': {
      if (holder.isGranted) {
        const told = step('is told', (copy, own) => {
          own.at = 'held'
          own.ends = (countsFrom === 'call' ? own.asked : copy.now) + TTL
        })
        return [told]
      }
      const isFree = state.row.holder === -1 || !looksAtEnd || state.now >= state.row.ends
      if (!isFree) return []
      const granted = step('is granted', (copy, own) => {
        const token = copy.row.token + (renewsToken || copy.row.token === 0 ? 1 : 0)
        Object.assign(copy.row, { holder: i, token, ends: copy.now + TTL })
        Object.assign(own, { isGranted: true, token })
      })
      return [granted]
    }
    case 'held': {
      const looks = step('finds that it has the lease', (_, own) => Object.assign(own, { at: 'writing' }))
      const gives = step('finds that its lease is over', (_, own) => Object.assign(own, { at: 'refused' }))
      return [state.now < holder.ends ? looks : gives]
    }
    case 'writing': {
      const isRefused = isFenced && holder.token < state.fence
      const writes = step(isRefused ? 'is refused by the fence' : 'writes', (copy, own) => {
        own.at = isRefused ? 'refused' : 'done'
        if (isRefused) return
        copy.fence = Math.max(copy.fence, own.token)
        copy.writes.push(own.token)
      })
      return [writes]
    }
    default:
      return []
  }
}

function violationOf({ now, row, writes, holders }: State): string | undefined {
  for (const [n, token] of writes.entries()) {
    const before = writes[n - 1]
    if (before !== undefined && token < before) return 'a holder of before writes after its successor'
    if (token === before) return 'two holders write under one token'
  }
  const believing = holders.filter(({ at, ends }) => at === 'held' && now < ends)
  if (believing.length > 1) return 'two believe in their leases at once'
  if (holders.some(({ token }) => token > row.token)) return 'a token is from nowhere'
  return undefined
}
