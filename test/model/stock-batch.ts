import { changed, type Model, type Step } from './explore.js'

/**
 * The guarded statement of the stock, as `writeGuarded` of `src/stock/write.ts` sends it: it takes its snapshot, locks
 * the item, checks what is there, claims the transaction id in the unique index, and writes. A call that is refused
 * looks whether it is recorded. A lost answer leaves the statement at the server, where it goes on or is ended; the
 * call is then sent again.
 */
export interface Protocol {
  /** The balance by which a statement decides: that of the locked row, or that of its snapshot. */
  readonly balanceOf?: 'locked row' | 'snapshot'
  /** How a statement finds out that its id is recorded. */
  readonly claimBy?: 'unique index' | 'snapshot'
  /** Whether the claim is in the transaction that writes the balance. */
  readonly isOneTransaction?: boolean
  /** The meaning of `short` once an answer was lost. */
  readonly lateRefusal?: 'unknown' | 'short'
  /** Whether a refused call looks for a record of its id before it says so. */
  readonly looksAfterRefusal?: boolean
  readonly calls?: readonly Call[]
  readonly faults?: number
}

interface Call {
  readonly id: string
  readonly item: number
  readonly quantity: number
}

interface Caller extends Call {
  at: 'ready' | 'sent' | 'done' | 'short' | 'mismatch' | 'unknown'
  isAmbiguous: boolean
  answer: '' | 'written' | 'short' | 'taken'
  /** Whether its id was recorded when it was told `short`. */
  wasRecorded: boolean
  writes: number
}

interface Statement {
  readonly by: number
  phase: 'arriving' | 'waiting' | 'locked' | 'granted' | 'claimed'
  /** The balance and the ids of its snapshot, and the balance of the row that it has locked. */
  balance: number
  ids: string[]
  /** Nobody waits for its answer. */
  isLost: boolean
}

interface State {
  readonly onHand: number[]
  readonly ledger: Call[]
  readonly statements: Statement[]
  readonly callers: Caller[]
  faults: number
}

const OPENING = [3, 2]

/** Two calls under one id, a third that takes what they need, and one that has the id for something else. */
export const CALLS: readonly Call[] = [
  { id: 'a', item: 0, quantity: -2 },
  { id: 'a', item: 0, quantity: -2 },
  { id: 'b', item: 0, quantity: -2 },
  { id: 'a', item: 1, quantity: -1 },
]

/** The second takes what the first one needs, and the third brings it back. */
export const WITH_RESTOCK: readonly Call[] = [
  { id: 'a', item: 0, quantity: -2 },
  { id: 'b', item: 0, quantity: -2 },
  { id: 'c', item: 0, quantity: 2 },
]

export function stockBatch(protocol: Protocol = {}): Model<State> {
  const { calls = CALLS.slice(0, 3), faults = 1 } = protocol
  const made = (call: Call): Caller => ({
    ...call,
    at: 'ready',
    isAmbiguous: false,
    answer: '',
    wasRecorded: false,
    writes: 0,
  })
  return {
    initial: { onHand: [...OPENING], ledger: [], statements: [], callers: calls.map(made), faults },
    steps: (state) => [
      ...state.callers.flatMap((_, i) => callerSteps(state, i, protocol)),
      ...state.statements.flatMap((_, n) => [...serverSteps(state, n, protocol), ...faultsOf(state, n)]),
    ],
    violation: violationOf,
  }
}

function callerSteps(state: State, i: number, { lateRefusal = 'unknown', looksAfterRefusal = true }: Protocol) {
  const caller = state.callers[i] as Caller
  const step = (name: string, change: (copy: State, own: Caller) => void): Step<State> => ({
    name: `${i} ${name}`,
    next: changed(state, (copy) => change(copy, copy.callers[i] as Caller)),
  })
  if (caller.at === 'ready') {
    const sends = step('sends', (copy, own) => {
      own.at = 'sent'
      copy.statements.push({ by: i, phase: 'arriving', balance: 0, ids: [], isLost: false })
    })
    return [sends]
  }
  if (caller.at !== 'sent' || caller.answer === '') return []
  const isAnswered = step(`is answered: ${caller.answer}`, (copy, own) => {
    const recorded = copy.ledger.find(({ id }) => id === own.id)
    const looks = own.answer === 'taken' || looksAfterRefusal
    const refusal = own.isAmbiguous ? lateRefusal : 'short'
    if (own.answer === 'written') own.at = 'done'
    else if (recorded && looks) own.at = recorded.item === own.item ? 'done' : 'mismatch'
    // The id was taken by a call that was then ended.
    else own.at = own.answer === 'taken' ? 'ready' : refusal
    own.wasRecorded = own.at === 'short' && recorded?.item === own.item
    own.answer = ''
  })
  return [isAnswered]
}

function serverSteps(state: State, n: number, protocol: Protocol): Step<State>[] {
  const { balanceOf = 'locked row', claimBy = 'unique index', isOneTransaction = true } = protocol
  const statement = state.statements[n] as Statement
  const { id, item, quantity } = state.callers[statement.by] as Caller
  const others = state.statements.filter((other) => other !== statement)
  const step = (name: string, change: (copy: State, own: Statement) => void): Step<State> => ({
    name: `${statement.by} ${statement.isLost ? '(late) ' : ''}${name}`,
    next: changed(state, (copy) => change(copy, copy.statements[n] as Statement)),
  })
  const end = (copy: State, answer: Caller['answer']) => {
    copy.statements.splice(n, 1)
    const caller = copy.callers[statement.by]
    if (caller && !statement.isLost) caller.answer = answer
  }
  const write = (copy: State) => {
    copy.onHand[item] = (copy.onHand[item] ?? 0) + quantity
    const caller = copy.callers[statement.by]
    if (caller) caller.writes++
  }
  const record = (copy: State) => void copy.ledger.push({ id, item, quantity })
  switch (statement.phase) {
    case 'arriving':
      return [
        step('takes its snapshot', (copy, own) => {
          const ids = copy.ledger.map((line) => line.id)
          Object.assign(own, { phase: 'waiting', balance: copy.onHand[item], ids })
        }),
      ]
    case 'waiting': {
      const isHeld = others.some(
        ({ by, phase }) => ['locked', 'granted', 'claimed'].includes(phase) && state.callers[by]?.item === item,
      )
      if (isHeld) return []
      const locks = step('locks the item', (copy, own) => {
        own.phase = 'locked'
        if (balanceOf === 'locked row') own.balance = copy.onHand[item] ?? 0
      })
      return [locks]
    }
    case 'locked':
      if (statement.balance + quantity < 0) return [step('finds too little', (copy) => end(copy, 'short'))]
      return [step('finds enough', (_, own) => Object.assign(own, { phase: 'granted' }))]
    case 'granted': {
      const isClaimedNow = others.some(({ by, phase }) => phase === 'claimed' && state.callers[by]?.id === id)
      if (claimBy === 'unique index' && isClaimedNow) return []
      const isRecorded = claimBy === 'snapshot' ? statement.ids.includes(id) : state.ledger.some((l) => l.id === id)
      if (isRecorded) return [step('finds its id taken', (copy) => end(copy, 'taken'))]
      const claims = step('claims its id', (copy, own) => {
        own.phase = 'claimed'
        if (!isOneTransaction) record(copy)
      })
      return [claims]
    }
    case 'claimed':
      return [
        step('commits', (copy) => {
          if (isOneTransaction) record(copy)
          write(copy)
          end(copy, 'written')
        }),
      ]
  }
}

/** A connection breaks, and the call is sent again; its statement goes on at the server, or is ended by it. */
function faultsOf(state: State, n: number): Step<State>[] {
  const { by, isLost } = state.statements[n] as Statement
  const resent = (copy: State) => Object.assign(copy.callers[by] ?? {}, { at: 'ready', isAmbiguous: true })
  const ended = changed(state, (copy) => {
    copy.statements.splice(n, 1)
    if (!isLost) copy.faults--
    if (!isLost) resent(copy)
  })
  const goesOn = changed(state, (copy) => {
    copy.faults--
    Object.assign(copy.statements[n] ?? {}, { isLost: true })
    resent(copy)
  })
  if (isLost) return [{ name: `${by} (late) is ended by the server`, next: ended }]
  if (state.faults === 0) return []
  return [
    { name: `${by} is ended by the server`, next: ended },
    { name: `${by} loses its connection, the statement goes on`, next: goesOn },
  ]
}

function violationOf({ onHand, ledger, statements, callers }: State, isEnd: boolean): string | undefined {
  if (onHand.some((quantity) => quantity < 0)) return 'the balance is below the minimum'
  if (new Set(ledger.map(({ id }) => id)).size < ledger.length) return 'an id is recorded twice'
  for (const [item, opening] of OPENING.entries()) {
    const moved = ledger.reduce((sum, line) => sum + (line.item === item ? line.quantity : 0), 0)
    if (statements.length === 0 && onHand[item] !== opening + moved) return 'the balance is not the sum of the ledger'
  }
  for (const [i, { at, id, item, writes, wasRecorded }] of callers.entries()) {
    const isRecorded = ledger.some((line) => line.id === id && line.item === item)
    if (at === 'done' && !isRecorded) return `${i} is told that it is moved, and is not`
    if (['short', 'mismatch'].includes(at) && writes > 0) return `${i} is told that nothing was moved, and it is`
    if (wasRecorded) return `${i} is a replay, and is told that nothing was moved`
    if (isEnd && ['ready', 'sent'].includes(at)) return `${i} never ends`
  }
  return undefined
}
