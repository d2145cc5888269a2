import type { Model } from '../engine/data-model.js'
import {
  Absent,
  type CallersTransaction,
  type RecordSession,
  type RootRecords,
  recordIn,
  Taken,
} from '../engine/records.js'
import type { Row } from '../engine/session.js'
import { AmbiguousOutcome, isNoAnswer } from '../retry/ambiguous-outcome.js'
import type { Patience } from '../retry/call-options.js'
import { readConfirmed } from '../retry/confirm.js'
import { limitReached, retry } from '../retry/loop.js'
import { readAgain } from '../retry/read-again.js'
import { isRetryableStatement } from '../retry/retryable.js'
import type { Catalogue, Table } from '../sql/catalogue.js'
import { claimOrFind } from '../sql/claim.js'
import { requireKeys } from '../sql/unique-keys.js'
import { patient } from '../transactions/bounds.js'
import { inOwnTransaction } from '../transactions/own-transaction.js'
import { inPatientTurn } from '../transactions/records-in-turn.js'
import type { Selection, Widened } from '../values/selection.js'
import { type Comparison, compare } from './compare.js'
import { type DirectRows, directInsert, findRows, insertRow } from './direct-insert.js'
import { type Payload, rowOf } from './payload.js'

export interface InsertCall extends Patience {
  readonly catalogue: Catalogue
  readonly model: Model
  readonly payload: Payload
  readonly comparison: Comparison
  readonly selection: Selection
  /** The same with the fields that the key and the comparison need. */
  readonly wide: Widened
  /** Where statements of our own may stand for Prisma's insert of the row. */
  readonly direct: DirectRows | undefined
  /** Whether the insert is one statement, so that nothing can come between its parts. */
  readonly isSingle: boolean
  /** Whether another extension takes part in inserts of the model. */
  readonly isObserved: boolean
  /** Goes into the data of nested writes, so that they don't bump the new row's version. */
  readonly keepVersion: Readonly<Record<string, unknown>>
}

/** The calls of Prisma that an insert is made of. */
const INSERT_CALLS = ['findUniqueOrThrow', 'create', 'createManyAndReturn', 'update'] as const

export interface InsertResult {
  readonly record: Row
  readonly replayed: boolean
}

/** The hint of a batch to a member that goes on alone. */
export interface Hint {
  /** The row is likely to be there. */
  readonly isDuplicate?: boolean
  /** The row, with the fields of the wide selection. */
  readonly record?: Row | undefined
  /** Why the statement of the batch failed. */
  readonly failure?: unknown
}

/**
 * Inserts the row, or finds the one that was inserted under its key before. Any failure that may
 * go away is tried again without harm: the key takes care that there is one row.
 */
export async function insertOnce(
  scope: RootRecords | CallersTransaction,
  call: InsertCall,
  hint: Hint = {},
): Promise<InsertResult> {
  const { policy, deadline } = call
  if (scope.inTransaction) {
    return inPatientTurn(scope, deadline, INSERT_CALLS, (turn) => insertInTransaction(turn, call))
  }
  const outcome = new AmbiguousOutcome()
  outcome.note(hint.failure)
  const root = scope.until(deadline)
  const insertOnRoot = () => {
    if (call.isSingle) return insert(root, call, hint)
    if (call.isObserved) return insertAsOne(root, call)
    // A row with children: the row first, as the claim, and then the children.
    return inOwnTransaction(root, { deadline, calls: INSERT_CALLS }, (tx) => insert(tx, call))
  }
  const attempt = () => patient(scope, deadline, INSERT_CALLS, insertOnRoot)
  return retry(attempt, policy, deadline, (error) => {
    outcome.note(error)
    return isRetryableStatement(error, policy)
  }).catch((error: unknown) => {
    // The own transaction of a row with children ends with Prisma's error, which callers know.
    const failed = call.isSingle ? limitReached(error, deadline, 'the same insert elsewhere') : error
    throw isNoAnswer(failed) ? outcome.lastError(failed) : failed
  })
}

/**
 * Children go into a savepoint together with their row: one that Prisma itself refuses would
 * otherwise leave a row without them behind, which every duplicate would then be given.
 */
function insertInTransaction(transaction: RecordSession, call: InsertCall): Promise<InsertResult> {
  if (!call.payload.hasChildren) return insert(transaction, call)
  if (call.isObserved) return insertAsOne(transaction, call)
  return transaction.contained((savepoint) => insert(savepoint, call))
}

async function insert(session: RecordSession, call: InsertCall, hint: Hint = {}): Promise<InsertResult> {
  if (hint.record) return replay(hint.record, call, session)
  const find = () => reading(session, call, () => findExisting(session, call))
  const known = hint.isDuplicate ? await find() : undefined
  if (known) return known
  const row = await preparedRow(session, call)
  const claim = async () => {
    const record = await claimKey(session, call, row)
    return record && { record: call.isSingle ? record : await complete(session, call), replayed: false }
  }
  const result = await claimOrFind(claim, find)
  if (result) return result
  // Another unique constraint is in the way, which only Prisma's own `create` tells.
  const created = await create(session, { data: row, select: keySelection(call) }, find)
  return created.replayed ? created : { record: await complete(session, call), replayed: false }
}

/** INSERT … ON CONFLICT DO NOTHING: by a statement of our own, which Prisma need not compile, or by Prisma's. */
async function claimKey(session: RecordSession, call: InsertCall, row: Row): Promise<Row | undefined> {
  const { direct, isSingle, wide, selection } = call
  const insert = direct && directInsert(session, direct, [row])
  if (insert) {
    const record = await insertRow(session, insert)
    return record && wide.strip(record)
  }
  const [record] = await session.createNew([row], isSingle ? selection : { select: keySelection(call) })
  return record
}

/**
 * The row and its children as one call of Prisma's. Another extension may send each call in a
 * transaction of its own: a row that is claimed first would then be committed without its children.
 */
async function insertAsOne(session: RecordSession, call: InsertCall): Promise<InsertResult> {
  const row = await preparedRow(session, call)
  const find = () => reading(session, call, () => findExisting(session, call))
  const known = await find()
  return known ?? create(session, { data: { ...row, ...call.payload.children }, ...call.selection }, find)
}

/** Prisma's `create`: if a unique key is in the way, the row may have come after all, and is a duplicate like any other. */
async function create(
  session: RecordSession,
  args: Readonly<Record<string, unknown>>,
  find: () => Promise<InsertResult | undefined>,
): Promise<InsertResult> {
  let taken: unknown
  const result = await claimOrFind(async () => {
    const record = await session.create(args)
    if (!(record instanceof Taken)) return { record, replayed: false }
    taken = record.error
    return undefined
  }, find)
  if (result) return result
  throw taken
}

/** The row, once the key was found to be there. */
function preparedRow(session: RecordSession, call: InsertCall): Promise<Row> {
  return reading(session, call, async () => {
    const row = await rowToInsert(session, call)
    await requireKey(session, call)
    return row
  })
}

/** A read that is cut leaves nothing unknown. */
function reading<T>({ inTransaction }: RecordSession, call: InsertCall, read: () => Promise<T>): Promise<T> {
  return inTransaction ? read() : readAgain(call, read)
}

/** Looks for the key in the database: without it, nothing would ever be a duplicate. */
export function requireKey(session: RecordSession, { catalogue, model, payload }: InsertCall): Promise<void> {
  return requireKeys(catalogue, [{ model, fields: payload.keyFields }], session)
}

/** The row as it is inserted: with the fingerprint of the payload, where the model keeps one. */
export async function rowToInsert(session: RecordSession, { payload, comparison }: InsertCall): Promise<Row> {
  const row = await rowOf(payload, session)
  const { fingerprint } = comparison
  return fingerprint ? { ...row, [fingerprint.field]: fingerprint.compute() } : row
}

/** The work after the claim: the children, and the record with its relations. */
async function complete(session: RecordSession, { payload, selection, keepVersion }: InsertCall): Promise<Row> {
  const { where, children, hasChildren } = payload
  if (!hasChildren) return recordIn(await session.read({ where, ...selection }))
  return recordIn(await session.update({ where, data: { ...children, ...keepVersion }, ...selection }))
}

function keySelection({ payload }: InsertCall): Readonly<Record<string, true>> {
  return Object.fromEntries(payload.keyFields.map(({ name }) => [name, true]))
}

/** The record of an earlier call, on the primary, if its payload was the same. */
async function findExisting(session: RecordSession, call: InsertCall): Promise<InsertResult | undefined> {
  const record = await readConfirmed(session, {
    deadline: call.deadline,
    read: () => readExisting(session, call),
    isFound: (found) => found !== undefined,
  })
  return record && replay(record, call, session)
}

async function replay(record: Row, call: InsertCall, session: RecordSession): Promise<InsertResult> {
  await compare(record, call, session)
  return { record: call.wide.strip(record), replayed: true }
}

export function tableOf(session: RecordSession, { catalogue, model }: InsertCall): Promise<Table> {
  return catalogue.of(model, session)
}

async function readExisting(session: RecordSession, call: InsertCall): Promise<Row | undefined> {
  const { direct, payload, wide } = call
  if (direct?.canFind) return (await findRows(session, direct, [payload.key], await tableOf(session, call)))[0]
  const record = await session.read({ where: payload.where, ...wide.selection })
  return record instanceof Absent ? undefined : record
}
