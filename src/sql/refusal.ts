import { sqlState } from '../engine/error-facts.js'
import { join, type Piece, raw, type SqlText, type Statement } from './statement.js'

/**
 * An expression with which a single statement takes itself back after it has written: the text
 * `refused:…` is cast to a number, which is an error, so all of the statement is undone. `reason` is text
 * for the reader, and `value` an expression behind it.
 */
export function refusal(reason: string, value: SqlText): SqlText
export function refusal(reason: string, value: Piece): Statement | SqlText
export function refusal(reason: string, value: Piece): Statement | SqlText {
  return join([raw(`('refused:${reason}' || `), value, raw(')::int')], '')
}

/** The refusal of a statement that was to write so many rows, and has written another number. */
export function refusedCount(written: SqlText, wanted: SqlText): SqlText
export function refusedCount(written: SqlText, wanted: Piece): Statement | SqlText
export function refusedCount(written: SqlText, wanted: Piece): Statement | SqlText {
  return refusal('', join([written, raw("' of '"), wanted], ' || '))
}

const INVALID_TEXT = '22P02'

/** The text with which a statement took itself back; `undefined` for any other error. */
export function refusalOf(error: unknown): string | undefined {
  return sqlState(error) === INVALID_TEXT ? /refused:([\w: ]*\w)/.exec(String(error))?.[1] : undefined
}

/**
 * Whether a statement was done: `false` if it took itself back.
 *
 * @throws any other error
 */
export async function isWritten(statement: Promise<unknown>): Promise<boolean> {
  try {
    await statement
    return true
  } catch (error) {
    if (refusalOf(error) !== undefined) return false
    throw error
  }
}
