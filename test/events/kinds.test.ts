import { randomInt, randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import type { ConcurrencyEvent } from '../../src/index.js'
import { lockElsewhere } from '../support/advisory.js'
import { AT_COMMIT_TRIGGER, atCommit } from '../support/at-commit.js'
import { openTransaction } from '../support/connection.js'
import { describeEngines, type EngineOptions, rows } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { passingTimers } from '../support/passing-time.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

type EventType = ConcurrencyEvent['type']
type EventOf<T extends EventType> = Extract<ConcurrencyEvent, { type: T }>

/** Waits until so many ms have passed for certain: the events tell of waits of a millisecond and more. */
const passing = async (ms = 2) => {
  const end = performance.now() + ms
  while (performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 1))
}

describeEngines(({ name, connect, connectErp, database }) => {
  beforeAll(async () => {
    await database.query(AT_COMMIT_TRIGGER)
  })

  function listening() {
    const events: ConcurrencyEvent[] = []
    const options: EngineOptions['options'] = { onEvent: (event) => events.push(event), events: { keys: 'plain' } }
    const of = <T extends EventType>(type: T) => events.filter((event): event is EventOf<T> => event.type === type)
    return { events, options, of }
  }
  async function connected(given: Partial<EngineOptions> = {}) {
    const { options, ...told } = listening()
    return { ...(await connect(name, { ...given, options })), ...told }
  }
  async function withErp(given: Partial<EngineOptions> = {}) {
    const { options, ...told } = listening()
    return { ...(await connectErp(name, { ...given, options })), ...told }
  }
  const key = () => randomUUID()
  const product = async () => {
    const [row] = await database.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()) RETURNING id`)
    return row?.id as number
  }
  const newItem = async (onHand: number) => {
    const item = { productId: randomInt(1, 2 ** 31), warehouse: 'main' }
    await database.query(
      `WITH item AS (INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, $2, $3))
INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity) VALUES ($4, 0, $1, $2, $3)`,
      [item.productId, item.warehouse, onHand, `opening of ${item.productId}`],
    )
    return { item, name: JSON.stringify([String(item.productId), item.warehouse]) }
  }
  const insert = (tx: object, data: { text: string }) => rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', data.text)

  test('a call that nothing happens to tells nothing but what it waited for', async () => {
    const { db, events } = await withErp()
    const { item } = await newItem(10)
    await db.$stock.move({ transactionId: key(), item, quantity: -1 })
    await db.$transactionWithRetry((tx) => insert(tx, { text: key() }))
    expect(events.filter(({ type }) => type !== 'wait')).toEqual([])
  })

  describe('conflict, deadlock and retry', () => {
    test('a serialization failure is a conflict, and its transaction is tried again', async () => {
      const { db, of } = await connected()
      const id = await product()
      await db.$transactionWithRetry(
        async (tx, { attempt }) => {
          await rows(tx, 'SELECT 1 FROM "Product" WHERE id = $1', id)
          if (attempt === 1) await database.query('UPDATE "Product" SET stock = 1 WHERE id = $1', [id])
          await rows(tx, 'UPDATE "Product" SET stock = 2 WHERE id = $1::int', id)
        },
        { isolationLevel: 'RepeatableRead' },
      )
      const facts = {
        call: expect.any(Number),
        operation: '$transactionWithRetry',
        attempt: 1,
        reason: 'serialization',
      }
      expect(of('conflict')).toEqual([expect.objectContaining(facts)])
      expect(of('retry')).toEqual([expect.objectContaining({ ...facts, ms: expect.any(Number) })])
    })

    test('a deadlock is told as what it is', async () => {
      const { db, of } = await connected()
      await db.$transactionWithRetry(async (tx, { attempt }) => {
        if (attempt === 1) await rows(tx, `DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$`)
      })
      expect(of('deadlock')).toEqual([expect.objectContaining({ operation: '$transactionWithRetry', attempt: 1 })])
      expect(of('retry')).toEqual([expect.objectContaining({ reason: 'deadlock' })])
      expect(of('conflict')).toEqual([])
    })
  })

  describe('wait', () => {
    test('in the queue of the process: of a call that comes second to a lock', async () => {
      const { db, of } = await connected()
      const held = gate()
      const going = gate()
      const lock = key()
      const first = db.$withAdvisoryLock([lock, 1], async () => {
        held.open()
        await going.opened
      })
      await held.opened
      // Half of the connections may wait in the database, and one of two is in use.
      const second = db.$withAdvisoryLock({ keys: [[lock, 1], lock] }, async () => {})
      await passing()
      going.open()
      await Promise.all([first, second])
      const [wait] = of('wait').filter(({ kind }) => kind === 'queue')
      expect(wait).toMatchObject({ operation: '$withAdvisoryLock', key: `["${lock}",1] ["${lock}"]` })
      expect(wait?.ms).toBeGreaterThanOrEqual(1)
    })

    test('for an advisory lock that another process holds', async () => {
      const { db, of } = await connected()
      const lock = key()
      const holder = await lockElsewhere(database.url, JSON.stringify([lock]))
      const call = db.$withAdvisoryLock(lock, async () => 'held')
      await untilBlocked(database.url)
      await passing()
      await holder.query('COMMIT')
      expect(await call).toBe('held')
      expect(of('wait').filter(({ kind }) => kind === 'advisory')).toMatchObject([
        { operation: '$withAdvisoryLock', key: JSON.stringify([lock]) },
      ])
    })

    test('for a row: the idempotency key that another process has claimed', async () => {
      const { db, of } = await connected()
      const call = { key: key(), scope: 'test' }
      const claim = `INSERT INTO "IdempotencyKey" (scope, key, request) VALUES ('test', $1, '')`
      const holder = await openTransaction(database.url, claim, [call.key])
      const running = db.$idempotent(call, async () => 'done')
      await untilBlocked(database.url)
      await passing()
      await holder.query('ROLLBACK')
      await running
      expect(of('wait').filter(({ kind }) => kind === 'row')).toMatchObject([
        { operation: '$idempotent', key: JSON.stringify(['test', call.key]) },
      ])
    })

    test('for a row: the counter of a series that another transaction has locked', async () => {
      const { db, of } = await withErp()
      const series = key()
      await db.$transactionWithRetry((tx) => tx.$series.next(series))
      const lock = 'SELECT 1 FROM "Series" WHERE name = $1 FOR UPDATE'
      const holder = await openTransaction(database.url, lock, [series])
      const next = db.$transactionWithRetry((tx) => tx.$series.next(series))
      await untilBlocked(database.url)
      await passing()
      await holder.query('COMMIT')
      await next
      expect(
        of('wait')
          .filter(({ kind }) => kind === 'row')
          .at(-1),
      ).toMatchObject({
        operation: '$series.next',
        key: series,
      })
    })

    test('for a row: the item of a reservation that another transaction has locked', async () => {
      const { db, of } = await withErp()
      const { item, name } = await newItem(10)
      const lock = 'SELECT 1 FROM "Stock" WHERE "productId" = $1 FOR UPDATE'
      const holder = await openTransaction(database.url, lock, [item.productId])
      const reservation = { transactionId: key(), item, quantity: 1, expiresIn: 60_000 }
      const reserving = db.$transactionWithRetry((tx) => tx.$stock.reserve(reservation))
      await untilBlocked(database.url)
      await passing()
      await holder.query('COMMIT')
      await reserving
      expect(of('wait').filter(({ kind }) => kind === 'row')).toMatchObject([
        { operation: '$stock.reserve', key: name },
      ])
    })

    test('for a connection, where all are in use', async () => {
      const { db, of } = await connected({ poolSize: 1 })
      const held = gate()
      const going = gate()
      const first = db.$transactionWithRetry(async () => {
        held.open()
        await going.opened
      })
      await held.opened
      const before = of('wait').length
      const second = db.$transactionWithRetry(async () => {})
      await passing(5)
      going.open()
      await Promise.all([first, second])
      const [wait] = of('wait').slice(before)
      expect(wait).toMatchObject({ kind: 'connection', operation: '$transactionWithRetry' })
      expect(wait?.ms).toBeGreaterThan(4)
    })
  })

  test('calls that go as one are a batch, with the numbers of the calls', async () => {
    const { db, of, events } = await withErp()
    const { item } = await newItem(10)
    await Promise.all([1, 2, 3].map(() => db.$stock.move({ transactionId: key(), item, quantity: -1 })))
    expect(of('batch')).toMatchObject([{ operation: '$stock.move', size: 3, ms: expect.any(Number) }])
    expect(new Set(of('batch')[0]?.calls).size).toBe(3)
    expect(of('batch')[0]?.call).toBe(of('batch')[0]?.calls[0])
    expect(events.every(({ call }) => call > 0)).toBe(true)
  })

  describe('replay', () => {
    test('of an operation, with its scope and key', async () => {
      const { db, of } = await connected()
      const call = { key: key(), scope: 'test' }
      await db.$idempotent(call, async () => 'done')
      expect(of('replay')).toEqual([])
      await db.$idempotent(call, async () => 'done')
      expect(of('replay')).toMatchObject([{ operation: '$idempotent', key: JSON.stringify(['test', call.key]) }])
    })

    test('of a job that has run in its period', async () => {
      const { db, of } = await connected()
      const job = { job: key(), period: '2026-11-29' }
      await db.$oncePer(job, async () => {})
      await db.$oncePer(job, async () => {})
      expect(of('replay')).toMatchObject([{ operation: '$oncePer' }])
    })

    test('of a movement, of serials and of a number, with the transaction id', async () => {
      const { db, of } = await withErp()
      const { item } = await newItem(10)
      const transactionId = key()
      const productId = await product()
      await db.$serials.import({ transactionId: key(), data: { productId }, numbers: [key()] })
      for (let run = 0; run < 2; run++) {
        await db.$stock.move({ transactionId, item, quantity: -1 })
        await db.$serials.allocate({ transactionId, where: { productId }, count: 1 })
        await db.$series.next('ticket', { transactionId })
      }
      expect(of('replay').map(({ operation, key }) => [operation, key])).toEqual([
        ['$stock.move', transactionId],
        ['$serials.allocate', transactionId],
        ['$series.next', transactionId],
      ])
    })

    test('is not taken from the result of a body', async () => {
      const { db, of } = await connected()
      await db.$transactionWithRetry(async () => ({ replayed: true }))
      await db.$withAdvisoryLock(key(), async () => ({ replayed: true }))
      expect(of('replay')).toEqual([])
    })
  })

  describe('refusal', () => {
    test('of a movement for which there is not enough', async () => {
      const { db, of } = await withErp()
      const { item, name } = await newItem(1)
      await rejectionOf(db.$stock.move({ transactionId: key(), item, quantity: -2 }))
      expect(of('refusal')).toMatchObject([{ operation: '$stock.move', code: 'INSUFFICIENT_STOCK', key: name }])
    })

    test('is told once, by the call that was refused, though its transaction fails with it', async () => {
      const { db, of } = await withErp()
      const { item } = await newItem(1)
      const move = { transactionId: key(), item, quantity: -2 }
      await rejectionOf(db.$transactionWithRetry((tx) => tx.$stock.move(move)))
      expect(of('refusal')).toMatchObject([{ operation: '$stock.move' }])
    })

    test('of a key that came with another request', async () => {
      const { db, of } = await connected()
      const call = { key: key(), scope: 'test' }
      await db.$idempotent({ ...call, request: 1 }, async () => {})
      await rejectionOf(db.$idempotent({ ...call, request: 2 }, async () => {}))
      expect(of('refusal')).toMatchObject([{ operation: '$idempotent', code: 'IDEMPOTENCY_MISMATCH' }])
    })
  })

  describe('locks', () => {
    test('a lock that is acquired is told, with the time that it took', async () => {
      const { db, of } = await connected()
      const lock = key()
      await db.$withAdvisoryLock(lock, async () => {})
      await db.$transactionWithRetry((tx) => tx.$advisoryXactLock(lock))
      await db.$transactionWithRetry((tx) => tx.$tryAdvisoryXactLock(lock))
      expect(of('lock-acquired').map(({ operation, key }) => [operation, key])).toEqual(
        ['$withAdvisoryLock', '$advisoryXactLock', '$tryAdvisoryXactLock'].map((each) => [
          each,
          JSON.stringify([lock]),
        ]),
      )
      expect(of('lock-lost')).toEqual([])
    })

    test('a lock is lost when its body takes too long', async () => {
      const { db, of } = await connected()
      const lock = key()
      const never = gate()
      await rejectionOf(db.$withAdvisoryLock(lock, () => never.opened, { bodyTimeout: 20 }))
      expect(of('lock-lost')).toMatchObject([{ operation: '$withAdvisoryLock', key: JSON.stringify([lock]) }])
    })

    test('a lock is lost when the connection of its body is', async () => {
      const { db, of } = await connected()
      const call = db.$withAdvisoryLock(key(), async (tx) => {
        const [session] = await rows(tx, 'SELECT pg_backend_pid() AS pid')
        await database.query('SELECT pg_terminate_backend($1)', [session?.pid])
        await rows(tx, 'SELECT 1')
      })
      await rejectionOf(call)
      expect(of('lock-lost')).toHaveLength(1)
    })

    test('a lock is not lost when its body fails', async () => {
      const { db, of } = await connected()
      await rejectionOf(db.$withAdvisoryLock(key(), async () => Promise.reject(new Error('no'))))
      expect(of('lock-lost')).toEqual([])
    })
  })

  describe('a lost answer to COMMIT', () => {
    test('is verified: it was committed', async () => {
      const proxy = await openProxy(database.url)
      const { db, of } = await connected({ url: proxy.url })
      proxy.next(/^COMMIT/, 'drop')
      await db.$transactionWithRetry((tx) => insert(tx, { text: key() }))
      expect(of('commit-verified')).toMatchObject([
        { operation: '$transactionWithRetry', outcome: 'committed', ms: expect.any(Number) },
      ])
    })

    test('is verified: it was not committed, and is tried again', async () => {
      const proxy = await openProxy(database.url)
      const { db, of } = await connected({ url: proxy.url })
      proxy.next(/^COMMIT/, 'cut')
      await db.$transactionWithRetry((tx) => insert(tx, { text: key() }))
      expect(of('commit-verified')).toMatchObject([{ outcome: 'aborted' }])
      expect(of('retry')).toMatchObject([{ reason: 'connection' }])
    })

    test('stays unknown where the server cannot tell', async () => {
      const proxy = await openProxy(database.url)
      const { db, of } = await connected({ url: proxy.url })
      const id = await product()
      const holder = await openTransaction(database.url, 'SELECT 1 FROM "Product" WHERE id = $1 FOR UPDATE', [id])
      const text = atCommit(`SELECT 1 FROM "Product" WHERE id = ${id} FOR UPDATE`).text
      const commit = proxy.next(/^COMMIT/, 'abandon')
      const pass = passingTimers()
      const call = started(db.$transactionWithRetry((tx) => insert(tx, { text }), { retry: { deadline: 60_000 } }))
      await commit.happened
      pass(60_001)
      expect(await rejectionOf(call)).toHaveProperty('code', 'OUTCOME_UNKNOWN')
      await holder.query('ROLLBACK')
      expect(of('outcome-unknown')).toMatchObject([{ operation: '$transactionWithRetry' }])
    })
  })

  describe('deadline', () => {
    test('of a call, as the caller gave it, and what it waited for', async () => {
      const { db, of } = await connected()
      const [never, begun] = [gate(), gate()]
      const pass = passingTimers()
      const body = () => {
        begun.open()
        return never.opened
      }
      const call = rejectionOf(db.$transactionWithRetry(body, { retry: { deadline: 60_000 } }))
      await begun.opened
      pass(60_001)
      await call
      expect(of('deadline')).toMatchObject([{ ms: 60_000, waitedFor: 'the body of the transaction' }])
    })

    test('of a lock', async () => {
      const { db, of } = await connected()
      const lock = key()
      await lockElsewhere(database.url, JSON.stringify([lock]))
      await db.$withAdvisoryLock(key(), async () => {}) // it is connected, and knows the locks of this engine
      await rejectionOf(db.$withAdvisoryLock(lock, async () => {}, { timeout: 1_000 }))
      expect(of('deadline')).toMatchObject([{ ms: 1_000, waitedFor: 'the lock', key: JSON.stringify([lock]) }])
    })

    test('that ends a call between two attempts, though its error is that of the last one', async () => {
      const { db, of } = await connected()
      const conflict = (tx: object) => rows(tx, `DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$`)
      const retry = { deadline: 1_500, baseDelay: 1e9, maxDelay: 1e9 }
      await db.$transactionWithRetry(async () => {}) // it is connected
      await rejectionOf(db.$transactionWithRetry(conflict, { retry }))
      expect(of('deadline')).toMatchObject([{ ms: 1_500, waitedFor: 'another attempt' }])
    })
  })
})
