import { expect, test } from 'vitest'
import { useCompanySerials } from '../support/company-serials.js'
import { openTransaction } from '../support/connection.js'
import { useDevices } from '../support/devices.js'
import { describeEngines } from '../support/engines.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const [OLD, LATER] = ['2020-01-01', '2021-01-01']

describeEngines((engine) => {
  const { database, name, other } = engine
  const { brief, flawsOf, newId, newProduct, open: openDevices } = useDevices(engine)
  /** Without what the tests before have left that is old. */
  const open = async (...of: Parameters<typeof openDevices>) => {
    const db = await openDevices(...of)
    await db.$serials.prune({ forgetBefore: LATER, changesBefore: LATER })
    return db
  }
  type Db = Awaited<ReturnType<typeof open>>
  /** As if they had been called long ago. */
  const age = async (...ids: readonly string[]) => {
    await database.query('UPDATE "DeviceAllocation" SET "createdAt" = $2 WHERE "transactionId" = ANY($1)', [ids, OLD])
  }
  const ageChanges = (productId: number, upTo: number) =>
    database.query('UPDATE "DeviceHistory" SET "changedAt" = $3 WHERE "productId" = $1 AND sequence <= $2', [
      productId,
      upTo,
      OLD,
    ])
  const noted = async (...ids: readonly string[]) => {
    const rows = await database.query(
      'SELECT "transactionId" AS id FROM "DeviceAllocation" WHERE "transactionId" = ANY($1)',
      [ids],
    )
    return rows.map(({ id }) => id).sort()
  }
  const sequencesOf = async (db: Db, productId: number) =>
    (await db.$serials.history({ productId, number: 'S-1' })).map(({ sequence }) => sequence)
  /** An allocation of so many serials, made long ago. */
  const allocated = async (db: Db, productId: number, count = 1) => {
    const transactionId = newId()
    await db.$serials.allocate({ transactionId, where: { productId }, count, data: { orderId: 1 } })
    await age(transactionId)
    return transactionId
  }
  const givenBack = async (db: Db, productId: number) => {
    const transactionId = await allocated(db, productId)
    await db.$serials.release({ transactionId })
    return transactionId
  }

  test('transaction ids without serials are forgotten, and one that has a serial stays, however old', async () => {
    const db = await open()
    const productId = await newProduct(3)
    const [held, part, over] = [await allocated(db, productId), await allocated(db, productId, 2), newId()]
    await db.$serials.release({ transactionId: part, numbers: ['S-2'] })
    const imported = newId()
    const importing = { transactionId: imported, data: { productId }, numbers: ['S-9'] }
    await db.$serials.import(importing)
    const call = { transactionId: over, where: { productId }, count: 1 }
    await db.$serials.allocate(call)
    await db.$serials.release({ transactionId: over })
    expect(await db.$serials.prune({ forgetBefore: LATER })).toEqual({ allocations: 0, changes: 0 })
    await age(over, imported)

    expect(await db.$serials.prune({ forgetBefore: LATER })).toEqual({ allocations: 2, changes: 0 })

    expect(await noted(held, part, over, imported)).toEqual([held, part].sort())
    expect(
      await db.$serials.allocate({ transactionId: held, where: { productId }, count: 1, data: { orderId: 1 } }),
    ).toMatchObject({
      replayed: true,
    })
    expect(await rejectionOf(db.$serials.import(importing))).toMatchObject({ code: 'DUPLICATE_SERIALS' })
    expect(await db.$serials.release({ transactionId: over })).toEqual({ released: 0 })
    expect(await db.$serials.allocate(call)).toMatchObject({ replayed: false })
    // Its allocation still knows which values it had set, when its serials come back.
    await db.$serials.release({ transactionId: held })
    const rows = await database.query('SELECT "orderId" FROM "Device" WHERE "productId" = $1 AND number = $2', [
      productId,
      'S-1',
    ])
    expect(rows).toEqual([{ orderId: null }])
    expect(await flawsOf(db)).toEqual([])
  })

  test('of a history the beginning goes, if that is asked for, and the last change of a serial stays', async () => {
    const db = await open()
    const [productId, still] = [await newProduct(1), await newProduct(1)]
    for (let i = 0; i < 3; i++) await givenBack(db, productId)
    await givenBack(db, still)
    await ageChanges(productId, 4)
    await ageChanges(still, 2)
    const before = await db.$serials.history({ productId, number: 'S-1' })
    expect(await db.$serials.prune({ forgetBefore: LATER })).toEqual({ allocations: 4, changes: 0 })

    expect(await db.$serials.prune({ forgetBefore: LATER, changesBefore: LATER })).toEqual({
      allocations: 0,
      changes: 5,
    })

    expect(brief(await db.$serials.history({ productId, number: 'S-1' }))).toEqual(brief(before.slice(4)))
    expect(await sequencesOf(db, still)).toEqual([2])
    expect(await rejectionOf(db.$serials.history({ productId, number: 'S-1' }, { after: 3 }))).toMatchObject({
      field: 'after',
    })
    expect(await db.$serials.history({ productId, number: 'S-1' }, { after: 4 })).toHaveLength(2)
    expect(await flawsOf(db)).toEqual([])
    await givenBack(db, productId)
    expect(await sequencesOf(db, productId)).toEqual([5, 6, 7, 8])
    await database.query('DELETE FROM "DeviceHistory" WHERE "productId" = $1 AND sequence = 6', [productId])
    expect(await flawsOf(db)).toMatchObject([{ history: true }])
    await database.query('DELETE FROM "Device" WHERE "productId" = $1', [productId])
  })

  test('a change stays behind one that stays, also over pages', async () => {
    const db = await open()
    const productId = await newProduct(1)
    for (let i = 0; i < 3; i++) await givenBack(db, productId)
    await ageChanges(productId, 6)
    // The clock of the server was set back once.
    await database.query('UPDATE "DeviceHistory" SET "changedAt" = now() WHERE "productId" = $1 AND sequence = 3', [
      productId,
    ])

    const pruned = await db.$serials.prune({ forgetBefore: LATER, changesBefore: LATER, batchSize: 1 })

    expect(pruned).toEqual({ allocations: 3, changes: 2 })
    expect(await sequencesOf(db, productId)).toEqual([3, 4, 5, 6])
    expect(await flawsOf(db)).toEqual([])
  })

  test('one in a transaction that rolls back prunes nothing, and another one waits for it', async () => {
    const [db, their] = [await open(), await open(other)]
    const productId = await newProduct(1)
    const ids = [await givenBack(db, productId), await givenBack(db, productId)]
    await ageChanges(productId, 4)
    const all = { forgetBefore: LATER, changesBefore: LATER }
    let pruning: ReturnType<Db['$serials']['prune']> | undefined
    const rolledBack = db.$transactionWithRetry(async (tx) => {
      expect(await tx.$serials.prune(all)).toEqual({ allocations: 2, changes: 3 })
      pruning = started(their.$serials.prune({ ...all, batchSize: 3 }))
      await untilBlocked(database.url)
      throw new Error('back')
    })

    expect(await rejectionOf(rolledBack)).toMatchObject({ message: 'back' })
    expect(await pruning).toEqual({ allocations: 0, changes: 3 })
    expect(await noted(...ids)).toHaveLength(2)
    expect(await their.$serials.prune(all)).toEqual({ allocations: 2, changes: 0 })
    expect(await flawsOf(db)).toEqual([])
  })

  test('a call under way is passed over: one that takes serials, and one that gives them back', async () => {
    const db = await open()
    const productId = await newProduct(2)
    const held = await allocated(db, productId)
    const [taking, over] = [newId(), await givenBack(db, productId)]
    const holder = await openTransaction(
      database.url,
      'SELECT FROM "DeviceAllocation" WHERE "transactionId" = $1 FOR UPDATE',
      [over],
    )
    await db.$transactionWithRetry(async (tx) => {
      await tx.$serials.release({ transactionId: held })
      await tx.$serials.allocate({ transactionId: taking, where: { productId }, count: 1 })
      expect(await db.$serials.prune({ forgetBefore: new Date() })).toMatchObject({ allocations: 0 })
    })
    await holder.query('ROLLBACK')

    expect(await noted(held, taking, over)).toHaveLength(3)
    expect(await db.$serials.prune({ forgetBefore: new Date() })).toMatchObject({ allocations: 2 })
    expect(await noted(held, taking, over)).toEqual([taking])
  })

  test('a connection that is cut before or after the commit of a page loses nothing', async () => {
    const proxy = await openProxy(database.url)
    const cut = await open(name, proxy.url)
    const db = await open()
    const productId = await newProduct(2)
    const held = await allocated(db, productId)
    const ids = [await givenBack(db, productId), await givenBack(db, productId)]
    await cut.$serials.free({ productId })
    proxy.next(/DELETE FROM "public"."DeviceAllocation"/, 'drop')
    await cut.$serials.prune({ forgetBefore: LATER }).catch(() => undefined)
    proxy.next(/^COMMIT/, 'drop')
    await cut.$serials.prune({ forgetBefore: LATER, batchSize: 1 }).catch(() => undefined)
    await db.$serials.prune({ forgetBefore: LATER })

    expect(await noted(held, ...ids)).toEqual([held])
    expect(await flawsOf(db)).toEqual([])
  })

  test('of companies one alone is pruned', async () => {
    const { open: openCompanies, newProduct: newShared, noted: ofCompanies, newCompany } = useCompanySerials(engine)
    const { db } = await openCompanies()
    const [mine, theirs] = [newCompany(), newCompany()]
    const productId = await newShared(1, mine, theirs)
    const transactionId = newId()
    for (const companyId of [mine, theirs]) {
      const own = db.$serials.in({ companyId })
      await own.allocate({ transactionId, where: { productId }, count: 1 })
      if (companyId === mine) await own.release({ transactionId })
    }
    await database.query('UPDATE "CompanySerialAllocation" SET "createdAt" = $1', [OLD])

    expect(await db.$serials.in({ companyId: theirs }).prune({ forgetBefore: LATER })).toMatchObject({ allocations: 0 })
    expect(await db.$serials.prune({ scope: { companyId: mine }, forgetBefore: LATER })).toMatchObject({
      allocations: 1,
    })
    expect(await ofCompanies(transactionId)).toEqual([{ companyId: theirs, count: 1 }])
    const noHistory = db.$serials.in({ companyId: mine }).prune({ forgetBefore: LATER, changesBefore: LATER })
    expect(await rejectionOf(noHistory)).toMatchObject({ code: 'CONFIGURATION', issues: [{ path: 'history' }] })
  })

  test('beside a storm of both engines nothing is given twice, and every history adds up', async () => {
    const [db, their] = [await open(), await open(other)]
    const productId = await newProduct(6)
    let isOver = false
    const pruning = [db, their].map(async (each) => {
      while (!isOver) await each.$serials.prune({ forgetBefore: new Date(), changesBefore: new Date(), batchSize: 5 })
    })
    const auditing = (async () => {
      while (!isOver) expect(await flawsOf(db)).toEqual([])
    })()
    const rounds = Array.from({ length: 40 }, async (_, i) => {
      const each = i % 2 ? db : their
      const call = { transactionId: newId(), where: { productId }, count: 1, partial: true } as const
      const { serials } = await each.$serials.allocate(call)
      if (serials.length > 0) expect(await each.$serials.allocate(call)).toMatchObject({ serials, replayed: true })
      return (await each.$serials.release({ transactionId: call.transactionId })).released
    })
    const released = await Promise.all(rounds).finally(() => {
      isOver = true
    })
    await Promise.all([...pruning, auditing])

    const [sums] = await database.query('SELECT sum(changes)::int AS sum FROM "Device" WHERE "productId" = $1', [
      productId,
    ])
    expect(sums).toEqual({ sum: 2 * released.reduce((sum, n) => sum + n, 0) })
    expect(await db.$serials.free({ productId })).toBe(6)
    expect(await flawsOf(db)).toEqual([])
  })

  test.each([
    ['nothing', {}, 'forgetBefore'],
    ['a moment that is none', { forgetBefore: 'soon' }, 'forgetBefore'],
    ['the future', { forgetBefore: new Date(Date.now() + 86_400_000) }, 'forgetBefore'],
    [
      'a future of the history',
      { forgetBefore: OLD, changesBefore: new Date(Date.now() + 86_400_000) },
      'changesBefore',
    ],
    ['no page at all', { forgetBefore: OLD, batchSize: 0 }, 'batchSize'],
    ['another argument', { forgetBefore: OLD, before: OLD }, 'before'],
  ])('%s is refused', async (_, args, field) => {
    const db = await open()

    expect(await rejectionOf(db.$serials.prune(args as never))).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  })
})
