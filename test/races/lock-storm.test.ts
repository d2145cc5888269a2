import { setMaxListeners } from 'node:events'
import { expect, test, vi } from 'vitest'
import { advisoryWaiters, lockElsewhere } from '../support/advisory.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

const PATIENT = { timeout: 110_000, bodyTimeout: 110_000 }
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index)

test('a thousand waiters on one key leave a pool of ten to a hundred other keys, and are all served in their order', async () => {
  const { db, pool } = connect({ poolSize: 10 })
  const { opened, open } = gate()
  const held = gate()
  const order: number[] = []
  const holder = db.$withAdvisoryLock(
    'hot',
    async () => {
      held.open()
      await opened
    },
    PATIENT,
  )
  await held.opened
  const waiters = numbers(1_000).map((number) =>
    db.$withAdvisoryLock('hot', async () => void order.push(number), PATIENT),
  )
  // All of them get through while nobody of the thousand can.
  const others = await Promise.all(
    numbers(100).map((number) => db.$withAdvisoryLock(['other', number], async () => number, PATIENT)),
  )
  await untilBlocked(database.url)
  const whileWaiting = {
    served: order.length,
    taken: pool.totalCount - pool.idleCount,
    inDatabase: await advisoryWaiters(database.url),
  }
  open()
  const outcomes = await Promise.allSettled([holder, ...waiters])
  expect(others).toEqual(numbers(100))
  // The next one waits in the database already, so that it has the lock with the holder's COMMIT.
  expect(whileWaiting).toEqual({ served: 0, taken: 2, inDatabase: 1 })
  expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([])
  expect(order).toEqual(numbers(1_000))
})

test('a thousand waiters on one key that another process holds wait in the database on a single connection', async () => {
  const { db, pool } = connect({ poolSize: 10 })
  const holder = await lockElsewhere(database.url, '["hot elsewhere"]')
  const order: number[] = []
  const waiters = numbers(1_000).map((number) =>
    db.$withAdvisoryLock('hot elsewhere', async () => void order.push(number), PATIENT),
  )
  await untilBlocked(database.url)
  const others = await Promise.all(
    numbers(100).map((number) => db.$withAdvisoryLock(['another', number], async () => number, PATIENT)),
  )
  const whileWaiting = {
    served: order.length,
    taken: pool.totalCount - pool.idleCount,
    inDatabase: await advisoryWaiters(database.url),
  }
  await holder.query('COMMIT')
  await Promise.all(waiters)
  expect(others).toEqual(numbers(100))
  expect(whileWaiting).toEqual({ served: 0, taken: 1, inDatabase: 1 })
  expect(order).toEqual(numbers(1_000))
})

test('waiters who give up in their hundreds, by signal and by timeout, keep nobody from being served', async () => {
  const { db } = connect({ poolSize: 10 })
  const holder = await lockElsewhere(database.url, '["storm 0"]')
  const abort = new AbortController()
  setMaxListeners(0, abort.signal)
  const served = vi.fn(async () => {})
  const calls = numbers(600).map((number) =>
    db.$withAdvisoryLock(['storm', number % 7], served, {
      ...PATIENT,
      ...(number % 3 === 0 ? { signal: abort.signal } : {}),
      ...(number % 3 === 1 ? { timeout: 1 + (number % 50) } : {}),
      mode: number % 2 === 0 ? 'exclusive' : 'shared',
    }),
  )
  const settled = Promise.allSettled(calls)
  abort.abort()
  await holder.query('COMMIT')
  const outcomes = await settled
  const patient = outcomes.filter((_, number) => number % 3 === 2)
  const refusals = outcomes.filter((outcome) => outcome.status === 'rejected').map(({ reason }) => reason)
  expect(patient.filter(({ status }) => status === 'rejected')).toEqual([])
  expect(refusals.filter((reason) => reason !== abort.signal.reason && reason.code !== 'LOCK_TIMEOUT')).toEqual([])
  await expect(db.$withAdvisoryLock({ keys: numbers(7).map((n) => ['storm', n]) }, async () => 'free')).resolves.toBe(
    'free',
  )
})
