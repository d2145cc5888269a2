import { scalarsOf } from '../engine/data-model.js'
import { isConnectionLost } from '../engine/error-facts.js'
import {
  Absent,
  type Action,
  type CallersTransaction,
  type ModelFacts,
  type RecordSession,
  type RootRecords,
} from '../engine/records.js'
import type { Row } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError, WriteSuppressedError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { addMessage } from '../outbox/add.js'
import { AmbiguousOutcome } from '../retry/ambiguous-outcome.js'
import { type Patience, patienceOf } from '../retry/call-options.js'
import { readConfirmed } from '../retry/confirm.js'
import { limitReached, retry } from '../retry/loop.js'
import { isRetryableStatement } from '../retry/retryable.js'
import { checkTexts } from '../sql/key-text.js'
import { type RowKey, rowKeyOf } from '../sql/row-key.js'
import { patient } from '../transactions/bounds.js'
import { inOwnTransaction } from '../transactions/own-transaction.js'
import { serialized } from '../transactions/records-in-turn.js'
import { type Selection, selectionOf, type Widened, widened } from '../values/selection.js'
import { checkNames, isRecord } from '../values/validation.js'
import type { TransitionSetup } from './extension.js'
import { type MoveMessage, readMessage } from './message.js'
import type { Moves } from './options.js'

const ARGUMENTS = ['where', 'to', 'data', 'history', 'outbox', 'select', 'include', 'omit', 'retry', 'signal']

/** The calls of Prisma that a move is made of. */
const CALLS = ['update', 'findUniqueOrThrow'] as const

/** How often a row is written whose state is one that it may come from: it may have come back to it meanwhile. */
const MOST_SENDS = 3

type Outcome =
  | { readonly status: 'moved' | 'already'; readonly record: Row }
  | { readonly status: 'illegal'; readonly current: unknown }
  | { readonly status: 'missing' }

/** A call, read. */
interface Move extends Patience {
  readonly moves: Moves
  readonly keyCheck: TransitionSetup['keyCheck']
  readonly where: Row
  readonly key: RowKey
  readonly to: string
  readonly from: readonly string[]
  /** With the state in it. */
  readonly data: Row
  readonly history: Row
  /** The message that is added if this call moves the record. */
  readonly message: MoveMessage | undefined
  readonly selection: Selection
  /** The same with the state. */
  readonly wide: Widened
}

/**
 * Moves the record: UPDATE … WHERE key AND state IN (those that it may come from). The row is locked by the first of
 * several such statements, and the others compare the state that it has committed. Where none was updated, a read
 * that comes after it tells why.
 */
export async function transition(
  setup: TransitionSetup,
  session: RootRecords | CallersTransaction,
  { given, events }: { readonly given: unknown; readonly events: CallEvents | undefined },
): Promise<Outcome> {
  const move = readMove(setup, session, given)
  const { deadline, policy, moves } = move
  events?.begin(deadline, move.where)
  const lost = new AmbiguousOutcome()
  const calls = moves.history ? ([...CALLS, 'create'] as const) : CALLS
  const isOneStatement = !moves.history && !move.message
  try {
    const outcome = await serialized(session, deadline, calls, (turn) =>
      retry(
        () =>
          patient(turn, deadline, calls, () =>
            isOneStatement ? moveOnce(turn, move, lost) : moveWithMore(turn, move, { lost, calls }),
          ),
        policy,
        deadline,
        (error) => !session.inTransaction && isRetryableStatement(error, policy),
      ),
    )
    if (!lost.isAmbiguous || 'record' in outcome) return outcome
    const state = outcome.status === 'missing' ? 'is gone' : `is in the state ${String(outcome.current)}`
    throw lost.error(`the connection was lost before the answer came, and now the record ${state}`)
  } catch (error) {
    throw session.inTransaction ? error : lost.lastError(limitReached(error, deadline, 'the row'))
  }
}

/** One statement, unless the record was not in a state that it may come from. */
async function moveOnce(session: RecordSession, move: Move, lost: AmbiguousOutcome): Promise<Outcome> {
  const { keyCheck, key, deadline, moves, where, from, data, selection } = move
  const look = keyCheck.find(session, key, deadline)
  if (look) await look
  for (let sends = 1; ; sends++) {
    const answer = await session
      .update({ where: { ...where, [moves.field.name]: { in: from } }, data, ...selection })
      .catch((error: unknown) => {
        if (isConnectionLost(error) && !session.inTransaction) lost.lose(error)
        throw error
      })
    if (!(answer instanceof Absent)) {
      // In a transaction nothing is known before its COMMIT.
      if (!session.inTransaction) lost.settle()
      return { status: 'moved', record: answer }
    }
    const reason = await reasonOf(session, move)
    if (reason.status !== 'free') return reason
    if (sends === MOST_SENDS) throw new WriteSuppressedError(moves.model.name, where, { cause: answer.error })
  }
}

/** The same with a row of the history or a message, in one transaction, or in a savepoint of the caller's. */
async function moveWithMore(
  session: RecordSession | RootRecords,
  move: Move,
  { lost, calls }: { readonly lost: AmbiguousOutcome; readonly calls: readonly Action[] },
): Promise<Outcome> {
  const { deadline } = move
  if (!('transaction' in session)) return session.contained((inside) => moveAndTell(inside, move, lost))
  let isDone = false
  try {
    const options = { deadline, calls, isolationLevel: 'ReadCommitted' } as const
    const outcome = await inOwnTransaction(session, options, async (tx) => {
      const outcome = await moveAndTell(tx, move, lost)
      isDone = outcome.status === 'moved'
      return outcome
    })
    if (isDone) lost.settle()
    return outcome
  } catch (error) {
    // Everything was answered but the COMMIT.
    if (isDone && isConnectionLost(error)) lost.lose(error)
    throw error
  }
}

/**
 * The message is committed with the move, or not at all. It comes after the UPDATE, so only the one that has moved the
 * record adds it, and the row of its key is locked for the rest of the transaction alone.
 */
async function moveAndTell(tx: RecordSession, move: Move, lost: AmbiguousOutcome): Promise<Outcome> {
  const outcome = await (move.moves.history ? moveAndNote(tx, move) : moveOnce(tx, move, lost))
  if (move.message && outcome.status === 'moved') await addMessage(tx, move.message.map, move.message.added)
  return outcome
}

/** The state is read first, and the UPDATE looks for that one alone: so the history has the one that was left. */
async function moveAndNote(tx: RecordSession, move: Move): Promise<Outcome> {
  const { keyCheck, key, deadline, moves, where, to, data, history, wide } = move
  await keyCheck.find(tx, key, deadline)
  for (let sends = 1; ; sends++) {
    const reason = await reasonOf(tx, move)
    if (reason.status !== 'free') return reason
    const { current } = reason
    const answer = await tx.update({ where: { ...where, [moves.field.name]: current }, data, ...wide.selection })
    if (!(answer instanceof Absent)) {
      await note(tx, moves, { record: answer, from: current, to, history })
      return { status: 'moved', record: wide.strip(answer) }
    }
    if (sends === MOST_SENDS) throw new WriteSuppressedError(moves.model.name, where, { cause: answer.error })
  }
}

interface Noted {
  readonly record: Row
  readonly from: unknown
  readonly to: string
  readonly history: Row
}

async function note(tx: RecordSession, { history }: Moves, { record, from, to, history: given }: Noted): Promise<void> {
  if (!history) return
  const { fields, references } = history.foreignKey
  const refers = Object.fromEntries(references.map((name, i) => [fields[i], record[name]]))
  await tx.createOther(history.model.name, {
    data: { ...given, ...refers, [history.from.name]: from, [history.to.name]: to },
  })
}

/** The state of the record as it is now, and `free`, if it can be moved from it. */
async function reasonOf(
  session: RecordSession,
  { moves: { field }, where, to, from, wide, deadline }: Move,
): Promise<Outcome | { readonly status: 'free'; readonly current: string }> {
  const record = await readConfirmed(session, {
    deadline,
    read: () => session.read({ where, ...wide.selection }),
    isFound: (record) => !(record instanceof Absent) && record[field.name] === to,
  })
  if (record instanceof Absent) return { status: 'missing' }
  const current = record[field.name]
  if (current === to) return { status: 'already', record: wide.strip(record) }
  const isFree = typeof current === 'string' && from.includes(current)
  return isFree ? { status: 'free', current } : { status: 'illegal', current }
}

function readMove(
  { moves: all, versions, keyCheck, policy }: TransitionSetup,
  { model, features }: Pick<ModelFacts, 'model' | 'features'>,
  args: unknown,
): Move {
  const moves = all.get(model)
  if (!moves) {
    const message = `${model} has none: name its field and its moves, to call transition() on it`
    throw new ConfigurationError([{ path: 'transitions', message }])
  }
  if (!isRecord(args)) throw new InvalidArgumentError('arguments', 'must be an object.')
  checkNames(args, ARGUMENTS)
  const { where, to, data = {}, history = {}, outbox, retry, signal } = args
  const version = versions.fieldOf(model) || undefined
  const own = [moves.field.name, ...(version === undefined ? [] : [version])]
  if (!isRecord(where)) throw new InvalidArgumentError('where', `of ${model} must be an object that names one record.`)
  checkTexts(where, 'where')
  refuse(where, 'where', own, 'has no place here: it is looked at by the call itself.')
  const from = typeof to === 'string' ? moves.into.get(to) : undefined
  if (typeof to !== 'string' || !from) {
    throw new InvalidArgumentError('to', `must be a state that a move leads to: ${[...moves.into.keys()].join(', ')}.`)
  }
  if (!isRecord(history) || (args.history !== undefined && !moves.history))
    throw new InvalidArgumentError('history', 'must be an object, of a model whose moves have a history.')
  const selection = selectionOf({ select: args.select, include: args.include, omit: args.omit })
  const needed = [moves.field.name, ...(moves.history?.foreignKey.references ?? [])]
  return {
    moves,
    keyCheck,
    where,
    key: rowKeyOf(where, moves.model),
    to,
    from,
    data: { ...readData(moves, data, own), [moves.field.name]: to, ...(version && { [version]: { increment: 1 } }) },
    history,
    message: outbox === undefined ? undefined : readMessage(features, outbox),
    selection,
    wide: widened(selection, needed, moves.model),
    ...patienceOf(policy, { retry, signal }),
  }
}

/** Relations would make several statements of it, of which the first is not the one with the guard. */
function readData({ model }: Moves, data: unknown, own: readonly string[]): Row {
  if (!isRecord(data)) throw new InvalidArgumentError('data', `of ${model.name} must be an object.`)
  refuse(data, 'data', own, 'cannot be set: the call itself writes it.')
  const columns = new Set(scalarsOf(model).map(({ name }) => name))
  const others = Object.keys(data).filter((name) => !columns.has(name) || model.emulatedKeys.has(name))
  refuse(data, 'data', others, `is no column of ${model.name} that can be written with its state.`)
  return data
}

function refuse(given: Row, path: string, names: readonly string[], reason: string): void {
  const name = names.find((name) => given[name] !== undefined)
  if (name !== undefined) throw new InvalidArgumentError(`${path}.${name}`, reason)
}
