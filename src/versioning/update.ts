import type { CallersTransaction, RootRecords } from '../engine/records.js'
import type { CallEvents } from '../events/call-events.js'
import { selectionOf } from '../values/selection.js'
import { checkArgs, readGuardedWhere, readWhere, UPDATE_ARGUMENTS } from './arguments.js'
import { FunctionTask } from './function-task.js'
import { FunctionUpdate, isChange } from './function-update.js'
import { GuardedWrite, type Outcome } from './guarded-write.js'
import { sendUpdate } from './send-update.js'
import { UPDATE_CALLS, updateTarget } from './update-target.js'
import type { Versioning } from './versioning.js'

export interface UpdateCall {
  readonly given: unknown
  /** Whether the record as it is now is part of the outcome of a stale write. */
  readonly wantsCurrent: boolean
  readonly events: CallEvents | undefined
}

export async function update(
  shared: Versioning,
  session: RootRecords | CallersTransaction,
  { given, wantsCurrent, events }: UpdateCall,
): Promise<Outcome> {
  const args = checkArgs(given, UPDATE_ARGUMENTS)
  const versioned = shared.modelOf(session)
  const currentSelection = wantsCurrent ? selectionOf(args) : undefined
  if (isChange(args.data)) {
    const { row, expected } = readWhere(args.where, versioned)
    const target = updateTarget(shared, session, shared.target(args, row, versioned, currentSelection), UPDATE_CALLS)
    events?.begin(target.deadline, row)
    const change = new FunctionUpdate(target, args.data, expected)
    if (session.inTransaction) return change.attemptsOn(session)
    const task = new FunctionTask(change, session)
    const outcome = shared.functions.add(task, (outcome) => outcome)
    task.keepContext()
    return outcome
  }
  const { row, expected } = readGuardedWhere(args.where, versioned)
  const target = updateTarget(shared, session, shared.target(args, row, versioned, currentSelection), ['update'])
  events?.begin(target.deadline, row)
  // One write under the version that the caller holds. Only what cannot have been applied is sent again.
  const write = { expected, send: sendUpdate(target, target.dataOf(args.data)) }
  const guarded = new GuardedWrite(target)
  return guarded.attempts(session, UPDATE_CALLS, (turn, attempt) => guarded.run(turn, write, attempt))
}
