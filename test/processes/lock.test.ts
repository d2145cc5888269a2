import { expect, test } from 'vitest'
import { isFree } from '../support/advisory.js'
import { useExtended } from '../support/extended.js'
import type { LockOutcome, LockWork } from '../support/lock-worker.js'
import { runInProcess, startProcess } from '../support/process.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

const run = (work: LockWork) => runInProcess<LockOutcome>('./lock-worker.ts', work)

test('a read and a write under the lock are one step for the callers of three processes', async () => {
  const { db } = connect()
  const { id } = await db.product.create({ data: { name: 'counted' } })
  const work: LockWork = { task: 'count', url: database.url, id, callers: 4, rounds: 25 }
  const outcomes = await Promise.all([run(work), run(work), run(work)])
  expect(outcomes.flatMap(({ failures }) => failures)).toEqual([])
  expect((await db.product.findUniqueOrThrow({ where: { id } })).stock).toBe(300)
})

test('pairs of keys in random orders, by the callers of two processes, never deadlock, and lose nothing', async () => {
  const { db } = connect()
  const products = await db.product.createManyAndReturn({
    data: Array.from({ length: 6 }, (_, index) => ({ name: `pair ${index}`, stock: 1_000 })),
  })
  const ids = products.map(({ id }) => id)
  const work: LockWork = { task: 'pairs', url: database.url, ids, callers: 8, rounds: 100 }
  const outcomes = await Promise.all([run(work), run(work)])
  expect(outcomes.flatMap(({ failures }) => failures)).toEqual([])
  const { _sum } = await db.product.aggregate({ where: { id: { in: ids } }, _sum: { stock: true } })
  expect(_sum.stock).toBe(6_000)
}, 400_000)

test('a process that is killed while it holds the lock gives it to the one who waits, and leaves nothing written', async () => {
  const { db } = connect()
  const holder = startProcess('./lock-worker.ts', { task: 'hold', url: database.url, key: 'killed' } satisfies LockWork)
  expect(await holder.answer()).toBe('held')
  const seen = db.$withAdvisoryLock('killed', (tx) => tx.note.count({ where: { text: 'killed' } }), {
    timeout: 100_000,
  })
  await untilBlocked(database.url)
  holder.kill()
  expect(await seen).toBe(0)
})

test('a process that is stopped while it holds the lock loses it when its time is up, and leaves nothing written', async () => {
  const { db } = connect()
  const holder = startProcess('./lock-worker.ts', {
    task: 'hold',
    url: database.url,
    key: 'stopped',
    bodyTimeout: 2_000,
  } satisfies LockWork)
  expect(await holder.answer()).toBe('held')
  holder.stop()
  const seen = db.$withAdvisoryLock('stopped', (tx) => tx.note.count({ where: { text: 'stopped' } }), {
    timeout: 100_000,
  })
  expect(await seen).toBe(0)
})

test('a process that is killed while it waits for the lock is no obstacle to those behind it', async () => {
  const { db } = connect()
  const call = await db.$withAdvisoryLock(
    'killed waiting',
    async () => {
      const waiter = startProcess('./lock-worker.ts', {
        task: 'hold',
        url: database.url,
        key: 'killed waiting',
      } satisfies LockWork)
      await untilBlocked(database.url)
      const behind = connect().db.$withAdvisoryLock('killed waiting', async () => 'next', { timeout: 100_000 })
      await untilBlocked(database.url, 2)
      waiter.kill()
      return { behind }
    },
    { bodyTimeout: 100_000 },
  )
  expect(await call.behind).toBe('next')
  expect(await isFree(database, '["killed waiting"]')).toBe(true)
})
