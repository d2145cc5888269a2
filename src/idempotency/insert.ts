import type { Model } from '../engine/data-model.js'
import type { Row } from '../engine/session.js'
import { isRecordNotFound, isUniqueViolation } from '../prisma/errors.js'
import { type Selection, selectsRelations, widened } from '../prisma/selection.js'
import type { CallersTransaction, RootScope, Session } from '../prisma/session.js'
import { AmbiguousOutcome } from '../retry/ambiguous-outcome.js'
import type { Patience } from '../retry/call-options.js'
import { retry } from '../retry/loop.js'
import { isRetryable } from '../retry/retryable.js'
import type { Catalogue } from '../sql/catalogue.js'
import { patient } from '../transactions/bounds.js'
import { inOwnTransaction } from '../transactions/own-transaction.js'
import { inPatientTurn } from '../transactions/records-in-turn.js'
import { type Comparison, compare, comparedFields } from './compare.js'
import { type Payload, rowOf } from './payload.js'
import { StoredValues } from './stored-values.js'

export interface InsertCall extends Patience {
  readonly catalogue: Catalogue
  readonly model: Model
  readonly payload: Payload
  readonly comparison: Comparison
  readonly selection: Selection
  /** Whether another extension takes part in inserts of the model. */
  readonly isObserved: boolean
  /** What to add to the data of nested writes, so that they don't bump the new row's version. */
  readonly keepVersion: Readonly<Record<string, unknown>>
  /** Looks for the key in the database: without it, nothing would ever be a duplicate. */
  readonly requireKey: (scope: Session) => Promise<void>
}

/** The calls of Prisma that an insert is made of. */
export const INSERT_CALLS = ['findUniqueOrThrow', 'create', 'createManyAndReturn', 'update'] as const

export interface InsertResult {
  readonly record: Row
  readonly replayed: boolean
}

/** What a batch has found out before its member goes on alone. */
export interface Hint {
  /** The row is likely to be there. */
  readonly isDuplicate?: boolean
  /** Why the statement of the batch failed. */
  readonly failure?: unknown
}

/**
 * Inserts the row, or finds the one that was inserted under its key before. Any failure that may
 * go away is tried again without harm: the key takes care that there is one row.
 */
export async function insertOnce(
  scope: RootScope | CallersTransaction,
  call: InsertCall,
  hint: Hint = {},
): Promise<InsertResult> {
  if (scope.inTransaction) {
    return inPatientTurn(scope, call.deadline, INSERT_CALLS, (turn) => insertInTransaction(turn, call))
  }
  const outcome = new AmbiguousOutcome()
  outcome.note(hint.failure)
  const attempt = () => patient(scope, call.deadline, INSERT_CALLS, () => attemptOnRoot(scope, call, hint))
  return retry(attempt, call.policy, call.deadline, (error) => {
    outcome.note(error)
    return isRetryable(error, call.policy, outcome)
  })
}

/** Whether the insert is one statement, so that nothing can come between its parts. */
export function isSingleStatement({ payload, selection, model }: InsertCall): boolean {
  return Object.keys(payload.children).length === 0 && !selectsRelations(selection, model)
}

/** A row with children is one transaction: the row first, as the claim, and then the children. */
function attemptOnRoot(root: RootScope, call: InsertCall, { isDuplicate }: Hint): Promise<InsertResult> {
  if (isSingleStatement(call)) return attempt(root, call, isDuplicate)
  if (call.isObserved) return insertAsOne(root, call)
  return inOwnTransaction(root, { deadline: call.deadline, calls: INSERT_CALLS }, (tx) => attempt(tx, call))
}

/**
 * Children go into a savepoint together with their row: one that Prisma itself refuses would
 * otherwise leave a row without them behind, which every duplicate would then be given.
 */
function insertInTransaction(transaction: Session, call: InsertCall): Promise<InsertResult> {
  if (call.isObserved && hasChildren(call)) return insertAsOne(transaction, call)
  return hasChildren(call) ? transaction.contained((savepoint) => attempt(savepoint, call)) : attempt(transaction, call)
}

/**
 * The row and its children as one call of Prisma's. Another extension may send each call in a
 * transaction of its own: a row that is claimed first would then be committed without its children.
 */
async function insertAsOne(scope: Session, call: InsertCall): Promise<InsertResult> {
  const row = await insertedRow(scope, call)
  await call.requireKey(scope)
  for (let again = 0; ; again++) {
    const existing = await findExisting(scope, call)
    if (existing) return { record: existing, replayed: true }
    try {
      const args = { data: { ...row, ...call.payload.children }, ...call.selection }
      const record = await scope.contained((inside) => inside.call('create', args))
      return { record, replayed: false }
    } catch (error) {
      // It may have come meanwhile; else another unique key is in the way.
      if (again >= 2 || !isUniqueViolation(error)) throw error
    }
  }
}

async function attempt(scope: Session, call: InsertCall, isDuplicate = false): Promise<InsertResult> {
  if (isDuplicate) {
    const existing = await findExisting(scope, call)
    if (existing) return { record: existing, replayed: true }
  }
  const row = await insertedRow(scope, call)
  await call.requireKey(scope)
  // Nothing inserted and nothing found: the row was deleted in between. Or another unique
  // constraint is in the way, which only a plain insert tells.
  for (let again = 0; again < 3; again++) {
    const inserted = await insert(scope, call, row)
    if (inserted) return { record: inserted, replayed: false }
    const existing = await findExisting(scope, call)
    if (existing) return { record: existing, replayed: true }
  }
  return insertPlainly(scope, call, row)
}

/** Another unique constraint is Prisma's own P2002. If the row has come after all, it is a duplicate like any other. */
async function insertPlainly(scope: Session, call: InsertCall, row: Row): Promise<InsertResult> {
  try {
    await scope.contained((savepoint) => savepoint.call('create', { data: row, select: keySelection(call) }))
  } catch (error) {
    const existing = isUniqueViolation(error) ? await findExisting(scope, call) : undefined
    if (existing) return { record: existing, replayed: true }
    throw error
  }
  return { record: await complete(scope, call), replayed: false }
}

/** The row as it is inserted: with the fingerprint of the payload, where the model keeps one. */
export async function insertedRow(scope: Session, { model, payload, comparison }: InsertCall): Promise<Row> {
  const row = await rowOf(payload, model, scope)
  const { fingerprint } = comparison
  return fingerprint ? { ...row, [fingerprint.field]: await fingerprint.compute() } : row
}

/** INSERT … ON CONFLICT DO NOTHING RETURNING: it waits for a duplicate in flight, and raises no error. */
async function insert(scope: Session, call: InsertCall, row: Row): Promise<Row | undefined> {
  const isSimple = isSingleStatement(call)
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
async function complete(scope: Session, call: InsertCall): Promise<Row> {
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
async function findExisting(scope: Session, call: InsertCall): Promise<Row | undefined> {
  const wide = widened(call.selection, comparedFields(call.comparison), call.model)
  let record: Row
  try {
    record = await scope.read({ where: call.payload.where, ...wide.selection })
  } catch (error) {
    if (isRecordNotFound(error)) return undefined
    throw error
  }
  const { payload, comparison, model, catalogue } = call
  await compare(record, payload, comparison, model, new StoredValues(scope, model, catalogue))
  return wide.strip(record)
}
