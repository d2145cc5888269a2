import type { Row } from '../engine/session.js'
import type { VersionValue } from '../errors/index.js'
import { isRecordNotFound } from '../prisma/errors.js'
import { type Selection, widened } from '../prisma/selection.js'
import type { Session } from '../prisma/session.js'
import type { Where } from './arguments.js'
import type { VersionedModel } from './versioned-models.js'

/** Why a guarded write found no row. */
export type Explanation =
  | { readonly status: 'missing' }
  | { readonly status: 'stale'; readonly actual: VersionValue; readonly current: Row }
  /** The row is there, at the expected version: it was not the guard. */
  | { readonly status: 'unchanged' }

/**
 * Looks at the row after the check failed. The write has waited for whoever was in flight, so
 * this read, which comes after it, sees the version that made it fail, or a later one.
 */
export async function findReason(
  scope: Session,
  versioned: VersionedModel,
  row: Where,
  expected: VersionValue,
  selection: Selection,
): Promise<Explanation> {
  const wide = widened(selection, [versioned.version.name], versioned.model)
  let record: Row
  try {
    record = await scope.read({ where: row, ...wide.selection })
  } catch (error) {
    if (isRecordNotFound(error)) return { status: 'missing' }
    throw error
  }
  const actual = record[versioned.version.name] as VersionValue
  return actual === expected ? { status: 'unchanged' } : { status: 'stale', actual, current: wide.strip(record) }
}
