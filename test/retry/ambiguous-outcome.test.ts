import { expect, test } from 'vitest'
import { DeadlineExceededError, InvalidArgumentError, OutcomeUnknownError } from '../../src/errors/index.js'
import { AmbiguousOutcome, isNoAnswer, isServerAway } from '../../src/retry/ambiguous-outcome.js'
import { isRetryable, isTransient } from '../../src/retry/retryable.js'

const LOST = Object.assign(new Error('Connection terminated'), { code: 'ECONNRESET' })
const UNREACHABLE = Object.assign(new Error("Can't reach database server"), { code: 'P1001' })
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

test('a server that cannot be reached is asked again only while an outcome is ambiguous', () => {
  const settled = ambiguous()
  settled.settle()
  expect(isRetryable(UNREACHABLE, policy)).toBe(false)
  expect(isRetryable(UNREACHABLE, policy, settled)).toBe(false)
  expect(isRetryable(UNREACHABLE, policy, ambiguous())).toBe(true)
})

test('a conflict of transactions, a lost connection and what the policy names are tried again, and nothing else', () => {
  expect([LOST, CONFLICT, REFUSED, UNREACHABLE].map((error) => isTransient(error))).toEqual([true, true, false, false])
  expect([LOST, CONFLICT, REFUSED].map((error) => isRetryable(error, policy))).toEqual([true, true, false])
  expect(isRetryable(REFUSED, { retryOn: (error) => error === REFUSED })).toBe(true)
})

test('an unknown outcome is never tried again, whatever the policy says', () => {
  const unknown = new OutcomeUnknownError('it was lost', {})
  expect(isRetryable(unknown, { retryOn: () => true }, ambiguous())).toBe(false)
})

test('a server that is away, and a time that is up, say nothing about what was sent before', () => {
  const late = new DeadlineExceededError(10, 'a connection')
  expect([LOST, UNREACHABLE, late, REFUSED].map((error) => isNoAnswer(error))).toEqual([true, true, true, false])
  expect([LOST, UNREACHABLE, late].map((error) => isServerAway(error))).toEqual([true, true, false])
})
