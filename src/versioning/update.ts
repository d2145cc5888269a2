import type { VersionValue } from '../errors/index.js'
import type { CallersTransaction, RootScope } from '../prisma/session.js'
import { retry } from '../retry/loop.js'
import { patient } from '../transactions/bounds.js'
import { serialized, type TransactionInTurn } from '../transactions/records-in-turn.js'
import { canonical } from '../values/canonical.js'
import { FunctionUpdate } from './function-update.js'
import { GuardedWrite } from './guarded-write.js'
import { type Change, Passenger } from './passenger.js'
import { type Data, type Outcome, outcomeOf, sendUpdate, type UpdateTarget } from './send-update.js'

export type { Change, Outcome }

/** The calls of Prisma that an update is made of. */
export const UPDATE_CALLS = ['update', 'findUniqueOrThrow'] as const

/** The caller holds a version: one write under it. Only what cannot have been applied is sent again. */
export async function updateOnce(
  scope: RootScope | CallersTransaction,
  target: UpdateTarget,
  expected: VersionValue,
  data: Data,
): Promise<Outcome> {
  const write = new GuardedWrite(target)
  const send = sendUpdate(target, data)
  return outcomeOf(write, async () => {
    const run = (turn: RootScope | TransactionInTurn) =>
      retry(
        (attempt) => patient(turn, target.deadline, UPDATE_CALLS, () => write.run(turn, expected, send, attempt)),
        target.policy,
        target.deadline,
        (error) => write.isRetryable(turn, error),
      )
    const record = await serialized(scope, target.deadline, UPDATE_CALLS, run)
    return { status: 'updated', record }
  })
}

/**
 * Read, change, write; again from the read on a conflict.
 *
 * On the root client, writers of one process take turns by row, so only processes race. The turn
 * is taken before the read: what is read in one's turn no other writer of the process makes stale.
 * Inside a transaction there is no turn to take: a place in the queue, held while the database
 * waits for a row of that transaction, would be a deadlock that PostgreSQL cannot see.
 */
export async function updateByFunction(
  scope: RootScope | CallersTransaction,
  target: UpdateTarget,
  given: VersionValue | undefined,
  change: Change,
): Promise<Outcome> {
  const update = new FunctionUpdate(target, given, change)
  if (scope.inTransaction) return outcomeOf(update.write, () => update.runInTransaction(scope))
  const { versioned, row, deadline, plain, together } = target
  deadline.signal?.throwIfAborted()
  const passenger = plain && given === undefined ? new Passenger(change, plain.selected, target) : undefined
  const place = together.turns.join(`${versioned.model.name} ${canonical(row)}`, passenger)
  try {
    for (;;) {
      const turn = await place.turn(deadline, `other writers of ${versioned.model.name} in this process`)
      if (turn === 'turn') return await outcomeOf(update.write, () => update.runOnRoot(scope, place))
      passenger?.answer()
      const arrival = await passenger?.arrival()
      if (arrival) return arrival
    }
  } finally {
    place.leave()
  }
}
