import { describe, expect, test } from 'vitest'
import { setupOf } from '../../src/engine/setup.js'
import { ownershipFlaws } from '../../src/serials/audit.js'
import type { SerialsMap } from '../../src/serials/mapping.js'
import { useCompanySerials } from '../support/company-serials.js'
import { describeEngines } from '../support/engines.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'

describeEngines((engine) => {
  const { database, other } = engine
  const { open, newProduct, owners, noted, newCompany, newId } = useCompanySerials(engine)
  const numbersOf = ({ serials }: { readonly serials: readonly { readonly number: string }[] }) =>
    serials.map(({ number }) => number)

  describe('a call of one company', () => {
    test('takes serials of that company, and says nothing of the others', async () => {
      const { db } = await open()
      const [mine, theirs] = [newCompany(), newCompany()]
      const productId = await newProduct(2, mine, theirs)
      const [transactionId, orderId] = [newId(), 7]

      const taken = await db.$serials.allocate({
        scope: { companyId: mine },
        transactionId,
        where: { productId },
        count: 2,
        data: { orderId },
      })

      expect(taken).toEqual({
        serials: ['S-001', 'S-002'].map((number) => ({
          companyId: mine,
          productId,
          number,
          transactionId,
          orderId,
          changes: 0,
        })),
        replayed: false,
      })
      expect(await owners(productId)).toEqual({
        [`${mine} S-001`]: transactionId,
        [`${mine} S-002`]: transactionId,
        [`${theirs} S-001`]: null,
        [`${theirs} S-002`]: null,
      })
      expect(await db.$serials.in({ companyId: mine }).free({ productId })).toBe(0)
      expect(await db.$serials.free({ productId, scope: { companyId: theirs } })).toBe(2)
    })

    test('is another request than one of another company under the same transaction id', async () => {
      const { db } = await open()
      const [mine, theirs] = [newCompany(), newCompany()]
      const productId = await newProduct(3, mine, theirs)
      const transactionId = newId()
      const own = db.$serials.in({ companyId: mine })

      const first = await own.allocate({ transactionId, where: { productId }, count: 1 })
      const second = await db.$serials
        .in({ companyId: theirs })
        .allocate({ transactionId, where: { productId }, count: 2 })
      const again = await own.allocate({ transactionId, where: { productId }, count: 1 })

      expect([first.replayed, second.replayed, again.replayed]).toEqual([false, false, true])
      expect(again.serials).toEqual(first.serials)
      expect(numbersOf(second)).toEqual(['S-001', 'S-002'])
      expect(await noted(transactionId)).toHaveLength(2)
    })

    test('that comes with another request is a mismatch in its company alone', async () => {
      const { db } = await open()
      const company = newCompany()
      const productId = await newProduct(3, company)
      const own = db.$serials.in({ companyId: company })
      const transactionId = newId()
      await own.allocate({ transactionId, where: { productId }, count: 1 })

      const error = await rejectionOf(own.allocate({ transactionId, where: { productId }, count: 2 }))

      expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['count'] })
      expect(await own.free({ productId })).toBe(2)
    })

    test('that is refused leaves nothing', async () => {
      const { db } = await open()
      const [mine, theirs] = [newCompany(), newCompany()]
      const productId = await newProduct(1, mine, theirs)
      const transactionId = newId()

      const call = { transactionId, where: { productId }, count: 2 }
      const error = await rejectionOf(db.$serials.in({ companyId: mine }).allocate(call))

      expect(error).toMatchObject({ code: 'INSUFFICIENT_SERIALS', free: 1 })
      expect(await noted(transactionId)).toEqual([])
      expect(new Set(Object.values(await owners(productId)))).toEqual(new Set([null]))
    })

    test('releases, imports and fills up what is of that company', async () => {
      const { db } = await open()
      const [mine, theirs] = [newCompany(), newCompany()]
      const productId = await newProduct(2, mine, theirs)
      const transactionId = newId()
      const call = { transactionId, where: { productId }, count: 2 }
      const [own, their] = [db.$serials.in({ companyId: mine }), db.$serials.in({ companyId: theirs })]
      await own.allocate(call)
      await their.allocate(call)

      expect(await own.release({ transactionId, numbers: ['S-001'] })).toEqual({ released: 1 })
      expect(await own.release({ transactionId: newId() })).toEqual({ released: 0 })
      const delivery = { transactionId: newId(), data: { productId }, numbers: ['S-003'] }
      expect(await own.import(delivery)).toEqual({ imported: 1, replayed: false })
      expect(await own.import(delivery)).toEqual({ imported: 1, replayed: true })
      expect(await their.import({ ...delivery, numbers: ['S-004'] })).toEqual({ imported: 1, replayed: false })

      expect(await owners(productId)).toEqual({
        [`${mine} S-001`]: null,
        [`${mine} S-002`]: transactionId,
        [`${mine} S-003`]: null,
        [`${theirs} S-001`]: transactionId,
        [`${theirs} S-002`]: transactionId,
        [`${theirs} S-004`]: null,
      })
    })

    test('is part of the transaction that it is called in', async () => {
      const { db } = await open()
      const company = newCompany()
      const productId = await newProduct(3, company)
      const transactionId = newId()
      const call = { transactionId, where: { productId }, count: 2 }

      const undone = db.$transactionWithRetry(async (tx) => {
        await tx.$serials.in({ companyId: company }).allocate(call)
        throw new Error('rolled back')
      })
      expect(await rejectionOf(undone)).toMatchObject({ message: 'rolled back' })
      expect(await noted(transactionId)).toEqual([])

      const done = db.$transactionWithRetry((tx) => tx.$serials.allocate({ ...call, scope: { companyId: company } }))
      expect(await done).toMatchObject({ replayed: false })
      expect(await db.$serials.in({ companyId: company }).allocate(call)).toMatchObject({ replayed: true })
    })

    test('whose answer is lost is answered, and takes nothing a second time', async () => {
      const proxy = await openProxy(database.url)
      const { db } = await open(undefined, { url: proxy.url })
      const [mine, theirs] = [newCompany(), newCompany()]
      const productId = await newProduct(4, mine, theirs)
      const call = { transactionId: newId(), where: { productId }, count: 2 }
      await db.$serials.in({ companyId: theirs }).allocate(call)
      proxy.next(/^WITH[\s\S]*SKIP LOCKED/, 'drop')

      const taken = await db.$serials.in({ companyId: mine }).allocate(call)

      expect(numbersOf(taken)).toEqual(['S-001', 'S-002'])
      expect(await db.$serials.in({ companyId: mine }).free({ productId })).toBe(2)
    })
  })

  describe('calls of several companies', () => {
    test('at once are one batch, each with its own serials, replays and refusals', async () => {
      const { db } = await open()
      const companies = [newCompany(), newCompany(), newCompany()]
      const productId = await newProduct(2, ...companies)
      const transactionId = newId()
      const take = (companyId: number, count: number) =>
        db.$serials.in({ companyId }).allocate({ transactionId, where: { productId }, count })
      const [a = 0, b = 0, c = 0] = companies
      await take(a, 2)

      const [replay, fresh, refused] = await Promise.allSettled([take(a, 2), take(b, 2), take(c, 3)])

      expect(replay).toMatchObject({ value: { replayed: true, serials: [{ companyId: a }, { companyId: a }] } })
      expect(fresh).toMatchObject({ value: { replayed: false, serials: [{ companyId: b }, { companyId: b }] } })
      expect(refused).toMatchObject({ reason: { code: 'INSUFFICIENT_SERIALS', free: 2 } })
    })

    test('at once under one transaction id take as much as there is, where fewer will do', async () => {
      const { db } = await open()
      const companies = [newCompany(), newCompany()]
      const productId = await newProduct(2, ...companies)
      const transactionId = newId()
      const take = (companyId: number) =>
        db.$serials.in({ companyId }).allocate({ transactionId, where: { productId }, count: 5, partial: true })

      const taken = await Promise.all(companies.map(take))
      const again = await Promise.all(companies.map(take))

      expect(taken.map(({ serials }) => serials.length)).toEqual([2, 2])
      expect(again).toEqual(taken.map(({ serials }) => ({ serials, replayed: true })))
    })

    test('of both engines at once give no serial twice, and leave what adds up', async () => {
      const { db } = await open()
      const { db: their } = await open(other)
      const companies = [newCompany(), newCompany()]
      const productId = await newProduct(40, ...companies)
      const ids = Array.from({ length: 20 }, newId)
      const calls = ids.flatMap((transactionId, i) =>
        companies.flatMap((companyId) =>
          [db, their].map((each) =>
            each.$serials.in({ companyId }).allocate({ transactionId, where: { productId }, count: 1 + (i % 2) }),
          ),
        ),
      )

      const taken = await Promise.all(calls)

      const owned = Object.values(await owners(productId)).filter((owner) => owner !== null)
      expect(owned).toHaveLength(2 * 30)
      expect(taken.filter(({ replayed }) => !replayed)).toHaveLength(40)
      const setup = setupOf(db)
      const map = setup?.features[0]?.map as SerialsMap
      const flaws = []
      for await (const flaw of ownershipFlaws(setup?.session as never, map)) flaws.push(flaw)
      expect(flaws).toEqual([])
    })
  })

  test('audit names the company of a transaction id that has more than it took', async () => {
    const { db } = await open()
    const [mine, theirs] = [newCompany(), newCompany()]
    const productId = await newProduct(2, mine, theirs)
    const call = { transactionId: newId(), where: { productId }, count: 1 }
    await db.$serials.in({ companyId: mine }).allocate(call)
    await db.$serials.in({ companyId: theirs }).allocate(call)
    await database.query(
      `UPDATE "CompanySerial" SET "transactionId" = $1 WHERE "companyId" = $2 AND "productId" = $3`,
      [call.transactionId, theirs, productId],
    )

    const setup = setupOf(db)
    const flaws = []
    for await (const flaw of ownershipFlaws(setup?.session as never, setup?.features[0]?.map as SerialsMap))
      flaws.push(flaw)

    expect(flaws).toEqual([{ scope: [String(theirs)], transactionId: call.transactionId, serials: 2, allocated: 1 }])
    await db.$serials.in({ companyId: theirs }).release({ transactionId: call.transactionId })
  })

  describe('nothing is sent', () => {
    const call = { transactionId: 'some id', where: { productId: 1 }, count: 1 }
    test.each<[field: string, scope: unknown]>([
      ['scope.companyId', undefined],
      ['scope.companyId', {}],
      ['scope.companyId', { companyId: null }],
      ['scope.companyId', { companyId: '7' }],
      ['scope.companyId', { companyId: 1.5 }],
      ['scope.companyId', { companyId: 2 ** 31 }],
      ['scope.tenantId', { companyId: 1, tenantId: 2 }],
    ])('where %s is wrong in %j', async (field, scope) => {
      const { db } = await open()
      const calls: [(args: never) => Promise<unknown>, object][] = [
        [db.$serials.allocate, call],
        [db.$serials.release, { transactionId: 'some id' }],
        [db.$serials.import, { transactionId: 'some id', numbers: ['x'], data: { productId: 1 } }],
        [db.$serials.free, { productId: 1 }],
        [db.$serials.prune, { forgetBefore: '2026-01-31' }],
        [
          (db.$serials as unknown as { history(serial: object): Promise<unknown> }).history,
          { productId: 1, number: 'x' },
        ],
      ]
      for (const [method, args] of calls) {
        const given = scope === undefined ? args : { ...args, scope }
        expect(await rejectionOf(method(given as never))).toMatchObject({ code: 'INVALID_ARGUMENT', field })
      }
      expect(() => db.$serials.in(scope as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', field }))
      expect(await noted('some id')).toEqual([])
    })

    test('where a scope is given twice, or as a value of the call', async () => {
      const { db } = await open()
      const own = db.$serials.in({ companyId: 1 })
      expect(await rejectionOf(own.allocate({ ...call, scope: { companyId: 2 } } as never))).toMatchObject({
        field: 'scope',
      })
      const where = { productId: 1, companyId: 2 }
      expect(await rejectionOf(own.allocate({ ...call, where } as never))).toMatchObject({ field: 'where.companyId' })
      const imported = own.import({ transactionId: 'some id', data: where, numbers: ['x'] } as never)
      expect(await rejectionOf(imported)).toMatchObject({ field: 'data.companyId' })
    })
  })
})
