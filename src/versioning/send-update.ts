import type { Row } from '../engine/session.js'
import type { VersionValue } from '../errors/index.js'
import type { Selection } from '../prisma/selection.js'
import { directData, stamped } from './direct-data.js'
import { changesEmulatedKey, withRowLocked } from './emulated-keys.js'
import type { GuardedWrite, Send, Target } from './guarded-write.js'
import type { DirectRow, Together } from './together.js'

export type Data = Readonly<Record<string, unknown>>

export interface UpdateTarget extends Target {
  readonly selection: Selection
  /** The row, where a statement of our own may stand for Prisma's `update`. */
  readonly plain: DirectRow | undefined
  /**
   * What the caller gave as data, checked: also by the other extensions of this package, where a statement
   * of our own may go past their hooks.
   */
  readonly dataOf: (given: unknown) => Data
  /** The other writers of this client. */
  readonly together: Together
}

/** What became of a versioned update. */
export type Outcome =
  | { readonly status: 'updated' | 'unchanged'; readonly record: Row }
  | {
      readonly status: 'stale'
      readonly error: unknown
      readonly expected: VersionValue
      readonly actual: VersionValue
      readonly current: Row
    }
  | { readonly status: 'missing'; readonly error: unknown }

/**
 * The check and the write are one statement: UPDATE … WHERE key AND version RETURNING. Since the
 * version is always among the data, Prisma sends the UPDATE also when there is nothing but nested
 * writes, and before any of the rows that refer to this one. Writes of other rows that are ready
 * in the same tick go into the same statement, if they can.
 */
export function sendUpdate(target: UpdateTarget, data: Data): Send {
  const { versioned, row, selection, plain, together } = target
  const { name } = versioned.version
  const call: Send = (scope, expected) =>
    scope.call('update', {
      where: { ...row, [name]: expected },
      data: { ...data, [name]: { increment: 1 } },
      ...selection,
    })
  if (changesEmulatedKey(data, versioned.model)) return withRowLocked(target, call)
  const columns = plain && directData(data, versioned.model)
  return async (scope, expected) => {
    const values = !scope.inTransaction && columns && stamped(columns, versioned.model)
    if (plain && values) {
      const record = await together.batches.write(scope, { ...plain, versioned, expected, data: values })
      if (record) return record
    }
    return call(scope, expected)
  }
}

export async function outcomeOf(write: GuardedWrite, run: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await run()
  } catch (thrown) {
    const error = write.lastError(thrown)
    if (error === write.conflict && write.conflict && write.current) {
      const { expected, actual } = write.conflict
      return { status: 'stale', error, expected, actual, current: write.current }
    }
    if (error === write.missing && error !== undefined) return { status: 'missing', error }
    throw error
  }
}
