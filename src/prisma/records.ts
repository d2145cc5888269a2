import type { ActionArgs, RecordSession } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import { isOwnRecordNotFound, isRecordNotFound } from './errors.js'

/** The answer of a call whose record is not there, or not as its `where` wants it. */
export class Absent {
  constructor(
    /** Prisma's own P2025, for the caller. */
    readonly error: unknown,
    /** Whether it is the record of the call itself, and not one that a nested write needs. */
    readonly isOwn: boolean,
  ) {}
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
