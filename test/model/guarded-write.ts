import { changed, type Model, type Step } from './explore.js'

/**
 * The guarded write of one row, as `src/versioning/guarded-write.ts` does it: `UPDATE … SET value = read + 1,
 * version = version + 1 WHERE version = expected`. A caller with a function reads again after a conflict; one whose
 * version came from outside is told `stale`. A lost answer leaves the statement in one of three places: carried out,
 * gone, or still on its way to the server. The same statement is then sent once more, under the same version.
 */
export interface Protocol {
  /** Whether the statement has the version in its WHERE. */
  readonly isGuarded?: boolean
  /** The next step after a lost answer. */
  readonly afterLoss?: 'same version' | 'success' | 'read anew'
  /** The meaning of a conflict once an answer was lost. */
  readonly lateConflict?: 'unknown' | 'stale'
  readonly callers?: readonly ('function' | 'object')[]
  readonly faults?: number
}

interface Caller {
  readonly kind: 'function' | 'object'
  /** `sent`: waits for an answer. `lost`: the connection broke meanwhile. */
  at: 'start' | 'ready' | 'sent' | 'lost' | 'done' | 'stale' | 'unknown'
  /** The version that was read, which is the value as well. */
  read: number
  isAmbiguous: boolean
  answer: 'written' | 'not' | ''
  /** How often the write was carried out. */
  writes: number
}

interface State {
  version: number
  value: number
  readonly callers: Caller[]
  /** Statements on their way to the server; those of a connection that is lost may arrive late, or never. */
  readonly underWay: { readonly by: number; readonly expected: number; isLost: boolean }[]
  faults: number
}

export function guardedWrite({
  isGuarded = true,
  afterLoss = 'same version',
  lateConflict = 'unknown',
  callers = ['function', 'object', 'function'],
  faults = 2,
}: Protocol = {}): Model<State> {
  type Make = (name: string, change: (copy: State, own: Caller) => void) => Step<State>
  const stepsOf = (state: State, i: number): Step<State>[] => {
    const caller = state.callers[i] as Caller
    const step: Make = (name, change) => ({
      name: `${i} ${name}`,
      next: changed(state, (copy) => change(copy, copy.callers[i] as Caller)),
    })
    const read = (copy: State, own: Caller) => Object.assign(own, { at: 'ready', read: copy.version })
    switch (caller.at) {
      case 'start':
        return [step('reads', read)]
      case 'ready':
        return [
          step('sends', (copy, own) => {
            own.at = 'sent'
            copy.underWay.push({ by: i, expected: own.read, isLost: false })
          }),
        ]
      case 'lost':
        if (afterLoss === 'success') return [step('says done', (_, own) => Object.assign(own, { at: 'done' }))]
        if (afterLoss === 'read anew') return [step('reads anew', read)]
        return [step('sends again', (_, own) => Object.assign(own, { at: 'ready', isAmbiguous: true }))]
      case 'sent':
        return caller.answer === '' ? [] : [answered(step, caller, read), ...lossOf(state, step)]
      default:
        return []
    }
  }
  const answered = (step: Make, caller: Caller, read: (copy: State, own: Caller) => void) =>
    step(`is answered: ${caller.answer}`, (copy, own) => {
      const isWritten = own.answer === 'written'
      own.answer = ''
      if (isWritten) own.at = 'done'
      else if (own.isAmbiguous) own.at = lateConflict
      else if (own.kind === 'object') own.at = 'stale'
      else read(copy, own)
    })
  const lossOf = (state: State, step: Make) =>
    state.faults === 0
      ? []
      : [
          step('loses the answer', (copy, own) => {
            copy.faults--
            Object.assign(own, { at: 'lost', answer: '' })
          }),
        ]
  const serverSteps = (state: State): Step<State>[] =>
    state.underWay.flatMap(({ by, expected, isLost }, n) => {
      const name = `${by} ${isLost ? '(late) ' : ''}`
      const carriedOut = changed(state, (copy) => {
        copy.underWay.splice(n, 1)
        const own = copy.callers[by] as Caller
        const isWritten = !isGuarded || copy.version === expected
        if (isWritten) {
          copy.version++
          copy.value = expected + 1
          own.writes++
        }
        if (!isLost) own.answer = isWritten ? 'written' : 'not'
      })
      const steps = [{ name: `${name}is carried out by the server`, next: carriedOut }]
      const gone = changed(state, (copy) => void copy.underWay.splice(n, 1))
      if (isLost) return [...steps, { name: `${name}never arrives`, next: gone }]
      if (state.faults === 0) return steps
      const lost = changed(state, (copy) => {
        copy.faults--
        Object.assign(copy.underWay[n] ?? {}, { isLost: true })
        Object.assign(copy.callers[by] ?? {}, { at: 'lost' })
      })
      return [...steps, { name: `${name}connection breaks, the statement is on its way`, next: lost }]
    })
  const made = (kind: Caller['kind']): Caller => ({
    kind,
    at: 'start',
    read: 0,
    isAmbiguous: false,
    answer: '',
    writes: 0,
  })
  return {
    initial: { version: 0, value: 0, callers: callers.map(made), underWay: [], faults },
    steps: (state) => [...state.callers.flatMap((_, i) => stepsOf(state, i)), ...serverSteps(state)],
    violation(state, isEnd) {
      if (state.value !== state.version) return 'an update is lost: the value is not the number of writes'
      for (const [i, { at, writes }] of state.callers.entries()) {
        if (writes > 1) return `${i} is written twice`
        if (at === 'done' && writes === 0 && isEnd) return `${i} is told that it is written, and is not`
        if (at === 'stale' && writes > 0) return `${i} is told that nothing was written, and it is`
        if (isEnd && !['done', 'stale', 'unknown'].includes(at)) return `${i} never ends`
      }
      return undefined
    },
  }
}
