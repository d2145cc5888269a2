import { type VersionValue, WriteSuppressedError } from '../errors/index.js'
import { isRecordNotFound } from '../prisma/errors.js'
import type { RootScope, Session } from '../prisma/session.js'
import type { Deadline } from '../sync/deadline.js'
import { inOwnTransaction } from '../transactions/own-transaction.js'
import type { TransactionInTurn } from '../transactions/records-in-turn.js'
import { canonical } from '../values/canonical.js'
import type { Where } from './arguments.js'
import { findReason } from './find-reason.js'
import type { Mode, Verdict } from './update-many.js'
import type { VersionedModel } from './versioned-models.js'

interface Call {
  readonly versioned: VersionedModel
  readonly mode: Mode
  readonly deadline: Deadline
}

/** A row of the batch, and its data as the caller gave it. */
export interface Single {
  readonly row: Where
  readonly expected: VersionValue
  readonly data: Readonly<Record<string, unknown>>
}

/** Undoes what was written, where a row of a batch of all or nothing was not. */
class NotAll {
  readonly verdicts: readonly Verdict[]

  constructor(verdicts: readonly Verdict[]) {
    this.verdicts = verdicts
  }
}

/**
 * The batch as calls of Prisma's own, so that every extension sees each of them, in one transaction.
 * They go in one order, whatever the order given, so that batches that meet wait for each other
 * instead of deadlocking.
 */
export async function updateOneByOne(
  scope: RootScope | TransactionInTurn,
  call: Call,
  items: readonly Single[],
): Promise<Verdict[]> {
  const body = async (inside: Session): Promise<Verdict[]> => {
    const verdicts = await writeAll(inside, call, items)
    if (call.mode === 'all' && verdicts.some(({ status }) => status !== 'updated')) throw new NotAll(verdicts)
    return verdicts
  }
  const { deadline } = call
  try {
    if (scope.inTransaction) return await scope.contained(body)
    return await inOwnTransaction(scope, { deadline, calls: ['update'], isolationLevel: 'ReadCommitted' }, body)
  } catch (error) {
    if (!(error instanceof NotAll)) throw error
    const hasConflict = error.verdicts.some(({ status }) => status === 'stale' || status === 'missing')
    const suppressed = error.verdicts.findIndex(({ status }) => status === 'suppressed')
    if (hasConflict || suppressed === -1) return [...error.verdicts]
    throw new WriteSuppressedError(call.versioned.model.name, items[suppressed]?.row ?? {})
  }
}

async function writeAll(scope: Session, { versioned, deadline }: Call, items: readonly Single[]): Promise<Verdict[]> {
  const verdicts: Verdict[] = []
  const inOrder = [...items.entries()]
    .map(([index, item]) => ({ index, item, name: nameOf(item) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  for (const { index, item } of inOrder) {
    deadline.check('the database')
    verdicts[index] = await writeOne(scope, versioned, item)
  }
  return verdicts
}

/** Names of numbers are of one length, so that their order is that of the numbers. */
function nameOf({ row }: Single): string {
  return canonical(row).replace(/\d+/g, (digits) => digits.padStart(20, '0'))
}

async function writeOne(scope: Session, versioned: VersionedModel, { row, expected, data }: Single): Promise<Verdict> {
  const { name } = versioned.version
  const select = { [name]: true }
  try {
    const record = await scope.call('update', {
      where: { ...row, [name]: expected },
      data: { ...data, [name]: { increment: 1 } },
      select,
    })
    return { status: 'updated', version: record[name] as VersionValue }
  } catch (error) {
    if (!isRecordNotFound(error)) throw error
    const found = await findReason(scope, versioned, row, expected, { select })
    if (found.status === 'stale') return { status: 'stale', expected, actual: found.actual }
    return { status: found.status === 'missing' ? 'missing' : 'suppressed' }
  }
}
