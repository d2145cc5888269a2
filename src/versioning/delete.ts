import { isConnectionLost } from '../engine/error-facts.js'
import type { Row } from '../engine/session.js'
import type { VersionValue } from '../errors/index.js'
import { type Selection, selectsRelations } from '../prisma/selection.js'
import type { RootScope, Session } from '../prisma/session.js'
import { retry } from '../retry/loop.js'
import { inOwnTransaction } from '../transactions/own-transaction.js'
import type { TransactionInTurn } from '../transactions/records-in-turn.js'
import { GuardedWrite, type Send, type Target } from './guarded-write.js'
import { lockRow } from './lock-row.js'

export interface DeleteTarget extends Target {
  readonly selection: Selection
}

/** The calls of Prisma that a delete is made of. */
export const DELETE_CALLS = ['delete', 'findUniqueOrThrow'] as const

/** Those that wait for the row. */
const CALLS = ['delete'] as const

/** Deletes the row if it still has the expected version. */
export async function deleteOnce(
  scope: RootScope | TransactionInTurn,
  target: DeleteTarget,
  expected: VersionValue,
): Promise<Row> {
  const write = new GuardedWrite(target)
  const needsLock = selectsRelations(target.selection, target.versioned.model)
  // After a lost answer it is the same again, under the same version: it cannot delete twice.
  const attempt = async (attempt: number) => {
    if (!needsLock) return write.run(scope, expected, sendDelete(target), attempt)
    // Another extension may send the delete on a client of its own, where it would wait for our lock.
    if (scope.foreign(...CALLS) !== undefined) return write.run(scope, expected, readAndDelete(target), attempt)
    if (scope.inTransaction) return lockedDelete(scope, write, target, expected, attempt)
    return ownTransaction(scope, write, target, expected, attempt)
  }
  try {
    return await retry(attempt, target.policy, target.deadline, (error) => write.isRetryable(scope, error))
  } catch (error) {
    throw write.lastError(error)
  }
}

/** DELETE … WHERE key AND version RETURNING: one statement, as long as no relation is selected. */
function sendDelete({ versioned, row, selection }: DeleteTarget): Send {
  return (scope, expected) =>
    scope.call('delete', { where: { ...row, [versioned.version.name]: expected }, ...selection })
}

/**
 * With relations, Prisma's own delete reads the record first and then deletes it without looking
 * whether a row was deleted. So the two are sent one by one, and the DELETE tells; the lock keeps
 * other writers from getting in between.
 */
async function lockedDelete(
  scope: Session,
  write: GuardedWrite,
  target: DeleteTarget,
  expected: VersionValue,
  attempt: number,
): Promise<Row> {
  await lockRow(scope, target, 'UPDATE')
  return write.run(scope, expected, readAndDelete(target), attempt)
}

function readAndDelete(target: DeleteTarget): Send {
  const { versioned, row, selection } = target
  const { name } = versioned.version
  return async (scope, expected) => {
    const record = await scope.read({ where: { ...row, [name]: expected }, ...selection })
    await sendDelete({ ...target, selection: { select: { [name]: true } } })(scope, expected)
    return record
  }
}

async function ownTransaction(
  root: RootScope,
  write: GuardedWrite,
  target: DeleteTarget,
  expected: VersionValue,
  attempt: number,
): Promise<Row> {
  const { deadline } = target
  let isSent = false
  try {
    return await inOwnTransaction(root, { deadline, calls: CALLS, isolationLevel: 'ReadCommitted' }, async (tx) => {
      const record = await lockedDelete(tx, write, target, expected, attempt)
      isSent = true
      return record
    })
  } catch (error) {
    // Everything was answered but the COMMIT.
    if (isSent && isConnectionLost(error)) write.noteLost(expected, readAndDelete(target), error)
    throw error
  }
}
