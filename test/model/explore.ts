/** A protocol on paper: its states are plain JSON, and whatever may happen in one is a step to another. */
export interface Model<S> {
  readonly initial: S
  /** All that may happen next: of every caller, of the server, and of the network. */
  steps(state: S): readonly Step<S>[]
  /** The mistake of a state, if it has one. `isEnd`: nothing more can happen. */
  violation(state: S, isEnd: boolean): string | undefined
}

export interface Step<S> {
  readonly name: string
  readonly next: S
}

export interface Exploration {
  /** How many different states there are. */
  readonly states: number
  /** The first mistake, and the steps to it: no other way to a wrong state is shorter. */
  readonly found: { readonly violation: string; readonly trace: readonly string[] } | undefined
}

/** Far more than any model here has: one that counts without end would never be walked through. */
const MOST_STATES = 2_000_000

/** Walks through every state that can be reached, breadth first. */
export function explore<S>({ initial, steps, violation }: Model<S>): Exploration {
  const seen = new Set([JSON.stringify(initial)])
  const states: Reached<S>[] = [{ state: initial, step: 'begin', before: undefined }]
  for (const reached of states) {
    const next = steps(reached.state)
    const wrong = violation(reached.state, next.length === 0)
    if (wrong !== undefined) return { states: states.length, found: { violation: wrong, trace: traceOf(reached) } }
    for (const { name, next: state } of next) {
      const key = JSON.stringify(state)
      if (seen.has(key)) continue
      if (seen.size === MOST_STATES) throw new Error(`The model has more than ${MOST_STATES} states.`)
      seen.add(key)
      states.push({ state, step: name, before: reached })
    }
  }
  return { states: states.length, found: undefined }
}

interface Reached<S> {
  readonly state: S
  readonly step: string
  readonly before: Reached<S> | undefined
}

function traceOf<S>(last: Reached<S>): string[] {
  const trace: string[] = []
  for (let at: Reached<S> | undefined = last; at?.before; at = at.before) trace.unshift(at.step)
  return trace
}

/** A copy of the state that `change` may write to. */
export function changed<S>(state: S, change: (copy: S) => void): S {
  const copy = copyOf(state)
  change(copy)
  return copy
}

/** Of plain JSON. `structuredClone` takes ten times as long, and that is most of the time of a walk. */
function copyOf<T>(value: T): T {
  if (Array.isArray(value)) return value.map(copyOf) as T
  if (typeof value !== 'object' || value === null) return value
  const copy: Record<string, unknown> = {}
  for (const key in value) copy[key] = copyOf(value[key])
  return copy as T
}
