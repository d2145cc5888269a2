import type { Row } from '../prisma/client.js'
import type { Model } from '../prisma/data-model.js'
import { isConnectionLost, isRecordNotFound, isTransactionConflict, isUnreachable } from '../prisma/errors.js'
import type { CallersTransaction, RootScope, Scope } from '../prisma/scope.js'
import { type Selection, selectsRelations, widened } from '../prisma/selection.js'
import type { Patience } from '../retry/call-options.js'
import { retrying } from '../retry/loop.js'
import { wholeMilliseconds } from '../transaction/limits.js'
import { type Comparison, compare, comparedFields } from './compare.js'
import { type Payload, rowOf } from './payload.js'

export interface InsertCall extends Patience {
  readonly model: Model
  readonly payload: Payload
  readonly comparison: Comparison
  readonly selection: Selection
  /** What to add to the data of nested writes, so that they don't bump the new row's version. */
  readonly keepVersion: Readonly<Record<string, unknown>>
}

export interface InsertResult {
  readonly record: Row
  readonly replayed: boolean
}

/**
 * Inserts the row, or finds the one that was inserted under its key before. Any failure that may
 * go away is tried again without harm: the key takes care that there is one row.
 */
export async function insertOnce(scope: RootScope | CallersTransaction, call: InsertCall): Promise<InsertResult> {
  if (scope.inTransaction) return attempt(scope, call)
  let isLost = false
  const isRetryable = (error: unknown) => {
    isLost ||= isConnectionLost(error)
    return (
      isTransactionConflict(error) ||
      isConnectionLost(error) ||
      (isLost && isUnreachable(error)) ||
      call.policy.retryOn(error)
    )
  }
  return retrying(() => attemptOnRoot(scope, call), call.policy, call.deadline, isRetryable)
}

/** A row with children is one transaction: the row first, as the claim, and then the children. */
function attemptOnRoot(root: RootScope, call: InsertCall): Promise<InsertResult> {
  if (!hasChildren(call)) return attempt(root, call)
  const limit = wholeMilliseconds(call.deadline)
  return root.transaction((tx) => attempt(tx, call), { maxWait: limit, timeout: limit })
}

async function attempt(scope: Scope, call: InsertCall): Promise<InsertResult> {
  const row = await insertedRow(scope, call)
  // Nothing inserted and nothing found: the row was deleted in between. Or another unique
  // constraint is in the way, which only a plain insert tells.
  for (let again = 0; again < 3; again++) {
    const inserted = await insert(scope, call, row)
    if (inserted) return { record: inserted, replayed: false }
    const existing = await findExisting(scope, call)
    if (existing) return { record: existing, replayed: true }
  }
  await scope.call('create', { data: row, select: keySelection(call) })
  return { record: await complete(scope, call), replayed: false }
}

/** The row as it is inserted: with the fingerprint of the payload, where the model keeps one. */
export async function insertedRow(scope: Scope, { payload, comparison }: InsertCall): Promise<Row> {
  const row = await rowOf(payload, scope)
  const { fingerprint } = comparison
  return fingerprint ? { ...row, [fingerprint.field]: fingerprint.value } : row
}

/** INSERT … ON CONFLICT DO NOTHING RETURNING: it waits for a duplicate in flight, and raises no error. */
async function insert(scope: Scope, call: InsertCall, row: Row): Promise<Row | undefined> {
  const isSimple = !hasChildren(call) && !selectsRelations(call.selection, call.model)
  const selection = isSimple ? call.selection : { select: keySelection(call) }
  const rows = (await scope.call('createManyAndReturn', {
    data: [row],
    skipDuplicates: true,
    ...selection,
  })) as unknown as Row[]
  const [record] = rows
  return record === undefined || isSimple ? record : complete(scope, call)
}

/** What comes after the claim: the children, and the record with its relations. */
async function complete(scope: Scope, call: InsertCall): Promise<Row> {
  const { payload, selection, keepVersion } = call
  if (!hasChildren(call)) return scope.read({ where: payload.where, ...selection })
  return scope.call('update', {
    where: payload.where,
    data: { ...payload.children, ...keepVersion },
    ...selection,
  })
}

function hasChildren({ payload }: InsertCall): boolean {
  return Object.keys(payload.children).length > 0
}

function keySelection({ payload }: InsertCall): Readonly<Record<string, true>> {
  return Object.fromEntries(Object.keys(payload.key).map((name) => [name, true]))
}

/** The record of an earlier call, on the primary, if its payload was the same. */
export async function findExisting(scope: Scope, call: InsertCall): Promise<Row | undefined> {
  const wide = widened(call.selection, comparedFields(call.comparison), call.model)
  let record: Row
  try {
    record = await scope.read({ where: call.payload.where, ...wide.selection })
  } catch (error) {
    if (isRecordNotFound(error)) return undefined
    throw error
  }
  compare(record, call.payload, call.comparison, call.model)
  return wide.strip(record)
}
