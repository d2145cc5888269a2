import { randomInt } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { serials } from '../../src/pg.js'
import { serials as prismaSerials } from '../../src/serials/extension.js'
import { COMPANY_SERIALS, type CompanySerialRow } from '../support/company-serials.js'
import { type CheckedClient, useDevices } from '../support/devices.js'
import { describeEngines } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'

describeEngines(({ connect, database, name, other }) => {
  const { brief, flawsOf, newId, newProduct, open } = useDevices({ connect, database, name })

  describe('the history of a serial', () => {
    test('has each owner with the values of that time, and when the serial was free again', async () => {
      const db = await open()
      const productId = await newProduct(2)
      const [first, second] = [newId(), newId()]
      const call = { where: { productId }, numbers: ['S-1'] }
      await db.$serials.allocate({ transactionId: first, ...call, data: { orderId: 1 } })
      await db.$serials.release({ transactionId: first })
      await db.$serials.allocate({ transactionId: second, where: { productId }, count: 2, data: { orderId: 2 } })

      const changes = await db.$serials.history({ productId, number: 'S-1' })

      expect(brief(changes)).toEqual([
        [1, first, 1, 'ALLOCATED'],
        [2, null, null, 'FREE'],
        [3, second, 2, 'ALLOCATED'],
      ])
      const moments = changes.map(({ changedAt }) => (changedAt as Date).getTime())
      expect(moments).toEqual([...moments].sort((a, b) => a - b))
      expect(Math.abs(Date.now() - (moments[0] ?? 0))).toBeLessThan(600_000)
      expect(brief(await db.$serials.history({ productId, number: 'S-2' }))).toEqual([[1, second, 2, 'ALLOCATED']])
      expect(await flawsOf(db)).toEqual([])
    })

    test('comes in pages, each behind the change that was last seen', async () => {
      const db = await open()
      const productId = await newProduct(1)
      for (let i = 0; i < 3; i++) {
        const transactionId = newId()
        await db.$serials.allocate({ transactionId, where: { productId }, count: 1 })
        await db.$serials.release({ transactionId })
      }
      const serial = { productId, number: 'S-1' }
      const page = async (after: number) =>
        (await db.$serials.history(serial, { after, limit: 4 })).map(({ sequence }) => sequence)

      expect([await page(0), await page(4), await page(6)]).toEqual([[1, 2, 3, 4], [5, 6], []])
    })

    test('has nothing of a replay, of a refusal, and of what is rolled back', async () => {
      const db = await open()
      const productId = await newProduct(1)
      const call = { transactionId: newId(), where: { productId }, count: 1 }
      await rejectionOf(
        db.$transactionWithRetry(async (tx) => {
          await tx.$serials.allocate(call)
          throw new Error('rolled back')
        }),
      )
      await rejectionOf(db.$serials.allocate({ ...call, count: 2 }))
      await db.$serials.allocate(call)
      await db.$serials.allocate(call)
      await db.$serials.release({ transactionId: newId() })

      expect(brief(await db.$serials.history({ productId, number: 'S-1' }))).toEqual([
        [1, call.transactionId, null, 'ALLOCATED'],
      ])
      expect(await flawsOf(db)).toEqual([])
    })

    test('shows no change before those that came before it, however late they commit', async () => {
      const db = await open()
      const productId = await newProduct(1)
      const [first, second] = [newId(), newId()]
      await db.$serials.allocate({ transactionId: first, where: { productId }, count: 1 })
      // The release is open while the next allocation waits for its serial, so it must have the lower sequence.
      const end = gate()
      const released = db.$transactionWithRetry(async (tx) => {
        await tx.$serials.release({ transactionId: first })
        await end.wait()
      })
      await Promise.race([end.arrived(), released])
      const serial = { productId, number: 'S-1' }
      const waiting = Promise.allSettled([
        db.$serials.allocate({ transactionId: second, where: { productId }, numbers: ['S-1'] }),
      ])
      const before = await db.$serials.history(serial)
      end.open()
      await released
      const [taken] = await waiting
      const again = () => db.$serials.allocate({ transactionId: second, where: { productId }, numbers: ['S-1'] })
      // Seen from before the release the serial was not free, which is a refusal that is true.
      if (taken?.status === 'rejected') await again()

      expect(brief(before)).toEqual([[1, first, null, 'ALLOCATED']])
      expect(brief(await db.$serials.history(serial, { after: 1 }))).toEqual([
        [2, null, null, 'FREE'],
        [3, second, null, 'ALLOCATED'],
      ])
    })

    test('has a change once whose answer was lost', async () => {
      const proxy = await openProxy(database.url)
      const db = await open(name, proxy.url)
      const productId = await newProduct(1)
      await db.$serials.free({ productId })
      proxy.next(/^WITH[\s\S]*SKIP LOCKED/, 'drop')
      const transactionId = newId()
      await db.$serials.allocate({ transactionId, where: { productId }, count: 1 })

      expect(brief(await db.$serials.history({ productId, number: 'S-1' }))).toEqual([
        [1, transactionId, null, 'ALLOCATED'],
      ])
    })

    test('adds up after a storm of both engines', async () => {
      const [db, their] = [await open(), await open(other)]
      const productId = await newProduct(10)
      const round = async (each: typeof db, i: number) => {
        const transactionId = newId()
        const picked = {
          numbers: [`S-${1 + (i % 10)}`, `S-${1 + ((i * 7 + 3) % 10)}`].filter((n, k, all) => all.indexOf(n) === k),
        }
        const call = { transactionId, where: { productId }, ...(i % 2 === 0 ? picked : { count: 2 }) }
        const taken = await each.$serials.allocate(call as never).then(
          () => true,
          (error: { code: string }) => error.code,
        )
        if (taken === true) await each.$serials.release({ transactionId })
        return taken
      }
      const outcomes = await Promise.all(Array.from({ length: 60 }, (_, i) => round(i % 3 === 0 ? their : db, i)))

      const codes = new Set(outcomes)
      codes.delete('SERIALS_UNAVAILABLE')
      codes.delete('INSUFFICIENT_SERIALS')
      expect(codes).toEqual(new Set([true]))
      expect(await flawsOf(db)).toEqual([])
      expect(await db.$serials.free({ productId })).toBe(10)
    })

    test('is not asked for with a wrong key or page', async () => {
      const db = await open()
      const wrong: [string, unknown, unknown?][] = [
        ['serial', undefined],
        ['serial.number', { productId: 1 }],
        ['serial.productId', { number: 'S-1' }],
        ['serial.orderId', { productId: 1, number: 'S-1', orderId: 1 }],
        ['after', { productId: 1, number: 'S-1' }, { after: -1 }],
        ['limit', { productId: 1, number: 'S-1' }, { limit: 0 }],
        ['limit', { productId: 1, number: 'S-1' }, { limit: 1_001 }],
      ]
      for (const [field, serial, options] of wrong) {
        const error = await rejectionOf(db.$serials.history(serial as never, options as never))
        expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
      }
    })

    test('is that of one company, where there is a scope', async () => {
      const { db: plain } = await connect()
      const options = { ...COMPANY_SERIALS, history: { model: 'CompanySerialHistory' } } as const
      const onPg = () => plain.$extends(serials<CompanySerialRow, 'companyId'>(options))
      const db = (name === 'pg' ? onPg() : plain.$extends(prismaSerials(options) as never)) as ReturnType<typeof onPg>
      const [mine, theirs, productId] = [randomInt(1, 2 ** 31), randomInt(1, 2 ** 31), randomInt(1, 2 ** 31)]
      const serial = { productId, number: 'S-1' }
      const transactionId = newId()
      for (const companyId of [mine, theirs]) {
        const own = db.$serials.in({ companyId })
        await own.import({ transactionId: newId(), data: { productId }, numbers: ['S-1'] })
        await own.allocate({ transactionId, where: { productId }, numbers: ['S-1'] })
      }
      await db.$serials.in({ companyId: theirs }).release({ transactionId })

      const changes = await db.$serials.in({ companyId: mine }).history(serial)
      expect(changes).toMatchObject([{ companyId: mine, productId, number: 'S-1', transactionId, sequence: 1 }])
      expect(await db.$serials.history({ ...serial, scope: { companyId: theirs } }, { after: 1 })).toMatchObject([
        { companyId: theirs, transactionId: null, sequence: 2 },
      ])
      expect(await flawsOf(db)).toEqual([])
    })
  })

  describe('states', () => {
    test('only serials in the free state are allocated, counted and found by number', async () => {
      const db = await open()
      const productId = await newProduct(3)
      await database.query(`UPDATE "Device" SET state = 'BLOCKED' WHERE "productId" = $1 AND number = 'S-1'`, [
        productId,
      ])

      expect(await db.$serials.free({ productId })).toBe(2)
      const take = (transactionId: string) => db.$serials.allocate({ transactionId, where: { productId }, count: 1 })
      expect((await take(newId())).serials).toMatchObject([{ number: 'S-2', state: 'ALLOCATED' }])
      const blocked = { transactionId: newId(), where: { productId }, numbers: ['S-1', 'S-3'] }
      expect(await rejectionOf(db.$serials.allocate(blocked))).toMatchObject({ taken: ['S-1'], missing: [] })
      expect((await take(newId())).serials).toMatchObject([{ number: 'S-3' }])
      expect(await rejectionOf(take(newId()))).toMatchObject({ code: 'INSUFFICIENT_SERIALS', free: 0 })
    })

    test('release gives a serial the free state, or the one of its data', async () => {
      const db = await open()
      const productId = await newProduct(2)
      const transactionId = newId()
      await db.$serials.allocate({ transactionId, where: { productId }, count: 2, data: { orderId: 1 } })

      await db.$serials.release({ transactionId, numbers: ['S-1'], data: { state: 'BLOCKED', orderId: 9 } })
      await db.$serials.release({ transactionId })

      const rows = await database.query(
        'SELECT number, "transactionId", "orderId", state FROM "Device" WHERE "productId" = $1 ORDER BY 1',
        [productId],
      )
      expect(rows).toEqual([
        { number: 'S-1', transactionId: null, orderId: 9, state: 'BLOCKED' },
        { number: 'S-2', transactionId: null, orderId: null, state: 'FREE' },
      ])
      expect(await db.$serials.free({ productId })).toBe(1)
      expect(brief(await db.$serials.history({ productId, number: 'S-1' }))).toEqual([
        [1, transactionId, 1, 'ALLOCATED'],
        [2, null, 9, 'BLOCKED'],
      ])
    })

    test('the states of an owner are set by nobody else', async () => {
      const db = await open()
      const allocated = { transactionId: newId(), where: { productId: 1 }, count: 1, data: { state: 'BLOCKED' } }
      expect(await rejectionOf(db.$serials.allocate(allocated))).toMatchObject({ field: 'data.state' })
      const released = db.$serials.release({ transactionId: newId(), data: { state: 'ALLOCATED' } })
      expect(await rejectionOf(released)).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'data.state' })
      const imported = { transactionId: newId(), data: { productId: 1, state: 'ALLOCATED' }, numbers: ['S-1'] }
      expect(await rejectionOf(db.$serials.import(imported))).toMatchObject({ field: 'data.state' })
      const counted = db.$serials.release({ transactionId: newId(), data: { changes: 7 } })
      expect(await rejectionOf(counted)).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'data.changes' })
    })
  })

  test('doctor finds the tables and keys of the history, and misses a key that is gone', async () => {
    const db = await open()
    const found = async () =>
      (await (db as unknown as CheckedClient).$checkConcurrency()).flatMap(({ code, where }) =>
        /Device/.test(where) ? [[code, where]] : [],
      )

    expect(await found()).toEqual([])
    await database.query('ALTER TABLE "DeviceHistory" DROP CONSTRAINT "DeviceHistory_pkey"')
    expect(await found()).toEqual([['KEY_MISSING', '"public"."DeviceHistory" ("number", "productId", "sequence")']])
    await database.query(
      'ALTER TABLE "DeviceHistory" ADD CONSTRAINT "DeviceHistory_pkey" PRIMARY KEY ("productId", number, sequence)',
    )
  })

  test('the audit names serials whose history or state is not that of their owner', async () => {
    const db = await open()
    const productId = await newProduct(3)
    const transactionId = newId()
    await db.$serials.allocate({ transactionId, where: { productId }, count: 2 })
    await database.query(`UPDATE "Device" SET "transactionId" = NULL WHERE "productId" = $1 AND number = 'S-1'`, [
      productId,
    ])
    await database.query(`DELETE FROM "DeviceHistory" WHERE "productId" = $1 AND number = 'S-2'`, [productId])

    expect(await flawsOf(db)).toEqual([
      { serial: { productId: String(productId), number: 'S-1' }, history: true, state: true },
      { serial: { productId: String(productId), number: 'S-2' }, history: true, state: false },
    ])
    await database.query(`DELETE FROM "Device" WHERE "productId" = $1`, [productId])
  })
})
