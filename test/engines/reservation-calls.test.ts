import { describe, expect, test } from 'vitest'
import { openTransaction } from '../support/connection.js'
import { describeEngines } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { newId, type PalletDb, usePallets } from '../support/pallets.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const HOUR = 3_600_000

/** The state that a call leaves of a pallet that has 10, of which 4 are reserved until an hour from now. */
interface Left {
  readonly onHand: number
  readonly reserved: number
  readonly moved: readonly number[]
  readonly reservation: object
}

interface Given {
  readonly item: string
  readonly reservation: string
  /** A transaction id that nobody else uses. */
  readonly id: string
}

interface Case {
  readonly what: string
  readonly call: ($stock: PalletDb['$stock'], of: Given) => PromiseLike<unknown>
  readonly left: Partial<Left>
  /** The same where the reservation was released before. Default: it is refused. */
  readonly afterRelease?: Partial<Left>
}

const ACTIVE = { state: 'active', quantity: 4, fulfilled: 0, original: null, isExtended: false }
const BEFORE: Left = { onHand: 10, reserved: 4, moved: [], reservation: ACTIVE }

const CASES: readonly Case[] = [
  {
    what: 'extend',
    call: ($stock, { reservation }) => $stock.extend({ transactionId: reservation, expiresIn: 3 * HOUR }),
    left: { reservation: { ...ACTIVE, isExtended: true } },
  },
  {
    what: 'fulfil of a part',
    call: ($stock, { item, reservation, id }) =>
      $stock.fulfil({ transactionId: id, of: reservation, lines: [{ item, quantity: 3 }] }),
    left: { onHand: 7, reserved: 1, moved: [-3], reservation: { ...ACTIVE, fulfilled: 3 } },
  },
  {
    what: 'fulfil of a part, whose rest is released',
    call: ($stock, { item, reservation, id }) =>
      $stock.fulfil({ transactionId: id, of: reservation, lines: [{ item, quantity: 3 }], rest: 'release' }),
    left: { onHand: 7, reserved: 0, moved: [-3], reservation: { ...ACTIVE, state: 'fulfilled', fulfilled: 3 } },
  },
  {
    what: 'fulfil under another id',
    call: ($stock, { reservation, id }) => $stock.fulfil({ transactionId: id, of: reservation }),
    left: { onHand: 6, reserved: 0, moved: [-4], reservation: { ...ACTIVE, state: 'fulfilled', fulfilled: 4 } },
  },
  {
    what: 'change to more',
    call: ($stock, { item, reservation }) =>
      $stock.change({ transactionId: reservation, lines: [{ item, quantity: 7 }] }),
    left: { reserved: 7, reservation: { ...ACTIVE, quantity: 7, original: 4 } },
  },
  {
    what: 'change to less',
    call: ($stock, { item, reservation }) =>
      $stock.change({ transactionId: reservation, lines: [{ item, quantity: 1 }] }),
    left: { reserved: 1, reservation: { ...ACTIVE, quantity: 1, original: 4 } },
  },
  {
    what: 'move of as much as there is',
    call: ($stock, { item, id }) => $stock.move({ transactionId: id, item, quantity: -9, take: 'available' }),
    left: { onHand: 4, moved: [-6] },
    afterRelease: { onHand: 1, moved: [-9] },
  },
  {
    what: 'reserve of as much as there is',
    call: ($stock, { item, id }) =>
      $stock.reserve({ transactionId: id, item, quantity: 9, take: 'available', expiresIn: HOUR }),
    left: { reserved: 10 },
    afterRelease: { reserved: 9 },
  },
]

describeEngines((engine) => {
  const { database } = engine
  const { db: open, newPallet, hold, stateOf, movementsOf, expectExact } = usePallets(engine)
  const PATIENT = { retry: { deadline: 60_000, baseDelay: 1, maxDelay: 5, attempts: 1_000 } }
  const prepare = async (url?: string) => {
    const db = await open(url, PATIENT)
    const [item, reservation, id] = [await newPallet(10), newId(), newId()]
    await db.$stock.reserve({ transactionId: reservation, item, quantity: 4, expiresIn: HOUR })
    const left = async (): Promise<Left> => {
      const [row] = await database.query(
        `SELECT state, quantity, fulfilled, original, "expiresAt" > now() + interval '2 hours' AS "isExtended" FROM "PalletReservation" WHERE "transactionId" = $1`,
        [reservation],
      )
      const moved = [...(await movementsOf(reservation)), ...(await movementsOf(id))]
      return { ...(await stateOf(item)), moved, reservation: row ?? {} }
    }
    return { db, given: { item, reservation, id }, left }
  }

  describe.each(CASES)('$what', ({ call, left: changed, afterRelease }) => {
    const after = { ...BEFORE, ...changed }

    test.each(
      [/^UPDATE .*PalletReservation|^WITH claim/, /^COMMIT/].flatMap((statement) =>
        (['cut', 'drop'] as const).map((fate) => ({ statement, fate })),
      ),
    )('is carried out once where the answer to $statement is lost ($fate)', async ({ statement, fate }) => {
      const proxy = await openProxy(database.url)
      const { db, given, left } = await prepare(proxy.url)
      const { happened } = proxy.next(statement, fate)
      await call(db.$stock, given)
      await happened
      expect(await left()).toEqual(after)
      await expectExact()
    })

    test('is carried out once where the server ends its connection in the middle', async () => {
      const { db, given, left } = await prepare()
      const holder = await openTransaction(database.url, 'SELECT FROM "Pallet" WHERE code = $1 FOR UPDATE', [
        given.item,
      ])
      const work = started(call(db.$stock, given))
      await untilBlocked(database.url)
      await holder.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`)
      await holder.query('COMMIT')
      await work
      expect(await left()).toEqual(after)
      await expectExact()
    })

    test('is part of the transaction that it is called in, and goes with its rollback', async () => {
      const { db, given, left } = await prepare()
      const rolledBack = db.$transactionWithRetry(async (tx) => {
        await call(tx.$stock, given)
        throw new Error('rolled back')
      })
      expect(await rejectionOf(rolledBack)).toMatchObject({ message: 'rolled back' })
      expect(await left()).toEqual(BEFORE)
      await db.$transactionWithRetry(async (tx) => call(tx.$stock, given))
      expect(await left()).toEqual(after)
      await expectExact()
    })

    test.each(['ReadCommitted', 'RepeatableRead', 'Serializable'] as const)(
      'in a transaction (%s) that another client has got ahead of finds what that has left',
      async (isolationLevel) => {
        const { db, given, left } = await prepare()
        const other = await newPallet(10)
        const [begun, isAhead] = [gate(), gate()]
        const work = started(
          db.$transactionWithRetry(
            async (tx) => {
              await tx.$stock.move({ transactionId: `${given.id} other`, item: other, quantity: 1 })
              begun.open()
              await isAhead.opened
              await call(tx.$stock, given)
            },
            { isolationLevel, ...PATIENT },
          ),
        )
        await begun.opened
        const their = await open()
        await their.$stock.release({ transactionId: given.reservation })
        isAhead.open()
        const [outcome] = await Promise.allSettled([work])
        if (!afterRelease) expect(outcome).toMatchObject({ reason: { code: 'RESERVATION_ENDED', state: 'released' } })
        const released = { ...BEFORE, reserved: 0, reservation: { ...ACTIVE, state: 'released' } }
        expect(await left()).toEqual({ ...released, ...afterRelease })
        await expectExact()
      },
    )
  })

  test('a reservation of which an item is gone by now is refused as a whole, by each call', async () => {
    const { db, given } = await prepare()
    const [gone, of] = [await newPallet(10), newId()]
    const { item, id } = given
    const lines = [item, gone].map((each) => ({ item: each, quantity: 2 }))
    await db.$stock.reserve({ transactionId: of, lines, expiresIn: null })
    await database.query('DELETE FROM "Pallet" WHERE code = $1', [gone])
    const part = [{ item, quantity: 1 }]
    const calls: ((db: Pick<PalletDb, '$stock'>) => PromiseLike<unknown>)[] = [
      ({ $stock }) => $stock.fulfil({ transactionId: id, of, lines: part }),
      ({ $stock }) => $stock.fulfil({ transactionId: id, of, lines: part, rest: 'release' }),
      ({ $stock }) => $stock.change({ transactionId: of, lines: part }),
      ({ $stock }) => $stock.extend({ transactionId: of, expiresIn: HOUR }),
      ({ $stock }) => $stock.release({ transactionId: of }),
    ]
    for (const call of calls) {
      const swallowed = db.$transactionWithRetry((tx) => rejectionOf(call(tx)))
      for (const error of [await rejectionOf(call(db)), await swallowed]) {
        expect(error).toMatchObject({ code: 'ITEM_NOT_FOUND', item: gone })
      }
    }
    expect(await movementsOf(id)).toEqual([])
    expect(await stateOf(item)).toEqual({ onHand: 10, reserved: 6 })
    const rows = await database.query('SELECT state, quantity, fulfilled FROM "PalletReservation" WHERE code = $1', [
      gone,
    ])
    expect(rows).toEqual([{ state: 'active', quantity: 2, fulfilled: 0 }])
    for (const table of ['PalletMovement', 'PalletReservation']) {
      await database.query(`DELETE FROM "${table}" WHERE code = $1`, [gone])
    }
    await expectExact()
  })

  test('of two parts in one batch with one id and other data, one is a mismatch', async () => {
    const { db, given, left } = await prepare()
    const { item, reservation: of, id: transactionId } = given
    const holder = await hold(item)
    const ahead = started(db.$stock.move({ transactionId: newId(), item, quantity: 1 }))
    await untilBlocked(database.url)
    const calls = ['x', 'y'].map((note) => started(db.$stock.fulfil({ transactionId, of, data: { note } })))
    for (let i = 0; i < 5; i++) await newPallet() // meanwhile they have read their lines, and wait for the first call
    await holder.query('COMMIT')
    await ahead
    const outcomes = await Promise.allSettled(calls)
    expect(outcomes.filter(({ status }) => status === 'rejected')).toMatchObject([
      { reason: { code: 'IDEMPOTENCY_MISMATCH', fields: ['note'] } },
    ])
    expect(await left()).toMatchObject({ onHand: 7, reserved: 0, moved: [-4] })
  })
})
