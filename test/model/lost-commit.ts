import { changed, type Model, type Step } from './explore.js'

/**
 * A transaction that runs again, and finds out what became of a lost COMMIT, as `src/transactions/with-retry.ts` does
 * it, with a standby that COMMIT waits for. The server commits for itself first; while the backend waits, nobody sees
 * the rows. When it is ended in the wait, everybody does. The standby has a beginning of the log. A failover loses the
 * rest, and the new server has no standby. The caller asks for the status of its transaction; `committed` is confirmed
 * by one more write that waits for the standby; both are answers of the server that the transaction was noted on.
 */
export interface Protocol {
  /** The step after a lost COMMIT. */
  readonly afterLoss?: 'ask' | 'run again' | 'say done'
  /** Whether a found commit is confirmed before it is told. */
  readonly confirms?: boolean
  /** Whether the status, and the confirmation, count only from the server that the transaction was noted on. */
  readonly comparesServers?: boolean
  readonly callers?: number
  /** Connections that break, and backends that are ended. */
  readonly faults?: number
  readonly failovers?: number
}

interface Caller {
  at: 'begun' | 'sent' | 'lost' | 'found' | 'confirming' | 'done' | 'unknown'
  /** The server that the transaction was noted on. */
  server: number
  run: number
}

/** A COMMIT, or the confirmation of one. */
interface Commit {
  readonly by: number
  readonly run: number
  readonly confirms: boolean
  phase: 'arriving' | 'waiting'
  /** Nobody waits for its answer. */
  isLost: boolean
}

interface Entry {
  readonly by: number
  readonly run: number
  readonly confirms: boolean
}

interface State {
  server: number
  log: Entry[]
  /** So many entries are with the standby, or on the server that has none. */
  safe: number
  commits: Commit[]
  readonly callers: Caller[]
  faults: number
  failovers: number
}

export function lostCommit(protocol: Protocol = {}): Model<State> {
  const { callers = 2, faults = 2, failovers = 1 } = protocol
  const made = (): Caller => ({ at: 'begun', server: 0, run: 0 })
  return {
    initial: {
      server: 0,
      log: [],
      safe: 0,
      commits: [],
      callers: Array.from({ length: callers }, made),
      faults,
      failovers,
    },
    steps: (state) => [
      ...state.callers.flatMap((_, i) => callerSteps(state, i, protocol)),
      ...state.commits.flatMap((_, n) => [...serverSteps(state, n), ...faultsOf(state, n)]),
      ...standbySteps(state),
    ],
    violation: violationOf,
  }
}

function callerSteps(state: State, i: number, protocol: Protocol): Step<State>[] {
  const { afterLoss = 'ask', confirms = true, comparesServers = true } = protocol
  const caller = state.callers[i] as Caller
  const step = (name: string, change: (copy: State, own: Caller) => void): Step<State> => ({
    name: `${i} ${name}`,
    next: changed(state, (copy) => change(copy, copy.callers[i] as Caller)),
  })
  const send = (at: Caller['at'], isConfirmation: boolean) => (copy: State, own: Caller) => {
    own.at = at
    const { run } = own
    copy.commits.push({ by: i, run, confirms: isConfirmation, phase: 'arriving', isLost: false })
  }
  const runAgain = (copy: State, own: Caller) =>
    Object.assign(own, { at: 'begun', server: copy.server, run: own.run + 1 })
  const ends = (name: string, at: Caller['at']) => step(name, (_, own) => Object.assign(own, { at }))
  const isOther = comparesServers && caller.server !== state.server
  switch (caller.at) {
    case 'begun':
      if (caller.server !== state.server) return [step('begins again on the new server', runAgain)]
      return [step('sends COMMIT', send('sent', false))]
    case 'lost': {
      if (afterLoss === 'say done') return [ends('says done', 'done')]
      if (afterLoss === 'run again') return [step('runs again', runAgain)]
      if (isOther) return [ends('is told of another server', 'unknown')]
      const own = (entry: Entry) => entry.by === i && entry.run === caller.run && !entry.confirms
      if (state.commits.some(own)) return [ends('is told "in progress" until its time is up', 'unknown')]
      if (state.log.some(own)) return [ends('is told "committed"', confirms ? 'found' : 'done')]
      return [step('is told "aborted", and runs again', runAgain)]
    }
    case 'found':
      if (isOther) return [ends('is told of another server', 'unknown')]
      return [step('sends a write that confirms it', send('confirming', true)), ends('is out of time', 'unknown')]
    default:
      return []
  }
}

function serverSteps(state: State, n: number): Step<State>[] {
  const { by, run, confirms, phase, isLost } = state.commits[n] as Commit
  const name = (text: string) => `${by} ${isLost ? '(late) ' : ''}${confirms ? 'confirmation ' : 'COMMIT '}${text}`
  if (phase === 'arriving') {
    const commits = changed(state, (copy) => {
      copy.log.push({ by, run, confirms })
      Object.assign(copy.commits[n] as Commit, { phase: 'waiting' })
      if (copy.server > 0) copy.safe = copy.log.length // there is no standby any more
    })
    return [{ name: name('is in the log'), next: commits }]
  }
  const place = state.log.findIndex((entry) => entry.by === by && entry.run === run && entry.confirms === confirms)
  if (place >= state.safe) return []
  const answered = changed(state, (copy) => {
    copy.commits.splice(n, 1)
    if (!isLost) Object.assign(copy.callers[by] as Caller, { at: 'done' })
  })
  return [{ name: name('is answered'), next: answered }]
}

/** The connection breaks on the way, and COMMIT arrives late or never; or the backend is ended while it waits. */
function faultsOf(state: State, n: number): Step<State>[] {
  const { by, confirms, phase, isLost } = state.commits[n] as Commit
  if (state.faults === 0) return []
  const lose = (copy: State) => {
    if (!isLost) Object.assign(copy.callers[by] as Caller, { at: confirms ? 'found' : 'lost' })
    copy.faults--
  }
  const gone = changed(state, (copy) => {
    copy.commits.splice(n, 1)
    lose(copy)
  })
  const steps = [{ name: `${by} ${phase === 'waiting' ? 'is ended in its wait' : 'never arrives'}`, next: gone }]
  if (isLost) return steps
  const late = changed(state, (copy) => {
    Object.assign(copy.commits[n] as Commit, { isLost: true })
    lose(copy)
  })
  return [...steps, { name: `${by} loses its connection`, next: late }]
}

function standbySteps(state: State): Step<State>[] {
  const steps: Step<State>[] = []
  if (state.safe < state.log.length) {
    steps.push({ name: 'the standby gets one more', next: changed(state, (copy) => void copy.safe++) })
  }
  if (state.failovers > 0) {
    const lost = changed(state, (copy) => {
      copy.failovers--
      copy.server++
      copy.log.splice(copy.safe)
      for (const { by, confirms, isLost } of copy.commits) {
        if (!isLost) Object.assign(copy.callers[by] as Caller, { at: confirms ? 'found' : 'lost' })
      }
      copy.commits = []
    })
    steps.push({ name: 'the server is lost, and the standby takes its place', next: lost })
  }
  return steps
}

function violationOf({ log, safe, callers }: State, isEnd: boolean): string | undefined {
  for (const [i, { at }] of callers.entries()) {
    const own = log.flatMap(({ by, confirms }, place) => (by === i && !confirms ? [place] : []))
    if (own.length > 1) return `${i} is committed twice`
    if (at === 'done' && !own.some((place) => place < safe)) return `${i} is told that it is committed, and can be lost`
    if (isEnd && !['done', 'unknown'].includes(at)) return `${i} never ends`
  }
  return undefined
}
