import type { CallersTransaction, ModelAction, RootRecords } from '../engine/records.js'
import { rawReadable } from '../sql/raw-record.js'
import { isDirect } from '../sql/row-key.js'
import { selectedFields, selectionOf } from '../values/selection.js'
import { checkArgs, checkedData, type Data, readGuardedWhere, readWhere, UPDATE_ARGUMENTS } from './arguments.js'
import type { DirectRow } from './direct-rows.js'
import { FunctionUpdate, isChange } from './function-update.js'
import { GuardedWrite, type Outcome, type Target } from './guarded-write.js'
import { sendUpdate } from './send-update.js'
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

/** @param wantsCurrent whether the record as it is now is part of the outcome of a stale write */
export async function update(
  shared: Versioning,
  session: RootRecords | CallersTransaction,
  given: unknown,
  wantsCurrent: boolean,
): Promise<Outcome> {
  const args = checkArgs(given, UPDATE_ARGUMENTS)
  const versioned = shared.modelOf(session)
  const currentSelection = wantsCurrent ? selectionOf(args) : undefined
  if (isChange(args.data)) {
    const { row, expected } = readWhere(args.where, versioned)
    const target = shared.target(args, row, versioned, currentSelection)
    return new FunctionUpdate(updateTarget(shared, session, target, UPDATE_CALLS), expected, args.data).run()
  }
  const { row, expected } = readGuardedWhere(args.where, versioned)
  const target = updateTarget(shared, session, shared.target(args, row, versioned, currentSelection), ['update'])
  // One write under the version that the caller holds. Only what cannot have been applied is sent again.
  const write = { expected, send: sendUpdate(target, target.dataOf(args.data)) }
  const guarded = new GuardedWrite(target)
  return guarded.attempts(target.session, UPDATE_CALLS, (turn, attempt) => guarded.run(turn, write, attempt))
}

function updateTarget(
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
