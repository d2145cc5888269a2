import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { auditFindings } from '../support/audit-findings.js'
import { openTransaction } from '../support/connection.js'
import { useDepot } from '../support/depot.js'
import { describeEngines } from '../support/engines.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const [JANUARY, FEBRUARY, MARCH] = ['2026-01-31', '2026-02-10', '2026-03-10']

const HOLD = 'SELECT FROM "DepotStock" WHERE "companyId" = $1 AND code = $2 FOR UPDATE'

describeEngines((engine) => {
  const { database } = engine
  const { open, openAll, newItem, stateOf, movementsOf, expectExact } = useDepot(engine)
  const newId = (): string => randomUUID()
  /** A company with an item that has moved in January and in February, and whose January is closed. */
  const openClosed = async () => {
    const opened = await open()
    const { depot, companyId } = opened
    const item = await newItem(companyId, 10)
    // Of the two of January, the later one is the first by its id.
    const [old, late] = [`a${newId()}`, newId()]
    await depot.move({ transactionId: old, item, quantity: 2.5, date: JANUARY })
    await depot.move({ transactionId: `z${newId()}`, item, quantity: -1, date: '2026-01-30' })
    await depot.move({ transactionId: late, item, quantity: -4, date: FEBRUARY })
    await depot.close({ until: JANUARY })
    return { ...opened, item, old, late }
  }

  test('movements of closed periods go into the opening balance, and the audit stays empty', async () => {
    const opened = await openClosed()
    const { depot, item, old, late } = opened

    expect(await depot.prune({ forgetBefore: MARCH, batchSize: 1 })).toEqual({ movements: 2, reservations: 0 })

    expect(await stateOf(item)).toEqual({ onHand: 7.5, opening: 11.5, closedUntil: JANUARY })
    expect(await movementsOf(old)).toEqual([])
    expect(await movementsOf(late)).toEqual([[-4, FEBRUARY]])
    expect(await depot.prune({ forgetBefore: MARCH })).toEqual({ movements: 0, reservations: 0 })
    await expectExact(opened)
  })

  test('a transaction id that is forgotten is new, but not in the closed period, and cannot be undone', async () => {
    const opened = await openClosed()
    const { depot, item, old } = opened
    await depot.prune({ forgetBefore: MARCH })

    const again = { transactionId: old, item, quantity: 2.5 }
    expect(await rejectionOf(depot.move({ ...again, date: JANUARY }))).toMatchObject({ code: 'PERIOD_CLOSED' })
    expect(await rejectionOf(depot.reverse({ transactionId: newId(), of: old }))).toMatchObject({
      code: 'REVERSAL',
      reason: 'missing-or-pruned',
    })
    expect(await depot.statement({ transactionId: old })).toEqual({ movements: [], reservations: [] })
    expect(await depot.move(again)).toMatchObject({ replayed: false })
    await expectExact(opened)
  })

  test('nothing goes that is of an open period, deferred, newer than asked, or of another company', async () => {
    const { depot, companyId, db } = await open()
    const item = await newItem(companyId)
    const theirs = db.$stock.in({ companyId: companyId + 1_000 })
    const other = await newItem(companyId + 1_000)
    await depot.move({ transactionId: newId(), item, quantity: 1, date: JANUARY })
    await theirs.move({ transactionId: newId(), item: other, quantity: 1, date: JANUARY })
    await theirs.close({ until: JANUARY })

    expect(await depot.prune({ forgetBefore: MARCH })).toMatchObject({ movements: 0 })
    await depot.close({ until: FEBRUARY })
    expect(await depot.prune({ forgetBefore: JANUARY })).toMatchObject({ movements: 0 })
    await database.query(
      `INSERT INTO "DepotMovement" ("companyId", "transactionId", line, code, quantity, applied, date)
VALUES ($1, 'late', 0, $2, 1, false, $3)`,
      [companyId, item, JANUARY],
    )
    expect(await depot.prune({ forgetBefore: MARCH })).toMatchObject({ movements: 1 })
    expect(await movementsOf('late')).toHaveLength(1)
    expect(await stateOf(other)).toMatchObject({ opening: 0 })
  })

  test('a transaction goes as a whole, or stays', async () => {
    const { depot, companyId } = await open()
    const [item, other] = [await newItem(companyId, 5), await newItem(companyId, 5)]
    const transfer = { transactionId: newId(), date: JANUARY }
    const lines = [
      { item, quantity: -1 },
      { item: other, quantity: 1 },
    ]
    await depot.moveAll({ ...transfer, lines })
    await depot.close({ until: JANUARY })
    await database.query('UPDATE "DepotStock" SET "closedUntil" = NULL WHERE code = $1', [other])

    expect(await depot.prune({ forgetBefore: MARCH })).toMatchObject({ movements: 0 })
    expect(await depot.moveAll({ ...transfer, lines })).toMatchObject({ replayed: true })
    await depot.close({ until: JANUARY })
    expect(await depot.prune({ forgetBefore: MARCH })).toMatchObject({ movements: 2 })
    await expectExact({ depot })
  })

  test('a reversal stays as long as its original, so that this is never undone twice', async () => {
    const { depot, companyId } = await open()
    const item = await newItem(companyId, 5)
    const original = newId()
    const undone = newId()
    await depot.move({ transactionId: original, item, quantity: 2, date: FEBRUARY })
    await depot.reverse({ transactionId: undone, of: original, date: JANUARY })
    await depot.close({ until: JANUARY })

    expect(await depot.prune({ forgetBefore: MARCH })).toMatchObject({ movements: 0 })
    expect(await rejectionOf(depot.reverse({ transactionId: newId(), of: original }))).toMatchObject({
      reason: 'reversed',
    })
    await depot.close({ until: FEBRUARY })
    expect(await depot.prune({ forgetBefore: MARCH })).toMatchObject({ movements: 2 })
    await expectExact({ depot })
  })

  test('a reversal that comes again is replayed, though its original is pruned', async () => {
    const opened = await openClosed()
    const { db, companyId, depot, old, item } = opened
    const part = { transactionId: newId(), of: old, lines: [{ item, quantity: 1 }] }
    const rest = { transactionId: newId(), of: old, date: FEBRUARY }
    await depot.reverse(part)
    await depot.reverse(rest)
    expect(await depot.prune({ forgetBefore: MARCH })).toMatchObject({ movements: 2 })

    const replayed = { lines: [{ item }], replayed: true }
    expect(await depot.reverse(part)).toMatchObject(replayed)
    await db.$transactionWithRetry(async (tx) => {
      expect(await tx.$stock.in({ companyId }).reverse(rest)).toMatchObject(replayed)
    })
    expect(await stateOf(item)).toMatchObject({ onHand: 5, opening: 11.5 })
    const other = [{ item, quantity: 2 }]
    expect(await rejectionOf(depot.reverse({ ...part, lines: other }))).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH' })
    expect(await rejectionOf(depot.reverse({ transactionId: newId(), of: old }))).toMatchObject({
      of: old,
      excesses: [],
    })
    // A movement of another company is no original of it.
    const their = await newItem(companyId + 1_000)
    await db.$stock.in({ companyId: companyId + 1_000 }).move({ transactionId: old, item: their, quantity: 1 })
    await depot.close({ until: FEBRUARY })
    expect(await depot.prune({ forgetBefore: MARCH })).toMatchObject({ movements: 2 })
    await expectExact(opened)
  })

  test('a movement is not undone again by a call that found it before it was pruned with its reversal', async () => {
    const opened = await openClosed()
    const { db, companyId, depot, old, item } = opened
    await depot.close({ until: null, reopen: true })
    await depot.reverse({ transactionId: newId(), of: old, date: JANUARY })
    await depot.close({ until: JANUARY })
    const holder = await openTransaction(database.url, HOLD, [companyId, item])
    const pruning = started(
      db.$transactionWithRetry((tx) => tx.$stock.in({ companyId }).prune({ forgetBefore: MARCH })),
    )
    await untilBlocked(database.url)
    const undoing = started(rejectionOf(depot.reverse({ transactionId: newId(), of: old })))
    await untilBlocked(database.url, 2)
    await holder.query('ROLLBACK')

    expect(await pruning).toMatchObject({ movements: 3 })
    expect(await undoing).toMatchObject({ code: 'REVERSAL', reason: 'missing-or-pruned' })
    expect(await stateOf(item)).toMatchObject({ onHand: 5, opening: 9 })
    await expectExact(opened)
  })

  test('the movement of a reservation stays as long as the reservation, so that no audit misses it', async () => {
    const { db, depot, companyId } = await open()
    const item = await newItem(companyId, 10)
    const [early, late] = [newId(), newId()]
    for (const transactionId of [early, late]) {
      await depot.reserve({ transactionId, item, quantity: 2, expiresIn: null })
      await depot.fulfil({ transactionId, date: JANUARY })
    }
    await depot.close({ until: JANUARY })
    const end = `UPDATE "DepotReservation" SET "updatedAt" = '${FEBRUARY}' WHERE "transactionId" = $1`

    expect(await depot.prune({ forgetBefore: MARCH })).toEqual({ movements: 0, reservations: 0 })
    expect(await auditFindings(db)).toEqual([])
    await database.query(end, [early])
    expect(await depot.prune({ forgetBefore: MARCH })).toEqual({ movements: 1, reservations: 1 })
    expect(await auditFindings(db)).toEqual([])
    expect(await movementsOf(late)).toEqual([[-2, JANUARY]])
    await database.query(end, [late])
    expect(await depot.prune({ forgetBefore: MARCH })).toEqual({ movements: 1, reservations: 1 })
    expect(await auditFindings(db)).toEqual([])
    expect(await stateOf(item)).toMatchObject({ onHand: 6, opening: 6 })
  })

  test('reservations that have ended go as a whole, and those that hold something stay', async () => {
    const { db, depot, companyId } = await open()
    const theirs = db.$stock.in({ companyId: companyId + 1_000 })
    const their = await newItem(companyId + 1_000, 50)
    const [item, other] = [await newItem(companyId, 50), await newItem(companyId, 50)]
    const reserve = (expiresIn: number | null = 600_000) => {
      const transactionId = newId()
      const lines = [item, other].map((each) => ({ item: each, quantity: 2 }))
      return depot.reserve({ transactionId, lines, expiresIn }).then(() => transactionId)
    }
    const [active, released, more, fulfilled, order] = [
      await reserve(),
      await reserve(),
      await reserve(),
      await reserve(),
      await reserve(null),
    ]
    for (const transactionId of [released, more, order]) await depot.release({ transactionId })
    await depot.fulfil({ transactionId: fulfilled })
    // Another company has one that has ended, and one under an id of ours.
    const [gone, same] = [newId(), { transactionId: released, item: their, quantity: 1, expiresIn: null }]
    await theirs.reserve({ ...same, transactionId: gone })
    await theirs.release({ transactionId: gone })
    await theirs.reserve(same)
    const yesterday = `UPDATE "DepotReservation" SET "updatedAt" = now() - interval '1 day' WHERE "transactionId" = $1`
    for (const id of [active, released, more, order, gone]) await database.query(yesterday, [id])
    await database.query(`${yesterday} AND code = $2`, [fulfilled, item])

    const forgetBefore = new Date(Date.now() - 3_600_000)
    const held = 'SELECT FROM "DepotReservation" WHERE "companyId" = $1 AND "transactionId" = $2 FOR UPDATE'
    const holder = await openTransaction(database.url, held, [companyId, order])

    expect(await depot.prune({ forgetBefore, batchSize: 1 })).toEqual({ movements: 0, reservations: 4 })
    await holder.query('ROLLBACK')
    expect(await depot.prune({ forgetBefore })).toEqual({ movements: 0, reservations: 2 })
    expect((await theirs.reservations()).map(({ state }) => state).sort()).toEqual(['active', 'released'])
    const left = await database.query(
      'SELECT DISTINCT "transactionId" FROM "DepotReservation" WHERE "companyId" = $1 ORDER BY 1',
      [companyId],
    )
    expect(left.map(({ transactionId }) => transactionId)).toEqual([active, fulfilled].sort())
    expect(await depot.release({ transactionId: released })).toEqual({ released: false, state: 'missing' })
    for (const call of [
      depot.fulfil({ transactionId: released }),
      depot.extend({ transactionId: order, expiresIn: 1 }),
    ])
      expect(await rejectionOf(call)).toMatchObject({ code: 'RESERVATION_ENDED', state: 'missing' })
    expect(await depot.statement({ transactionId: order })).toEqual({ movements: [], reservations: [] })
    await expectExact({ depot })
  })

  test('an item that somebody has locked for long is left to the next call', async () => {
    const opened = await openClosed()
    const { depot, companyId, item } = opened
    const other = await newItem(companyId)
    await depot.move({ transactionId: newId(), item: other, quantity: 1, date: FEBRUARY })
    await depot.close({ until: FEBRUARY })
    const holder = await openTransaction(database.url, HOLD, [companyId, item])

    expect(await depot.prune({ forgetBefore: MARCH })).toMatchObject({ movements: 1 })
    await holder.query('ROLLBACK')
    expect(await depot.prune({ forgetBefore: MARCH })).toMatchObject({ movements: 3 })
    await expectExact(opened)
  })

  test('two at once prune each movement once; one in a transaction that rolls back prunes nothing', async () => {
    const opened = await openClosed()
    const { companyId, db, depot, item } = opened
    const their = (await openAll(engine.other)).$stock.in({ companyId })
    let pruning: Promise<unknown> | undefined

    await rejectionOf(
      db.$transactionWithRetry(async (tx) => {
        expect(await tx.$stock.in({ companyId }).prune({ forgetBefore: MARCH })).toMatchObject({ movements: 2 })
        throw new Error('back')
      }),
    )
    await db.$transactionWithRetry(async (tx) => {
      expect(await tx.$stock.in({ companyId }).prune({ forgetBefore: MARCH })).toMatchObject({ movements: 2 })
      // A deferred movement waits for nobody.
      await depot.defer({ transactionId: newId(), item, quantity: 1 })
      pruning = started(db.$transactionWithRetry((own) => own.$stock.in({ companyId }).prune({ forgetBefore: MARCH })))
      await untilBlocked(database.url)
    })

    expect(await pruning).toMatchObject({ movements: 0 })
    expect(await their.prune({ forgetBefore: MARCH })).toMatchObject({ movements: 0 })
    expect(await stateOf(item)).toMatchObject({ onHand: 7.5, opening: 11.5 })
    await expectExact(opened)
  })

  test('a period that is opened again while a prune waits keeps its movements', async () => {
    const { companyId, db, depot, old } = await openClosed()
    let pruning: Promise<unknown> | undefined

    await db.$transactionWithRetry(async (tx) => {
      await tx.$stock.in({ companyId }).close({ until: null, reopen: true })
      pruning = started(db.$transactionWithRetry((own) => own.$stock.in({ companyId }).prune({ forgetBefore: MARCH })))
      await untilBlocked(database.url)
      // Longer than a page of its own waits: one of a caller's transaction cannot be begun anew.
      await database.query('SELECT pg_sleep(0.2)')
    })

    expect(await pruning).toMatchObject({ movements: 0 })
    expect(await movementsOf(old)).toEqual([[2.5, JANUARY]])
    await expectExact({ depot })
  })

  test('a connection that is cut before or after the commit of a page loses nothing, and counts nothing twice', async () => {
    const opened = await openClosed()
    const { companyId, item, depot } = opened
    const proxy = await openProxy(database.url)
    const cut = (await openAll(undefined, { url: proxy.url })).$stock.in({ companyId })
    await cut.project()
    proxy.next(/DELETE FROM "public"."DepotMovement"/, 'drop')
    await cut.prune({ forgetBefore: MARCH }).catch(() => undefined)
    await expectExact(opened)
    proxy.next(/^COMMIT/, 'drop')
    await cut.prune({ forgetBefore: MARCH, batchSize: 1 }).catch(() => undefined)
    await expectExact(opened)
    await depot.prune({ forgetBefore: MARCH })

    expect(await stateOf(item)).toMatchObject({ onHand: 7.5, opening: 11.5 })
    await expectExact(opened)
  })

  test('beside moves, folds and another prune the balances are exact at every moment', async () => {
    const { depot, companyId } = await open()
    const items = [await newItem(companyId, 90), await newItem(companyId, 90)] as const
    for (let i = 0; i < 20; i++) {
      const lines = items.map((item, n) => ({ item, quantity: n ? 0.001 : -1 }))
      await depot.moveAll({ transactionId: newId(), lines, date: JANUARY })
    }
    await depot.close({ until: JANUARY })
    let isOver = false
    const auditing = async () => {
      while (!isOver) await expectExact({ depot })
    }
    const storm = Array.from({ length: 40 }, (_, i) => {
      const call = { transactionId: newId(), item: items[i % 2] as string, quantity: 1 }
      return i % 2 ? depot.move(call) : depot.defer(call)
    })
    const work = Promise.all([
      depot.prune({ forgetBefore: MARCH, batchSize: 3 }),
      depot.prune({ forgetBefore: MARCH, batchSize: 4 }),
      depot.project(),
      ...storm,
    ]).finally(() => {
      isOver = true
    })

    await Promise.all([work, auditing()])
    await depot.project()
    const rest = await depot.prune({ forgetBefore: MARCH })

    expect(rest.movements).toBeLessThanOrEqual(40)
    expect(await stateOf(items[0])).toMatchObject({ onHand: 90, opening: 70 })
    expect(await stateOf(items[1])).toMatchObject({ onHand: 110.02, opening: 90.02 })
    await expectExact({ depot })
  })

  test.each([
    ['nothing', {}, 'forgetBefore'],
    ['a moment that is none', { forgetBefore: 'soon' }, 'forgetBefore'],
    ['the future', { forgetBefore: new Date(Date.now() + 86_400_000) }, 'forgetBefore'],
    ['no page at all', { forgetBefore: MARCH, batchSize: 0 }, 'batchSize'],
    ['another argument', { forgetBefore: MARCH, before: MARCH }, 'before'],
  ])('%s is refused', async (_, args, field) => {
    const { depot } = await open()

    expect(await rejectionOf(depot.prune(args as never))).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  })
})
