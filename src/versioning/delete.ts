import {
  Absent,
  type CallersTransaction,
  type RecordSession,
  type RootRecords,
  type TransactionRecords,
} from '../engine/records.js'
import type { Row } from '../engine/session.js'
import type { CallEvents } from '../events/call-events.js'
import { selectsRelations } from '../values/selection.js'
import { checkArgs, DELETE_ARGUMENTS, readGuardedWhere } from './arguments.js'
import { GuardedWrite, type Target, type Write } from './guarded-write.js'
import { lockRow } from './lock-row.js'
import type { Versioning } from './versioning.js'

/** The calls of Prisma that a delete is made of. */
const CALLS = ['delete', 'findUniqueOrThrow'] as const

/** Deletes the row if it still has the version that the caller has read. */
export async function deleteVersioned(
  shared: Versioning,
  session: RootRecords | CallersTransaction,
  given: unknown,
  events: CallEvents | undefined,
): Promise<Row> {
  const args = checkArgs(given, DELETE_ARGUMENTS)
  const versioned = shared.modelOf(session)
  const { row, expected } = readGuardedWhere(args.where, versioned)
  const target = shared.target(args, row, versioned)
  events?.begin(target.deadline, row)
  const guarded = new GuardedWrite(target)
  // After a lost answer it is the same again, under the same version: it cannot delete twice.
  const outcome = await guarded.attempts(session, CALLS, (turn, attempt) =>
    deleteOnce(turn, guarded, { target, expected, attempt }),
  )
  if ('record' in outcome) return outcome.record
  throw outcome.error
}

interface Attempt {
  readonly target: Target
  readonly expected: Write['expected']
  readonly attempt: number
}

async function deleteOnce(
  session: RootRecords | TransactionRecords,
  guarded: GuardedWrite,
  { target, expected, attempt }: Attempt,
): Promise<Row> {
  if (!selectsRelations(target.selection, target.versioned.model)) {
    return guarded.run(session, { expected, send: sendDelete(target) }, attempt)
  }
  const write = { expected, send: readAndDelete(target) }
  const inOrder = async (inside: RecordSession): Promise<Row> => {
    await lockRow(inside, target, 'UPDATE')
    return guarded.run(inside, write, attempt)
  }
  // Another extension may send the delete on a client of its own, where it would wait for our lock.
  if (session.foreign('delete') !== undefined) return guarded.run(session, write, attempt)
  if (session.inTransaction) return inOrder(session)
  return guarded.inTransaction(session, ['delete'], attempt, inOrder)
}

/** DELETE … WHERE key AND version RETURNING: one statement, as long as no relation is selected. */
function sendDelete({ versioned, row, selection }: Target): Write['send'] {
  const { name } = versioned.version
  return (session, expected) => session.remove({ where: { ...row, [name]: expected }, ...selection })
}

/**
 * With relations, Prisma's own delete reads the record first and then deletes it without looking
 * whether a row was deleted. So the two are sent one by one, and the DELETE tells; the lock keeps
 * other writers from getting in between.
 */
function readAndDelete(target: Target): Write['send'] {
  const { versioned, row, selection } = target
  const { name } = versioned.version
  const remove = sendDelete({ ...target, selection: { select: { [name]: true } } })
  return async (session, expected) => {
    const record = await session.read({ where: { ...row, [name]: expected }, ...selection })
    if (record instanceof Absent) return record
    const deleted = await remove(session, expected)
    return deleted instanceof Absent ? deleted : record
  }
}
