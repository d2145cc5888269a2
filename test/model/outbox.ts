import { changed, type Model, type Step } from './explore.js'

/**
 * The deliveries of one message on paper: how those are counted whose relay is killed, though all that it has written
 * is rolled back. The row of the message keeps who has locked it last, and that is not rolled back. A relay that takes
 * it looks at that: after a note it is the one who has written the row, and after a kill it is another one.
 *
 * The look and the lock are two steps. If the row was written in between, a relay is shown its own lock.
 */
export interface Protocol {
  /** Default 2. */
  readonly relays?: number
  /** Whether a row that somebody has left locked is noted as a failure, before it is delivered again. */
  readonly countsLost?: boolean
  /** Whether the one who has written the row is told from others that have locked it. */
  readonly knowsWriter?: boolean
  /** Whether a relay knows its own lock. */
  readonly knowsItself?: boolean
  /** Whether a note that comes after the transaction looks at the count. */
  readonly looksAtCount?: boolean
  /** How often a message is given back at most, to be delivered alone. Default 2. */
  readonly mostGivenBack?: number
  /** Whether a relay that gives a message back writes the row. */
  readonly givesBackByWrite?: boolean
}

type Mark = 'none' | 'writer' | 'another'

interface Relay {
  at: 'idle' | 'looking' | 'noting' | 'handling' | 'out of time'
  /** The row as it has seen it. */
  version: number
  mark: Mark
  attempts: number
  /** Whether it runs again, after a conflict. */
  isAgain: boolean
}

interface State {
  readonly row: { at: 'waiting' | 'sent' | 'dead'; holder: number; mark: Mark; version: number; attempts: number }
  readonly relays: Relay[]
  /** How often a handler was begun. */
  begun: number
  /** Runs that need not be counted: after a conflict, or where a relay was killed between a look and a lock of another one. */
  free: number
  /** How often it was given back. */
  givenBack: number
}

/** After so many failures the message is dead. */
const ATTEMPTS = 3
const MOST_FREE = 2

export function deliveries(protocol: Protocol = {}): Model<State> {
  const made = (): Relay => ({ at: 'idle', version: 0, mark: 'none', attempts: 0, isAgain: false })
  return {
    initial: {
      row: { at: 'waiting', holder: -1, mark: 'none', version: 0, attempts: 0 },
      relays: Array.from({ length: protocol.relays ?? 2 }, made),
      begun: 0,
      free: 0,
      givenBack: 0,
    },
    steps: (state) => state.relays.flatMap((_, i) => stepsOf(state, i, protocol)),
    violation({ row, begun, free }) {
      if (row.attempts > begun) return 'a delivery is counted twice, or was never begun'
      if (begun > ATTEMPTS + free) return 'it is delivered more often than it may be'
      return undefined
    },
  }
}

function stepsOf(state: State, i: number, protocol: Protocol): Step<State>[] {
  const { row } = state
  const relay = state.relays[i] as Relay
  const step = (name: string, change: (copy: State, own: Relay) => void): Step<State> => ({
    name: `${i} ${name}`,
    next: changed(state, (copy) => change(copy, copy.relays[i] as Relay)),
  })
  const end = (copy: State, own: Relay) => {
    if (copy.row.holder === i) copy.row.holder = -1
    Object.assign(own, { at: 'idle', isAgain: false })
  }
  const note = (copy: State, own: Relay) => {
    const attempts = copy.row.attempts + 1
    Object.assign(copy.row, { attempts, mark: 'writer', version: copy.row.version + 1 })
    if (attempts === ATTEMPTS) copy.row.at = 'dead'
    end(copy, own)
  }
  const killed = step('is killed', end)
  switch (relay.at) {
    case 'idle': {
      const look = (_: State, own: Relay) => {
        Object.assign(own, { at: 'looking', version: row.version, mark: row.mark })
      }
      return row.at === 'waiting' ? [step('looks', look)] : []
    }
    case 'looking':
      return row.at !== 'waiting' || row.holder !== -1
        ? [step('passes it over', end)]
        : lockSteps(state, relay, step, protocol)
    case 'noting':
      return [step('notes that a delivery was lost', note), killed]
    case 'handling': {
      const conflict = step('has a conflict, and runs again', (copy, own) => {
        copy.row.holder = -1
        copy.free++
        Object.assign(own, { at: 'looking', version: row.version, mark: row.mark, isAgain: true })
      })
      const late = step('is out of time', (copy, own) => {
        copy.row.holder = -1
        own.at = 'out of time'
      })
      const { givesBackByWrite = true, mostGivenBack = 2 } = protocol
      const back = step('gives it back', (copy, own) => {
        if (givesBackByWrite) Object.assign(copy.row, { mark: 'writer', version: copy.row.version + 1 })
        copy.givenBack++
        copy.begun--
        end(copy, own)
      })
      const isSuspect = row.attempts > 0 && state.givenBack < mostGivenBack
      const sent = step('sends it', (copy, own) => {
        copy.row.at = 'sent'
        end(copy, own)
      })
      return [
        sent,
        step('fails, and notes it', note),
        late,
        killed,
        ...(state.free < MOST_FREE ? [conflict] : []),
        ...(isSuspect ? [back] : []),
      ]
    }
    case 'out of time': {
      const { looksAtCount = true } = protocol
      const isOwn = row.at === 'waiting' && row.holder === -1 && (!looksAtCount || row.attempts === relay.attempts)
      return [step('notes its failure afterwards', isOwn ? note : end), killed]
    }
  }
}

function lockSteps(
  { row, free }: State,
  relay: Relay,
  step: (name: string, change: (copy: State, own: Relay) => void) => Step<State>,
  { countsLost = true, knowsWriter = true, knowsItself = true }: Protocol,
): Step<State>[] {
  const isWritten = row.version !== relay.version
  // Another one was killed since the look, and its lock is not seen.
  const isMissed = row.mark === 'another' && (isWritten || relay.mark !== 'another')
  if (isMissed && free === MOST_FREE) return []
  const isMarked = isWritten ? !knowsItself : relay.mark === 'another' || (relay.mark === 'writer' && !knowsWriter)
  const isLost = countsLost && isMarked && !relay.isAgain
  const lock = step(isLost ? 'takes it, and finds that one was lost' : 'takes it', (copy, own) => {
    Object.assign(copy.row, { holder: copy.relays.indexOf(own), mark: 'another' })
    Object.assign(own, { at: isLost ? 'noting' : 'handling', attempts: row.attempts, isAgain: false })
    if (!isLost) copy.begun++
    if (isMissed && !relay.isAgain) copy.free++
  })
  return [lock]
}
