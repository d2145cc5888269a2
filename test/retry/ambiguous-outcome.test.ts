import { expect, test } from 'vitest'
import { DeadlineExceededError, InvalidArgumentError, OutcomeUnknownError } from '../../src/errors/index.js'
import { AmbiguousOutcome, isNoAnswer, isServerAway } from '../../src/retry/ambiguous-outcome.js'
import { isRetryable, isRetryableStatement } from '../../src/retry/retryable.js'

const LOST = Object.assign(new Error('Connection terminated'), { code: 'ECONNRESET' })
const UNREACHABLE = Object.assign(new Error("Can't reach database server"), { code: 'P1001' })
const LOCK_TIMEOUT = { code: '55P03', severity: 'ERROR' }
const CONFLICT = Object.assign(new Error('write conflict'), { code: 'P2034' })
const REFUSED = new InvalidArgumentError('data', 'is wrong.')

const policy = { retryOn: () => false }

function ambiguous(): AmbiguousOutcome {
  const outcome = new AmbiguousOutcome()
  outcome.note(LOST)
  return outcome
}

test('an outcome is ambiguous from a lost connection on, until it is settled', () => {
  const outcome = new AmbiguousOutcome()
  outcome.note(UNREACHABLE)
  expect(outcome.isAmbiguous).toBe(false)
  outcome.note(LOST)
  expect(outcome.isAmbiguous).toBe(true)
  outcome.settle()
  expect(outcome.isAmbiguous).toBe(false)
})

test('the error names the lost connection as its cause, or what came after it', () => {
  expect(ambiguous().error()).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: LOST })
  expect(ambiguous().lastError(UNREACHABLE)).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: UNREACHABLE })
})

test('an error of a write whose outcome is known stays as it is', () => {
  const unknown = new OutcomeUnknownError('it was lost', {})
  expect(new AmbiguousOutcome().lastError(REFUSED)).toBe(REFUSED)
  expect(ambiguous().lastError(unknown)).toBe(unknown)
})

test('a conflict of transactions and what the policy names are tried again, and count', () => {
  expect([CONFLICT, REFUSED].map((error) => isRetryable(error, policy))).toEqual([true, false])
  expect(isRetryable(REFUSED, { retryOn: (error) => error === REFUSED })).toBe(true)
})

test('a server that is away is tried again, and does not count', () => {
  expect([LOST, UNREACHABLE].map((error) => isRetryable(error, policy))).toEqual(['uncounted', 'uncounted'])
})

test('a statement of our own is tried again also where a limit of the database has ended it', () => {
  const limited = Object.assign(new Error('canceling statement due to lock timeout'), LOCK_TIMEOUT)
  expect([isRetryable(limited, policy), isRetryableStatement(limited, policy)]).toEqual([false, 'uncounted'])
})

test('an unknown outcome is never tried again, whatever the policy says', () => {
  const unknown = new OutcomeUnknownError('it was lost', {})
  expect(isRetryable(unknown, { retryOn: () => true })).toBe(false)
})

test('a server that is away, and a time that is up, say nothing about what was sent before', () => {
  const late = new DeadlineExceededError(10, 'a connection')
  expect([LOST, UNREACHABLE, late, REFUSED].map((error) => isNoAnswer(error))).toEqual([true, true, true, false])
  expect([LOST, UNREACHABLE, late].map((error) => isServerAway(error))).toEqual([true, true, false])
})
