import type { Model } from '../engine/data-model.js'
import type { Absent, RecordSession, RootRecords } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import { inOwnTransaction } from '../transactions/own-transaction.js'
import type { Data } from './arguments.js'
import { directData, stamped } from './direct-data.js'
import type { Target, Write } from './guarded-write.js'
import { lockRow } from './lock-row.js'
import type { UpdateTarget } from './update-target.js'

/**
 * The check and the write are one statement: UPDATE … WHERE key AND version RETURNING. Since the
 * version is always among the data, Prisma sends the UPDATE also when there is nothing but nested
 * writes, and before any of the rows that refer to this one. Writes of other rows that are ready
 * in the same tick go into the same statement, if they can.
 */
export function sendUpdate(target: UpdateTarget, data: Data): Write['send'] {
  const { versioned, row, selection, direct, shared } = target
  const { name } = versioned.version
  const call: Write['send'] = (session, expected) =>
    session.update({
      where: { ...row, [name]: expected },
      data: { ...data, [name]: { increment: 1 } },
      ...selection,
    })
  if (changesEmulatedKey(data, versioned.model)) {
    return (session, expected) =>
      atomically(session, target, async (inside) => {
        await lockRow(inside, target, 'NO KEY UPDATE')
        return call(inside, expected)
      })
  }
  const columns = direct && directData(data, versioned.model)
  if (!columns) return call
  return async (session, expected) => {
    const written = stamped(columns, versioned)
    if (!written) return call(session, expected)
    const { key, scalars, selected } = direct
    const update = { versioned, key, scalars, selected, expected, data: written }
    const record = await shared.rows.update(session, update, target.deadline)
    return record ?? session.absent('update')
  }
}

/**
 * Whether Prisma would change rows of other tables before the row itself. Under `relationMode = "prisma"`
 * a change of a key that other rows refer to is several statements, in no transaction: Prisma looks for
 * the row, changes the rows that refer to it, and then the row itself. A guard that fails there comes too
 * late, so the row is locked before, and all of it is one transaction.
 */
function changesEmulatedKey(data: Data, { emulatedKeys, fields }: Model): boolean {
  if (emulatedKeys.size === 0) return false
  // A nested write may change such a key of another row.
  return Object.keys(data).some((name) => emulatedKeys.has(name) || fields.get(name)?.kind === 'relation')
}

function atomically(
  session: RecordSession | RootRecords,
  { deadline }: Target,
  work: (inside: RecordSession) => Promise<Row | Absent>,
): Promise<Row | Absent> {
  if (!('transaction' in session)) return session.contained(work)
  return inOwnTransaction(session, { deadline, calls: ['update'], isolationLevel: 'ReadCommitted' }, work)
}
