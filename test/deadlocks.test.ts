import { expect, test, vi } from 'vitest'
import { concurrency } from '../src/index.js'
import { useExtended } from './support/extended.js'
import { gate } from './support/gate.js'
import { rejectionOf } from './support/rejection.js'

const { connect } = useExtended()

const DEADLOCK = `DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$`

test('a deadline that passes while a transaction waits for a connection is a DeadlineExceededError with the cause', async () => {
  const { db, client, pool } = connect({ poolSize: 1 })
  const { opened, open } = gate()
  const holding = client.$transaction(() => opened, { timeout: 60_000 })
  await vi.waitFor(() => expect(pool.totalCount - pool.idleCount).toBe(1))
  const error = await rejectionOf(db.$transactionWithRetry(async () => 1, { retry: { deadline: 200 } }))
  open()
  await holding

  expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', deadline: 200, cause: { code: 'P2028' } })
})

test('a maxWait of the caller’s own that passes is Prisma’s P2028, as in $transaction', async () => {
  const { db, client, pool } = connect({ poolSize: 1 })
  const { opened, open } = gate()
  const holding = client.$transaction(() => opened, { timeout: 60_000 })
  await vi.waitFor(() => expect(pool.totalCount - pool.idleCount).toBe(1))
  const error = await rejectionOf(db.$transactionWithRetry(async () => 1, { maxWait: 50 }))
  open()
  await holding

  expect(error).toMatchObject({ code: 'P2028' })
})

test('a deadline that passes between deadlocks is a DeadlineExceededError with the last of them as its cause', async () => {
  const { client } = connect()
  const db = client.$extends(
    concurrency({ retry: { attempts: 1_000_000, baseDelay: 10_000, maxDelay: 10_000, deadline: 3_000 } }),
  )
  await client.note.count()
  const error = await rejectionOf(db.$transactionWithRetry((tx) => tx.$executeRawUnsafe(DEADLOCK)))

  expect(error).toMatchObject({
    code: 'DEADLINE_EXCEEDED',
    attempts: expect.any(Number),
    cause: { meta: { driverAdapterError: { cause: { originalCode: '40P01' } } } },
  })
})

test('a deadlock in the last attempt is thrown itself', async () => {
  const { db } = connect()
  const error = await rejectionOf(
    db.$transactionWithRetry((tx) => tx.$executeRawUnsafe(DEADLOCK), { retry: { attempts: 2, baseDelay: 0 } }),
  )

  expect(error).toMatchObject({ attempts: 2, meta: { driverAdapterError: { cause: { originalCode: '40P01' } } } })
})
