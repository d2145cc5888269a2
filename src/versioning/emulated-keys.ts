import type { Model } from '../engine/data-model.js'
import type { Row } from '../engine/session.js'
import type { RootScope, Session } from '../prisma/session.js'
import { inOwnTransaction } from '../transactions/own-transaction.js'
import type { Send, Target } from './guarded-write.js'
import { lockRow } from './lock-row.js'

/*
 * Under `relationMode = "prisma"` a change of a key that other rows refer to is several statements of
 * Prisma's, in no transaction: it looks for the row, changes the rows that refer to it, and then the
 * row itself, guarded by the version. A guard that fails there comes too late.
 */

/** Whether Prisma would change rows of other tables before the row itself. */
export function changesEmulatedKey(data: Readonly<Record<string, unknown>>, { emulatedKeys, fields }: Model): boolean {
  if (emulatedKeys.size === 0) return false
  // A nested write may change such a key of another row.
  return Object.keys(data).some((name) => emulatedKeys.has(name) || fields.get(name)?.kind === 'relation')
}

/** The same write, all or nothing, with the row locked before its version is looked at. */
export function withRowLocked(target: Target, send: Send): Send {
  return (scope, expected) =>
    atomically(scope, target, async (inside) => {
      await lockRow(inside, target, 'NO KEY UPDATE')
      return send(inside, expected)
    })
}

function atomically(scope: Session | RootScope, { deadline }: Target, work: (inside: Session) => Promise<Row>) {
  if (!('transaction' in scope)) return scope.contained(work)
  return inOwnTransaction(scope, { deadline, calls: ['update'], isolationLevel: 'ReadCommitted' }, work)
}
