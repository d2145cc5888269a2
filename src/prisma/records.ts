import type { ActionArgs, RecordSession } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import { isOwnRecordNotFound, isRecordNotFound, isUniqueViolation } from './errors.js'

/** The answer of a call whose record is not there, or not as its `where` wants it. */
export class Absent {
  constructor(
    /** Prisma's own P2025, for the caller. */
    readonly error: unknown,
    /** Whether it is the record of the call itself, and not one that a nested write needs. */
    readonly isOwn: boolean,
  ) {}
}

/** The answer of a call that was to insert a record, and a unique key of it is taken. */
export class Taken {
  constructor(
    /** Prisma's own P2002, for the caller. */
    readonly error: unknown,
  ) {}
}

/** The record as it was inserted, unless a unique key of it is taken. In a savepoint, where it is in a transaction. */
export async function createRecord(session: RecordSession, args: ActionArgs): Promise<Row | Taken> {
  try {
    return await session.contained((inside) => inside.call('create', args))
  } catch (error) {
    if (isUniqueViolation(error)) return new Taken(error)
    throw error
  }
}

/** INSERT … ON CONFLICT DO NOTHING RETURNING: it waits for a duplicate in flight, and raises no error. */
export async function insertRecords(session: RecordSession, data: readonly Row[], selection: object): Promise<Row[]> {
  const answer: unknown = await session.call('createManyAndReturn', { data, skipDuplicates: true, ...selection })
  return answer as Row[]
}

/** The record, from the primary. */
export function readRecord(session: RecordSession, args: ActionArgs): Promise<Row | Absent> {
  return orAbsent(session.read(args), true)
}

/** The record as it is now written, if it was there as `where` wants it. */
export function updateRecord(session: RecordSession, args: ActionArgs): Promise<Row | Absent> {
  return orAbsent(session.call('update', args))
}

/** The record as it was deleted, if it was there as `where` wants it. */
export function deleteRecord(session: RecordSession, args: ActionArgs): Promise<Row | Absent> {
  return orAbsent(session.call('delete', args))
}

async function orAbsent(record: Promise<Row>, isRead = false): Promise<Row | Absent> {
  try {
    return await record
  } catch (error) {
    if (isRecordNotFound(error)) return new Absent(error, isRead || isOwnRecordNotFound(error))
    throw error
  }
}
