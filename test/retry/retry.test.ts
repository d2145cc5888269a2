import { expect, test, vi } from 'vitest'
import { concurrency, isConcurrencyError } from '../../src/index.js'
import { backoff } from '../../src/retry/backoff.js'
import { retry as retryWith } from '../../src/retry/loop.js'
import { DEFAULT_POLICY, type ResolvedPolicy, resolvePolicy } from '../../src/retry/policy.js'
import type { Retryable } from '../../src/retry/retryable.js'
import { Deadline } from '../../src/sync/deadline.js'
import { useDatabase } from '../support/clients.js'
import { fakeClock, stoppedClock } from '../support/fake-clock.js'
import { rejectionOf } from '../support/rejection.js'

const database = useDatabase()
const conflict = () => new Error('conflict')

/** Runs `work` with the default policy, but for what is different, on a clock that needs no time. */
function retry<T>(
  work: (attempt: number) => Promise<T>,
  {
    policy = {},
    signal,
    time = fakeClock(),
    isRetryable = () => true,
  }: {
    policy?: Partial<ResolvedPolicy>
    signal?: AbortSignal
    time?: ReturnType<typeof fakeClock>
    isRetryable?: (error: unknown) => Retryable
  } = {},
) {
  const resolved = { ...DEFAULT_POLICY, ...policy }
  return retryWith(work, resolved, new Deadline(resolved.deadline, signal, time.clock), isRetryable)
}

/** Work that fails this often, and then succeeds; it counts its runs. */
function failing(times: number, error: () => unknown = conflict) {
  return vi.fn(async (attempt: number) => {
    if (attempt <= times) throw error()
    return 'done'
  })
}

test('what succeeds at once runs once, without a delay', async () => {
  const time = fakeClock()
  const work = failing(0)

  expect(await retry(work, { time })).toBe('done')
  expect(work).toHaveBeenCalledTimes(1)
  expect(time.delays).toEqual([])
})

test('two conflicts and then success are three runs with a delay before each but the first', async () => {
  const time = fakeClock()
  const work = failing(2)

  expect(await retry(work, { time })).toBe('done')
  expect(work.mock.calls).toEqual([[1], [2], [3]])
  expect(time.delays).toHaveLength(2)
})

test('another error ends it after one run, and is the very object that was thrown', async () => {
  const error = new Error('no conflict')
  const work = failing(1, () => error)

  expect(await rejectionOf(retry(work, { isRetryable: () => false }))).toBe(error)
  expect(work).toHaveBeenCalledTimes(1)
  expect(error).not.toHaveProperty('attempts')
})

test('another error after a conflict ends it too, with the number of runs on it', async () => {
  const error = new Error('no conflict')
  const work = vi.fn(async (attempt: number) => {
    throw attempt === 1 ? conflict() : error
  })

  expect(await rejectionOf(retry(work, { isRetryable: (thrown) => thrown !== error }))).toBe(error)
  expect(error).toHaveProperty('attempts', 2)
})

test('when nothing but conflicts come, the last of them is thrown itself, with the number of attempts on it', async () => {
  const errors: Error[] = []
  const work = failing(Number.POSITIVE_INFINITY, () => {
    const error = conflict()
    errors.push(error)
    return error
  })

  const error = await rejectionOf(retry(work))

  expect(error).toBe(errors.at(-1))
  expect(error).toHaveProperty('attempts', 10)
  expect(work).toHaveBeenCalledTimes(10)
})

test('attempts: 1 means one run', async () => {
  const time = fakeClock()
  const work = failing(Number.POSITIVE_INFINITY)

  expect(await rejectionOf(retry(work, { policy: { attempts: 1 }, time }))).toHaveProperty('attempts', 1)
  expect(work).toHaveBeenCalledTimes(1)
  expect(time.delays).toEqual([])
})

test.each([
  ['a string', 'a string'],
  ['undefined', undefined],
  ['a frozen error', Object.freeze(new Error('frozen'))],
  ['an error whose attempts cannot be set', Object.defineProperty(new Error('own'), 'attempts', { value: 'mine' })],
])('%s that was thrown comes out as it went in, also where the attempts cannot be noted on it', async (_, thrown) => {
  const work = failing(Number.POSITIVE_INFINITY, () => thrown)

  expect(await rejectionOf(retry(work, { policy: { attempts: 2 } }))).toBe(thrown)
  expect(work).toHaveBeenCalledTimes(2)
})

test.each([
  [1, 5],
  [2, 10],
  [3, 20],
  [6, 160],
  [7, 250],
  [10, 250],
  [2_000, 250],
])('the delay after attempt %i lies anywhere in [0, %i] ms', (attempt, ceiling) => {
  const delayAt = (chance: number) => backoff(attempt, DEFAULT_POLICY, fakeClock(() => chance).clock)

  expect([0, 0.25, 0.5, 1].map(delayAt)).toEqual([0, ceiling / 4, ceiling / 2, ceiling])
})

test('a base delay of 0 means no delay, in whatever attempt', () => {
  const policy = { ...DEFAULT_POLICY, baseDelay: 0 }

  expect([1, 2, 5_000].map((attempt) => backoff(attempt, policy, fakeClock(() => 0.9).clock))).toEqual([0, 0, 0])
})

test('the delays of many callers are spread over the whole range, not bunched', () => {
  const { clock } = fakeClock()
  const quarters = [0, 0, 0, 0]
  for (let i = 0; i < 4_000; i++) {
    const quarter = Math.floor((backoff(4, DEFAULT_POLICY, clock) / 40) * 4)
    quarters[quarter] = (quarters[quarter] ?? 0) + 1
  }

  // Each quarter gets 1,000 on average; 800 are more than seven standard deviations away.
  expect(Math.min(...quarters)).toBeGreaterThan(800)
})

test('the last delay is cut to the deadline, and nothing runs after it', async () => {
  const time = fakeClock(() => 0.999)
  const work = failing(Number.POSITIVE_INFINITY)

  const error = await rejectionOf(retry(work, { policy: { deadline: 1_000, attempts: 100 }, time }))

  expect(time.clock.now()).toBeLessThanOrEqual(1_000)
  expect(time.delays.reduce((sum, delay) => sum + delay)).toBeCloseTo(1_000)
  expect(error).toHaveProperty('attempts', work.mock.calls.length)
})

test('a timer that fires a little early does not let one more run slip in before the deadline', async () => {
  const time = fakeClock(() => 0.999)
  const early = { ...time.clock, timer: (ms: number, fire: () => void) => time.clock.timer(ms * 0.99, fire) }
  const work = failing(Number.POSITIVE_INFINITY)
  const policy = { ...DEFAULT_POLICY, deadline: 4 }

  await rejectionOf(retryWith(work, policy, new Deadline(4, undefined, early), () => true))

  expect(work).toHaveBeenCalledTimes(1)
})

test('work that took until the deadline is not run again', async () => {
  const time = fakeClock()
  const work = vi.fn(async () => {
    time.pass(5_000)
    throw conflict()
  })

  expect(await rejectionOf(retry(work, { time }))).toHaveProperty('message', 'conflict')
  expect(work).toHaveBeenCalledTimes(1)
})

test('a later attempt that only runs out of time leaves the conflict to be thrown', async () => {
  const time = fakeClock()
  const first = conflict()
  const resolved = DEFAULT_POLICY
  const deadline = new Deadline(resolved.deadline, undefined, time.clock)
  const work = async (attempt: number) => {
    if (attempt === 1) throw first
    time.pass(5_000)
    deadline.check('the database')
  }

  const error = await rejectionOf(retryWith(work, resolved, deadline, (thrown) => thrown === first))

  expect(error).toBe(first)
  expect(error).toHaveProperty('attempts', 2)
})

test('with the signal aborted before, the work never runs', async () => {
  const work = failing(0)

  expect(await rejectionOf(retry(work, { signal: AbortSignal.abort('gone') }))).toBe('gone')
  expect(work).not.toHaveBeenCalled()
})

test('a signal aborted in a delay ends it at once, with its reason', async () => {
  const { clock, count } = stoppedClock()
  const aborter = new AbortController()
  const work = failing(Number.POSITIVE_INFINITY)
  const run = rejectionOf(
    retryWith(work, DEFAULT_POLICY, new Deadline(DEFAULT_POLICY.deadline, aborter.signal, clock), () => true),
  )
  await vi.waitFor(() => expect(count.timers).toBe(1), { timeout: 60_000 })

  aborter.abort('gone')

  expect(await run).toBe('gone')
  expect(work).toHaveBeenCalledTimes(1)
  expect(count.timers).toBe(0)
})

test('a signal aborted while the work succeeds leaves it a success', async () => {
  const aborter = new AbortController()
  const work = async () => {
    aborter.abort('too late')
    return 'done'
  }

  expect(await retry(work, { signal: aborter.signal })).toBe('done')
})

test('a policy laid over another changes only what it gives', () => {
  const base = { ...DEFAULT_POLICY, attempts: 3 }

  expect(resolvePolicy(base, { maxDelay: 7, attempts: undefined })).toEqual({ ...base, maxDelay: 7 })
})

test('the defaults are 10 attempts, 5 to 250 ms of delay and 5 seconds, and nothing else is retried', () => {
  expect({ ...DEFAULT_POLICY, retryOn: DEFAULT_POLICY.retryOn(conflict()) }).toEqual({
    attempts: 10,
    baseDelay: 5,
    maxDelay: 250,
    deadline: 5_000,
    retryOn: false,
  })
})

const MISTAKES: [string, object][] = [
  ['attempts', { attempts: 0 }],
  ['attempts', { attempts: -1 }],
  ['attempts', { attempts: 1.5 }],
  ['attempts', { attempts: Number.NaN }],
  ['attempts', { attempts: Number.POSITIVE_INFINITY }],
  ['attempts', { attempts: '3' }],
  ['baseDelay', { baseDelay: -1 }],
  ['maxDelay', { maxDelay: Number.NaN }],
  ['deadline', { deadline: 0 }],
  ['deadline', { deadline: 2 ** 31 }],
  ['retryOn', { retryOn: true }],
  ['retries', { retries: 3 }],
]

test.each(MISTAKES)('a wrong retry.%s (%o) of the client is refused when it is extended', (field, retry) => {
  const extend = () => database.connect().client.$extends(concurrency({ retry }))

  expect(extend).toThrow(
    expect.objectContaining({ code: 'CONFIGURATION', issues: [expect.objectContaining({ path: `retry.${field}` })] }),
  )
})

test.each(MISTAKES)('a wrong retry.%s (%o) of a call is refused before any SQL', async (field, retry) => {
  const { client, statements } = database.connect()
  const db = client.$extends(concurrency())
  const error = await rejectionOf(db.$transactionWithRetry(async () => {}, { retry }))

  expect(isConcurrencyError(error, 'INVALID_ARGUMENT') && error.field).toBe(`retry.${field}`)
  expect(statements).toEqual([])
})

test('attempts that do not count are ended by the deadline alone', async () => {
  const time = fakeClock(() => 0.999)
  const work = failing(Number.POSITIVE_INFINITY)

  const error = await rejectionOf(retry(work, { isRetryable: () => 'uncounted', time }))

  expect(work.mock.calls.length).toBeGreaterThan(10)
  expect(time.clock.now()).toBeGreaterThanOrEqual(4_750)
  expect(error).toHaveProperty('attempts', work.mock.calls.length)
})

test('fewer attempts than usual limit the runs, also where these would not count', async () => {
  const work = failing(Number.POSITIVE_INFINITY)

  expect(await rejectionOf(retry(work, { isRetryable: () => 'uncounted', policy: { attempts: 2 } }))).toHaveProperty(
    'attempts',
    2,
  )
  expect(work).toHaveBeenCalledTimes(2)
})
