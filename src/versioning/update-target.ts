import type { CallersTransaction, ModelAction, RootRecords } from '../engine/records.js'
import { rawReadable } from '../sql/raw-record.js'
import { isDirect } from '../sql/row-key.js'
import { selectedFields } from '../values/selection.js'
import { checkedData, type Data } from './arguments.js'
import type { DirectRow } from './direct-rows.js'
import type { Target } from './guarded-write.js'
import type { Versioning } from './versioning.js'

export interface UpdateTarget extends Target {
  readonly shared: Versioning
  readonly session: RootRecords | CallersTransaction
  /** Only where a statement of our own may stand for Prisma's calls. */
  readonly direct: DirectRow | undefined
  /** Data of the caller's, checked: also by other extensions of this package, if it goes past their hooks. */
  readonly dataOf: (given: unknown) => Data
}

/** The calls of Prisma that an update is made of. */
export const UPDATE_CALLS = ['update', 'findUniqueOrThrow'] as const

export function updateTarget(
  shared: Versioning,
  session: RootRecords | CallersTransaction,
  target: Target,
  calls: readonly ModelAction[],
): UpdateTarget {
  const direct = session.canBypassPrisma(...calls) ? directRow(target) : undefined
  const dataOf = (given: unknown) => {
    const data = checkedData(given, target.versioned)
    if (direct) session.checkWrite('update', data, 'data')
    return data
  }
  return Object.assign(target, { shared, session, direct, dataOf })
}

function directRow({ key, selection, versioned }: Target): DirectRow | undefined {
  if (!isDirect(key)) return undefined
  const scalars = rawReadable(versioned.model)
  const selected = selectedFields(selection, versioned.model)
  return scalars && selected && { versioned, key, scalars, selected }
}
