import { afterEach, expect, test } from 'vitest'
import { DeadlineExceededError } from '../../src/index.js'
import { systemClock } from '../../src/sync/clock.js'
import { Deadline } from '../../src/sync/deadline.js'
import { type FakeClock, fakeClock, gate } from '../../src/testing.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'

const { connect } = useExtended()
let clock: FakeClock | undefined
afterEach(() => clock?.restore())

test('a deadline passes when a test says so', async () => {
  clock = fakeClock()
  const wait = started(new Deadline(60_000, undefined, systemClock).race(new Promise(() => {}), 'nothing'))
  await clock.advance(59_999)
  const left = new Deadline(1, undefined, systemClock).left()
  await clock.advance(1)

  expect(left).toBe(1)
  expect(await rejectionOf(wait)).toBeInstanceOf(DeadlineExceededError)
})

test('delays end in the order of their times, each at its own', async () => {
  const fake = fakeClock()
  clock = fake
  const began = fake.now()
  const ended: number[] = []
  const note = () => ended.push(Math.round(fake.now() - began))
  systemClock.timer(300, note)
  systemClock.timer(100, () => {
    note()
    systemClock.timer(100, note)
  })
  systemClock.timer(200, note)()
  await fake.advance(1_000)

  expect(ended).toEqual([100, 200, 300])
})

test('a call of a client gives up when a test moves the time on to its deadline', async () => {
  const { db } = connect()
  const door = gate()
  const holder = started(db.$withAdvisoryLock('held', () => door.wait()))
  await door.arrived()
  clock = fakeClock()
  const others = [1, 2, 3].map(() => started(db.$withAdvisoryLock('held', async () => {}, { timeout: 1_000 })))
  await clock.advance(1_000)

  // One of them waits in the database, by the time of the database.
  const [first, second] = await Promise.all(others.slice(1).map(rejectionOf))
  door.open()
  await holder
  expect([first, second]).toMatchObject([{ code: 'LOCK_TIMEOUT' }, { code: 'LOCK_TIMEOUT' }])
})

test('what is tried again does not wait in between', async () => {
  clock = fakeClock()
  const { db } = connect()
  let runs = 0
  const began = performance.now()
  await db.$transactionWithRetry(
    async (tx) => {
      runs++
      if (runs < 6) await tx.$executeRaw`DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$`
    },
    { retry: { attempts: 6, baseDelay: 3_600_000, maxDelay: 3_600_000, deadline: 7_200_000 } },
  )

  expect(runs).toBe(6)
  expect(performance.now() - began).toBeLessThan(3_600_000)
})

test('the real time comes back, and what still waits goes on in it', async () => {
  const fake = fakeClock()
  const fired = new Promise<void>((resolve) => systemClock.timer(5, resolve))
  fake.restore()
  fake.restore()

  await expect(fired).resolves.toBeUndefined()
  expect(systemClock.now()).not.toBe(fake.now())
})

test('there is one fake clock at a time', () => {
  clock = fakeClock()

  expect(() => fakeClock()).toThrow('There is a fake clock already.')
})
