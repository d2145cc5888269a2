import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { openTransaction } from '../support/connection.js'
import { useDepot } from '../support/depot.js'
import { describeEngines, rows } from '../support/engines.js'
import { skipOnCitus } from '../support/on-citus.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const [JANUARY, FEBRUARY, MARCH] = ['2026-01-31', '2026-02-10', '2026-03-10']
const CLOSED = { code: 'PERIOD_CLOSED', field: 'date', closedUntil: new Date(JANUARY) }

const HOLD = 'SELECT FROM "DepotStock" WHERE "companyId" = $1 AND code = $2 FOR UPDATE'

describeEngines((engine) => {
  const { database } = engine
  const { open, openAll, newItem, stateOf, movementsOf, expectExact } = useDepot(engine)
  const newId = (): string => randomUUID()

  describe('the date of a movement', () => {
    test('is the one that the call gives, or that of today', async () => {
      const { depot, companyId } = await open()
      const item = await newItem(companyId)
      const [dated, today] = [newId(), newId()]
      await depot.moveAll({ transactionId: dated, lines: [{ item, quantity: 2.5 }], date: new Date(FEBRUARY) })
      await Promise.all([
        depot.move({ transactionId: today, item, quantity: -1 }),
        depot.move({ transactionId: newId(), item, quantity: 1, date: MARCH }),
      ])

      const [day] = await database.query('SELECT CURRENT_DATE::text AS today')
      expect(await movementsOf(dated)).toEqual([[2.5, FEBRUARY]])
      expect(await movementsOf(today)).toEqual([[-1, day?.today]])
    })

    test('is compared where a call that comes again gives one', async () => {
      const { depot, companyId, db } = await open()
      const item = await newItem(companyId)
      const call = { transactionId: newId(), item, quantity: 2, date: FEBRUARY }
      const deferred = { ...call, transactionId: newId() }
      await depot.move(call)
      await depot.defer(deferred)

      const { date, ...undated } = call
      expect(await depot.move(call)).toMatchObject({ replayed: true })
      expect(await depot.move(undated)).toMatchObject({ replayed: true })
      expect(await depot.defer(deferred)).toMatchObject({ replayed: true })
      const again = [
        () => depot.move({ ...call, date: MARCH }),
        () => depot.defer({ ...deferred, date: MARCH }),
        () => db.$transactionWithRetry((tx) => tx.$stock.in({ companyId }).move({ ...call, date: MARCH })),
      ]
      for (const each of again)
        expect(await rejectionOf(each())).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['date'] })
      expect(date).toBe(FEBRUARY)
    })

    test.each([
      ['a number', 5],
      ['null', null],
      ['no day', '2026-02-30'],
      ['half a day', '2026-02'],
    ])('is no %s', async (_, date) => {
      const { depot } = await open()

      const error = await rejectionOf(depot.move({ transactionId: 'a', item: 'a', quantity: 1, date: date as string }))

      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'date' })
    })
  })

  describe('close', () => {
    test('refuses each kind of movement up to its date, and leaves nothing of it', async () => {
      const { depot, companyId, db } = await open()
      const [item, other] = [await newItem(companyId, 10), await newItem(companyId, 10)]
      const basket = newId()
      const before = newId()
      await depot.move({ transactionId: before, item, quantity: -1, date: JANUARY })
      await depot.reserve({ transactionId: basket, item, quantity: 2, expiresIn: 600_000 })

      expect(await depot.close({ until: JANUARY })).toEqual({ closed: 2 })

      const call = { transactionId: newId(), date: JANUARY }
      const calls = [
        () => depot.move({ ...call, item, quantity: -1 }),
        () =>
          depot.moveAll({
            ...call,
            lines: [
              { item: other, quantity: 1 },
              { item, quantity: -1 },
            ],
          }),
        () => depot.move({ ...call, item, quantity: -1, take: 'available' }),
        () => depot.count({ ...call, item, counted: 1 }),
        () => depot.defer({ ...call, item, quantity: 1 }),
        () => depot.fulfil({ transactionId: basket, date: JANUARY }),
        () => depot.reverse({ ...call, of: before }),
        () => db.$transactionWithRetry((tx) => tx.$stock.in({ companyId }).move({ ...call, item, quantity: -1 })),
        () => db.$transactionWithRetry((tx) => tx.$stock.in({ companyId }).defer({ ...call, item, quantity: 1 })),
      ]
      for (const each of calls) {
        const error = await rejectionOf(each())
        expect(error).toMatchObject({ ...CLOSED, date: new Date(JANUARY) })
        expect([item, other]).toContain((error as { item?: unknown }).item)
      }
      expect(await movementsOf(call.transactionId)).toEqual([])
      expect(await stateOf(item)).toEqual({ onHand: 9, opening: 10, closedUntil: JANUARY })

      // The same id is free, and what was recorded before is replayed.
      expect(await depot.move({ ...call, item, quantity: -1, date: FEBRUARY })).toMatchObject({ replayed: false })
      expect(await depot.move({ transactionId: before, item, quantity: -1, date: JANUARY })).toMatchObject({
        replayed: true,
      })
      expect(await depot.reverse({ transactionId: newId(), of: before })).toMatchObject({ replayed: false })
      expect(await depot.fulfil({ transactionId: basket })).toMatchObject({ replayed: false })
      await expectExact({ depot })
    })

    test('in one batch refuses what is in a closed period, and carries out the others', async () => {
      const { depot, companyId } = await open()
      const item = await newItem(companyId, 10)
      await depot.close({ until: JANUARY })
      const move = (date?: string) => depot.move({ transactionId: newId(), item, quantity: -1, date })

      const outcomes = await Promise.allSettled([move(), move(JANUARY), move(FEBRUARY), move('2026-01-01'), move()])

      expect(outcomes.map(({ status }) => status)).toEqual([
        'fulfilled',
        'rejected',
        'fulfilled',
        'rejected',
        'fulfilled',
      ])
      expect(await stateOf(item)).toMatchObject({ onHand: 7 })
      await expectExact({ depot })
    })

    test('never goes back, unless it is to open a period again, and closes no other company', async () => {
      const { depot, companyId, db } = await open()
      const theirs = db.$stock.in({ companyId: companyId + 1_000 })
      const [item, other] = [await newItem(companyId), await newItem(companyId + 1_000)]

      expect(await depot.close({ until: FEBRUARY, batchSize: 1 })).toEqual({ closed: 1 })
      expect(await depot.close({ until: FEBRUARY })).toEqual({ closed: 0 })
      expect(await depot.close({ until: JANUARY })).toEqual({ closed: 0 })
      expect(await stateOf(item)).toMatchObject({ closedUntil: FEBRUARY })
      expect(await stateOf(other)).toMatchObject({ closedUntil: null })
      expect(await depot.close({ until: JANUARY, reopen: true })).toEqual({ closed: 1 })
      expect(await depot.move({ transactionId: newId(), item, quantity: 1, date: FEBRUARY })).toMatchObject({
        replayed: false,
      })
      await depot.defer({ transactionId: newId(), item, quantity: 1, date: FEBRUARY })
      expect(await depot.close({ until: null, reopen: true })).toEqual({ closed: 1 })
      expect(await theirs.close({ until: JANUARY })).toEqual({ closed: 1 })
      expect(await rejectionOf(depot.close({ until: null }))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        field: 'until',
      })
    })

    test('folds what is deferred of the period first, and nothing else', async () => {
      const { depot, companyId } = await open()
      const item = await newItem(companyId)
      await depot.defer({ transactionId: newId(), item, quantity: 5, date: JANUARY })
      await depot.defer({ transactionId: newId(), item, quantity: 7, date: FEBRUARY })

      expect(await depot.close({ until: JANUARY })).toEqual({ closed: 1 })

      expect(await stateOf(item)).toMatchObject({ onHand: 5 })
      expect(await depot.project()).toEqual({ folded: 1 })
    })

    test('leaves an item open of which something stays deferred, and names it', async () => {
      const { depot, companyId } = await open()
      const [item, other] = [await newItem(companyId), await newItem(companyId)]
      for (const each of [item, other]) {
        await depot.defer({ transactionId: newId(), item: each, quantity: 5, date: JANUARY })
      }
      const folding = await openTransaction(
        database.url,
        'SELECT FROM "DepotMovement" WHERE "companyId" = $1 AND code = $2 FOR UPDATE',
        [companyId, item],
      )

      expect(await depot.close({ until: JANUARY })).toEqual({ closed: 1, open: [item] })
      await folding.query('ROLLBACK')
      expect(await depot.close({ until: JANUARY })).toEqual({ closed: 1 })
      expect(await stateOf(item)).toEqual({ onHand: 5, opening: 0, closedUntil: JANUARY })
    })

    test.each(['move', 'defer'] as const)(
      'waits for a %s that is open across it, and closes the others meanwhile',
      async (method) => {
        const { depot, companyId, db } = await open()
        const [item, other] = [await newItem(companyId, 1), await newItem(companyId, 1)]
        const call = { transactionId: newId(), item, quantity: 1, date: JANUARY }
        let closing: Promise<unknown> | undefined

        await db.$transactionWithRetry(async (tx) => {
          await tx.$stock.in({ companyId })[method](call)
          closing = started(depot.close({ until: JANUARY }))
          await untilBlocked(database.url)
          expect((await stateOf(other)).closedUntil).toBe(JANUARY)
        })

        expect(await closing).toEqual({ closed: 2 })
        expect(await stateOf(item)).toEqual({ onHand: 2, opening: 1, closedUntil: JANUARY })
        await expectExact({ depot })
      },
    )

    test.for([
      ['move', 0],
      ['defer', 0],
      // The row has a newer version by then, which no deferred movement has to wait for; the close is behind it.
      ['defer', 1],
      ['moves', 0],
      ['fulfil', 0],
      ['tx', 0],
    ] as const)(
      'that is open makes a %s wait, which is refused then, also behind %d movements of its own',
      async ([method, before], test) => {
        if (before > 0) skipOnCitus(test, 'closing')
        const { depot, companyId, db } = await open()
        const item = await newItem(companyId, 1)
        const call = { transactionId: newId(), item, quantity: 1, date: JANUARY }
        const { transactionId, date } = call
        const moves = { transactionId, date, lines: [{ item, quantity: 1 }] }
        if (method === 'fulfil') await depot.reserve({ transactionId, item, quantity: 1, expiresIn: 600_000 })
        let moving: Promise<unknown> | undefined

        await db.$transactionWithRetry(async (tx) => {
          const own = tx.$stock.in({ companyId })
          for (let i = 0; i < before; i++) await own.move({ transactionId: newId(), item, quantity: 1 })
          expect(await own.close({ until: JANUARY })).toEqual({ closed: 1 })
          const calls = {
            move: () => depot.move(call),
            defer: () => depot.defer(call),
            moves: () => depot.moveAll(moves),
            fulfil: () => depot.fulfil({ transactionId, date }),
            tx: () => db.$transactionWithRetry((own) => own.$stock.in({ companyId }).move(call)),
          }
          moving = started(calls[method]())
          await untilBlocked(database.url)
        })

        expect(await rejectionOf(moving as Promise<unknown>)).toMatchObject(CLOSED)
        expect(await movementsOf(call.transactionId)).toEqual([])
        await expectExact({ depot })
      },
    )

    test.each([
      ['a nested transaction', false, true],
      ['a transaction whose nested one has moved them', true, false],
    ])(
      'behind movements of the same items is refused in %s: a defer would come in',
      async (_, nestsMove, nestsClose) => {
        const { depot, companyId, db } = await open()
        const item = await newItem(companyId, 1)
        type Tx = Pick<typeof db, '$stock' | '$transactionWithRetry'>
        const inside = <R>(tx: Tx, nests: boolean, body: (own: Pick<Tx, '$stock'>) => Promise<R>) =>
          nests ? tx.$transactionWithRetry(body) : body(tx)

        const error = await rejectionOf(
          db.$transactionWithRetry(async (tx) => {
            await inside(tx, nestsMove, (own) =>
              own.$stock.in({ companyId }).move({ transactionId: newId(), item, quantity: 1 }),
            )
            await inside(tx, nestsClose, (own) => own.$stock.in({ companyId }).close({ until: JANUARY }))
          }),
        )

        expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' })
        expect(await stateOf(item)).toMatchObject({ onHand: 1, closedUntil: null })
        await expectExact({ depot })
      },
    )

    test('in a nested transaction makes a defer wait, which is refused then', async () => {
      const { depot, companyId, db } = await open()
      const item = await newItem(companyId, 1)
      const call = { transactionId: newId(), item, quantity: 1, date: JANUARY }
      let moving: Promise<unknown> | undefined

      await db.$transactionWithRetry(async (tx) => {
        await tx.$transactionWithRetry((own) => own.$stock.in({ companyId }).close({ until: JANUARY }))
        moving = started(depot.defer(call))
        await untilBlocked(database.url)
      })

      expect(await rejectionOf(moving as Promise<unknown>)).toMatchObject(CLOSED)
      await expectExact({ depot })
    })

    test.each(['move', 'defer'] as const)(
      'that comes in the middle of a serializable transaction makes its %s run again, which is refused then',
      async (method) => {
        const { depot, companyId, db } = await open()
        const item = await newItem(companyId, 1)
        const call = { transactionId: newId(), item, quantity: 1, date: JANUARY }
        const attempts: unknown[] = []

        const body = async (tx: Pick<typeof db, '$stock'>) => {
          const own = tx.$stock.in({ companyId })
          attempts.push(await own.balance({ item }))
          if (attempts.length === 1) {
            // Of two versions of the row that are newer than the snapshot, the second is closed.
            await depot.move({ transactionId: newId(), item, quantity: 1 })
            await depot.close({ until: JANUARY })
          }
          await own[method](call)
        }

        const error = await rejectionOf(db.$transactionWithRetry(body, { isolationLevel: 'Serializable' }))
        expect(error).toMatchObject(CLOSED)
        expect(attempts).toHaveLength(2)
        expect(await movementsOf(call.transactionId)).toEqual([])
      },
    )

    test('waits for items that others hold one by one, and keeps none locked meanwhile', async () => {
      const { depot, companyId } = await open()
      const items = [await newItem(companyId), await newItem(companyId)].sort()
      const hold = (item: string | undefined) => openTransaction(database.url, HOLD, [companyId, item])
      const [first, second] = [await hold(items[0]), await hold(items[1])]
      const closing = started(depot.close({ until: JANUARY }))
      await untilBlocked(database.url)
      await first.query('ROLLBACK')

      await expect.poll(() => stateOf(items[0] as string), { timeout: 60_000 }).toMatchObject({ closedUntil: JANUARY })
      await second.query('ROLLBACK')
      expect(await closing).toEqual({ closed: 2 })
    })

    test('in a transaction that rolls back closes nothing; above READ COMMITTED it is refused', async () => {
      const { companyId, db } = await open()
      const item = await newItem(companyId)
      const close = (tx: typeof db) => tx.$stock.in({ companyId }).close({ until: JANUARY })

      await rejectionOf(
        db.$transactionWithRetry(async (tx) => {
          await close(tx as never)
          throw new Error('back')
        }),
      )
      const error = await rejectionOf(
        db.$transactionWithRetry((tx) => close(tx as never), { isolationLevel: 'RepeatableRead' }),
      )

      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' })
      expect(await stateOf(item)).toMatchObject({ closedUntil: null })
    })

    test('is refused where the database says READ COMMITTED, and keeps the snapshot of the transaction', async () => {
      const { companyId, db } = await open()
      const item = await newItem(companyId)
      await database.query(`
CREATE SCHEMA IF NOT EXISTS pretends;
CREATE OR REPLACE FUNCTION pretends.current_setting(name text) RETURNS text LANGUAGE sql AS $$
  SELECT CASE name WHEN 'transaction_isolation' THEN 'read committed' ELSE pg_catalog.current_setting(name) END
$$`)

      const error = await rejectionOf(
        db.$transactionWithRetry(
          async (tx) => {
            await rows(tx, 'SET LOCAL search_path = pretends, pg_catalog, public')
            return tx.$stock.in({ companyId }).close({ until: JANUARY })
          },
          { isolationLevel: 'RepeatableRead' },
        ),
      )

      expect(error).toMatchObject({ code: 'UNSUPPORTED_DATABASE' })
      expect(await stateOf(item)).toMatchObject({ closedUntil: null })
    })

    test('whose answers are lost goes on to its end', async () => {
      const { companyId } = await open()
      for (let i = 0; i < 2; i++) await newItem(companyId)
      const proxy = await openProxy(database.url)
      const cut = (await openAll(undefined, { url: proxy.url })).$stock.in({ companyId })
      await cut.project()
      proxy.next(/^UPDATE "public"."DepotStock"/, 'drop')
      proxy.next(/^COMMIT/, 'drop')

      expect(await cut.close({ until: JANUARY, batchSize: 1 })).toEqual({ closed: 2 })
    })

    test('that is ended in the middle has closed a part, and the next one closes the rest', async () => {
      const { depot, companyId } = await open()
      const [item, other] = [await newItem(companyId), await newItem(companyId)]
      const holder = await openTransaction(database.url, HOLD, [companyId, item])
      const abort = new AbortController()
      const closing = started(depot.close({ until: JANUARY, signal: abort.signal }))
      await untilBlocked(database.url)
      abort.abort()
      await holder.query('ROLLBACK')
      await closing.catch(() => undefined)

      expect((await stateOf(other)).closedUntil).toBe(JANUARY)
      await depot.close({ until: JANUARY })
      expect((await stateOf(item)).closedUntil).toBe(JANUARY)
    })

    test('beside moves and folds of the period: each is before it, or refused, and the balances are exact', async () => {
      const { depot, companyId } = await open()
      const items = [await newItem(companyId, 50), await newItem(companyId, 50), await newItem(companyId, 50)]
      const refusals: unknown[] = []
      const storm = Array.from({ length: 60 }, async (_, i) => {
        const item = items[i % 3] as string
        const call = { transactionId: newId(), item, date: i % 4 === 0 ? FEBRUARY : JANUARY }
        const done = i % 2 ? depot.move({ ...call, quantity: -1 }) : depot.defer({ ...call, quantity: 1 })
        await done.catch((error: unknown) => refusals.push(error))
        expect(await depot.audit()).toEqual([])
      })

      const [closed] = await Promise.all([depot.close({ until: JANUARY }), ...storm, depot.project()])

      expect(closed).toEqual({ closed: 3 })
      for (const error of refusals) expect(error).toMatchObject(CLOSED)
      const late = await database.query(
        'SELECT FROM "DepotMovement" WHERE "companyId" = $1 AND date <= $2 AND NOT applied',
        [companyId, JANUARY],
      )
      expect(late).toEqual([])
    })
  })
})
