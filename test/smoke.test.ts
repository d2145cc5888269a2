import { expect, test } from 'vitest'
import { concurrency } from '../src/index.js'
import { useDatabase } from './support/clients.js'

const database = useDatabase()

test('works', async () => {
  const { client, statements } = database.connect()
  const db = client.$extends(concurrency())
  const p = await db.product.create({ data: { name: 'Chai', stock: 39 } })
  statements.length = 0
  const a = await db.product.updateVersioned({ where: { id: p.id, version: 0 }, data: { stock: 4 } })
  expect(a.version).toBe(1)
  expect(statements.length).toBe(1)
  const b = await db.product.updateVersioned({
    where: { id: p.id },
    data: (c) => ({ stock: c.stock + 1 }),
    select: { stock: true },
  })
  expect(b).toEqual({ stock: 5 })
  expect(statements.length).toBe(3)
  expect(
    await db.product.tryUpdateVersioned({
      where: { id: p.id, version: 1 },
      data: { stock: 3 },
      select: { stock: true },
    }),
  ).toEqual({ status: 'stale', expected: 1, actual: 2, current: { stock: 5 } })
  expect(await db.product.tryUpdateVersioned({ where: { id: 999, version: 1 }, data: { stock: 3 } })).toEqual({
    status: 'missing',
  })
  await expect(db.product.updateVersioned({ where: { id: p.id, version: 1 }, data: { stock: 3 } })).rejects.toThrow(
    'has version 2, expected 1',
  )
  await Promise.all(
    Array.from({ length: 50 }, () =>
      db.product.updateVersioned({ where: { id: p.id }, data: (c) => ({ stock: c.stock + 1 }) }),
    ),
  )
  expect((await db.product.findUniqueOrThrow({ where: { id: p.id } })).stock).toBe(55)
  const q = await db.product.create({ data: { name: 'Chang' } })
  statements.length = 0
  expect(
    await db.product.updateManyVersioned([
      { where: { id: q.id, version: 0 }, data: { stock: { increment: 3 } } },
      { where: { id: p.id, version: 52 }, data: { name: 'New' } },
    ]),
  ).toEqual([
    { status: 'updated', version: 1 },
    { status: 'updated', version: 53 },
  ])
  console.log(statements)
  await expect(
    db.product.updateManyVersioned([
      { where: { id: q.id, version: 0 }, data: { stock: { increment: 3 } } },
      { where: { id: p.id, version: 53 }, data: { name: 'Newer' } },
    ]),
  ).rejects.toThrow('1 of the Product rows')
  expect(
    await db.product.updateManyVersioned(
      [
        { where: { id: q.id, version: 0 }, data: { stock: { increment: 3 } } },
        { where: { id: p.id, version: 53 }, data: { name: 'Newer' } },
      ],
      { mode: 'each' },
    ),
  ).toEqual([
    { status: 'stale', expected: 0, actual: 1 },
    { status: 'updated', version: 54 },
  ])
  statements.length = 0
  await db.$transactionWithRetry(
    async (tx) => {
      await tx.product.updateVersioned({ where: { id: p.id }, data: (c) => ({ stock: c.stock + 1 }) })
    },
    { isolationLevel: 'Serializable' },
  )
  console.log(statements)
  await db.product.update({ where: { id: p.id }, data: { name: 'X' } })
  await db.product.deleteVersioned({ where: { id: p.id, version: 56 }, include: { lines: true } })
  statements.length = 0
})
