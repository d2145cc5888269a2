import { randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { type ConcurrencyEvent, type ConcurrencyOptions, concurrency } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

const database = useDatabase()
let id = 0
beforeEach(async () => {
  const [row] = await database.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()) RETURNING id`)
  id = row?.id as number
})
const intrude = () => database.query('UPDATE "Product" SET version = version + 1 WHERE id = $1', [id])

function listening(options: ConcurrencyOptions = { events: { keys: 'plain' } }) {
  const events: ConcurrencyEvent[] = []
  const { client } = database.connect()
  const db = client.$extends(concurrency({ ...options, onEvent: (event) => events.push(event) }))
  const of = (type: ConcurrencyEvent['type']) => events.filter((event) => event.type === type)
  return { db, events, of }
}

describe('a conflict of the version', () => {
  const conflict = (operation: string) => ({
    type: 'conflict',
    reason: 'version',
    operation,
    model: 'Product',
    key: `{"id":${id}}`,
    attempt: 1,
  })

  test('of a write under a version of the caller', async () => {
    const { db, of } = listening()
    await intrude()
    await rejectionOf(db.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 1 } }))
    expect(of('conflict')).toEqual([{ ...conflict('updateVersioned'), call: expect.any(Number) }])
  })

  test('of a write whose outcome is an answer', async () => {
    const { db, of } = listening()
    await intrude()
    await db.product.tryUpdateVersioned({ where: { id, version: 0 }, data: { stock: 1 } })
    expect(of('conflict')).toMatchObject([conflict('tryUpdateVersioned')])
  })

  test('of a delete', async () => {
    const { db, of } = listening()
    await intrude()
    await rejectionOf(db.product.deleteVersioned({ where: { id, version: 0 } }))
    expect(of('conflict')).toMatchObject([conflict('deleteVersioned')])
  })

  test('of each stale row of a batch, in both modes', async () => {
    const { db, of } = listening()
    await intrude()
    const items = [{ where: { id, version: 0 }, data: { stock: 1 } }]
    await rejectionOf(db.product.updateManyVersioned(items))
    await db.product.updateManyVersioned(items, { mode: 'each' })
    expect(of('conflict')).toMatchObject([conflict('updateManyVersioned'), conflict('updateManyVersioned')])
  })

  test('of a function, which is tried again', async () => {
    const { db, of } = listening()
    await db.product.updateVersioned({
      where: { id },
      data: async (_, attempt) => {
        if (attempt === 1) await intrude()
        return { stock: 1 }
      },
    })
    expect(of('conflict')).toMatchObject([conflict('updateVersioned')])
    expect(of('retry')).toMatchObject([{ reason: 'version', attempt: 1, key: `{"id":${id}}` }])
  })

  test('in a transaction is told once, by the write', async () => {
    const { db, of } = listening()
    await db.$transactionWithRetry(async (tx, { attempt }) => {
      if (attempt === 1) await intrude()
      await tx.product.updateVersioned({ where: { id, version: attempt === 1 ? 0 : 1 }, data: { stock: 1 } })
    })
    expect(of('conflict')).toMatchObject([conflict('updateVersioned')])
    expect(of('retry')).toMatchObject([{ operation: '$transactionWithRetry', reason: 'version' }])
  })
})

test('functions on one row that go into one write are a batch, and have waited for their turn', async () => {
  const { db, events, of } = listening()
  const holder = await openTransaction(database.url, 'SELECT 1 FROM "Product" WHERE id = $1 FOR UPDATE', [id])
  const add = () => db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
  const calls = [add()]
  const first = Promise.all(calls)
  await untilBlocked(database.url)
  const others = Promise.all([add(), add()])
  await new Promise((resolve) => setTimeout(resolve, 3))
  await holder.query('COMMIT')
  await Promise.all([first, others])
  expect(of('batch')).toMatchObject([{ operation: 'updateVersioned', model: 'Product', size: 2 }])
  const [batch] = events.filter((event) => event.type === 'batch')
  // The call before them may have waited, too, where the machine is busy.
  const queued = events.filter((event) => event.type === 'wait' && event.kind === 'queue')
  expect(queued.filter(({ call }) => batch?.calls.includes(call))).toMatchObject([
    { operation: 'updateVersioned', key: `{"id":${id}}` },
    { operation: 'updateVersioned', key: `{"id":${id}}` },
  ])
  expect(queued.length).toBeLessThanOrEqual(3)
})

test('a listener may update the row whose calls it is told of, while they go into one write', async () => {
  const { client } = database.connect()
  const inner: Promise<unknown>[] = []
  const db = client.$extends(
    concurrency({
      onEvent: ({ type }) => {
        // Begun at once, as a listener does that waits for nothing.
        if (type === 'wait' && inner.length < 4) inner.push(add().then(() => 'inner'))
      },
    }),
  )
  const add = () => db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) })
  const holder = await openTransaction(database.url, 'SELECT 1 FROM "Product" WHERE id = $1 FOR UPDATE', [id])
  const first = add().then(() => 'first')
  await untilBlocked(database.url)
  const others = [add(), add(), add()].map((call) => call.then(() => 'other'))
  await new Promise((resolve) => setTimeout(resolve, 3))
  await holder.query('COMMIT')
  expect(await Promise.all([first, ...others])).toEqual(['first', 'other', 'other', 'other'])
  expect(await Promise.all(inner)).toEqual(['inner', 'inner', 'inner', 'inner'])
  expect(await database.query('SELECT stock FROM "Product" WHERE id = $1', [id])).toEqual([{ stock: 8 }])
})

test('a wait for a row is told of the attempt that locks it', async () => {
  const { db, of } = listening()
  const going = gate()
  let holder: Awaited<ReturnType<typeof openTransaction>> | undefined
  const call = db.product.updateVersioned({
    where: { id },
    data: async (_, attempt) => {
      if (attempt < 3) await intrude()
      if (attempt === 2) {
        holder = await openTransaction(database.url, 'SELECT 1 FROM "Product" WHERE id = $1 FOR UPDATE', [id])
        void going.opened.then(() => holder?.query('COMMIT'))
      }
      return { stock: 1 }
    },
  })
  const done = Promise.resolve(call)
  // Attempt 2 loses, waiting for the lock that attempt 3 would wait for: the intruder wrote before.
  await untilBlocked(database.url)
  await new Promise((resolve) => setTimeout(resolve, 3))
  going.open()
  await done
  expect(of('wait').filter((event) => 'kind' in event && event.kind === 'row')).toMatchObject([
    { operation: 'updateVersioned', model: 'Product', key: `{"id":${id}}` },
  ])
})

test('inserts that go as one are a batch, and a duplicate is a replay', async () => {
  const { db, of } = listening()
  const insert = (transactionId: string) =>
    db.payment.createIdempotent({ where: { transactionId }, data: { amount: 1, currency: 'EUR' } })
  const ids = [randomUUID(), randomUUID()]
  await Promise.all(ids.map(insert))
  await insert(ids[0] as string)
  expect(of('batch')).toMatchObject([{ operation: 'createIdempotent', model: 'Payment', size: 2 }])
  expect(of('replay')).toMatchObject([{ operation: 'createIdempotent', key: `{"transactionId":"${ids[0]}"}` }])
})

describe('keys', () => {
  const conflictKey = async (options?: ConcurrencyOptions) => {
    const { db, of } = listening(options)
    await rejectionOf(db.product.updateVersioned({ where: { id, version: 7 }, data: { stock: 1 } }))
    return of('conflict')[0]?.key
  }

  test('are a hash unless they are asked for, the same for the same row', async () => {
    const hash = await conflictKey({})
    expect(hash).toMatch(/^[0-9a-f]{16}$/)
    expect(await conflictKey({ events: { keys: 'hash' } })).toBe(hash)
  })

  test('are told as they are where that is asked for', async () => {
    expect(await conflictKey({ events: { keys: 'plain' } })).toBe(`{"id":${id}}`)
  })

  test('no event has a text of the user, unless keys are asked for', async () => {
    const { db, events } = listening({})
    const secret = randomUUID()
    const call = { key: secret, scope: secret }
    await db.$idempotent({ ...call, request: secret }, async () => secret)
    await db.$idempotent({ ...call, request: secret }, async () => secret)
    await rejectionOf(db.$idempotent({ ...call, request: 1 }, async () => secret))
    await db.$withAdvisoryLock(secret, async () => {})
    expect(events.length).toBeGreaterThan(2)
    expect(JSON.stringify(events)).not.toContain(secret)
  })
})
