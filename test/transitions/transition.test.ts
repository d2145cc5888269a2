import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { outbox } from '../../src/outbox/extension.js'
import type { OutboxMessage } from '../../src/outbox/types.js'
import { holdRow } from '../../src/testing/hold-row.js'
import { useDatabase } from '../support/clients.js'
import { connectTo } from '../support/connect-to.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

const database = useDatabase()
const parcel = {
  field: 'state',
  from: { PENDING: ['PAID', 'CANCELLED'], PAID: ['SHIPPED'], SHIPPED: ['PAID'] },
} as const
const QUICK = { baseDelay: 0, deadline: 60_000 }

const plain = concurrency({
  transitions: { Parcel: parcel, Errand: { field: 'state', from: { open: ['done'] } } },
  retry: QUICK,
})
const noting = concurrency({ transitions: { Parcel: { ...parcel, history: { model: 'ParcelMove' } } }, retry: QUICK })
const connect = () => {
  const made = database.connect()
  const [db, noted] = [made.client.$extends(plain), made.client.$extends(noting)]
  return { ...made, db, noted, telling: db.$extends(outbox()), both: noted.$extends(outbox()) }
}

async function newParcel(state = 'PENDING'): Promise<number> {
  const rows = await database.query('INSERT INTO "Parcel" (code, state) VALUES ($1, $2::"ParcelState") RETURNING id', [
    crypto.randomUUID(),
    state,
  ])
  return Number(rows[0]?.id)
}
const rowOf = async (id: number) => (await database.query('SELECT state, version FROM "Parcel" WHERE id = $1', [id]))[0]
const movesOf = (id: number) =>
  database.query('SELECT "from", "to", "by" FROM "ParcelMove" WHERE "parcelId" = $1 ORDER BY id', [id])
/** A move with a message, whose key is of the parcel. */
const toldMove = (id: number, to: 'PAID' | 'SHIPPED', topic: string = to) =>
  ({ where: { id }, to, outbox: { topic, payload: { id, to }, key: `parcel ${id}` } }) as const
const messagesOf = (id: number) =>
  database.query(
    `SELECT topic, payload, position - min(position) OVER () + 1 AS position
FROM "OutboxMessage" WHERE key = $1 ORDER BY position`,
    [`parcel ${id}`],
  )

describe('transition', () => {
  test('moves the record by one statement, with its data and its version', async () => {
    const { db, statements } = connect()
    const id = await newParcel()
    await db.parcel.transition({ where: { id: await newParcel() }, to: 'PAID' }) // looks into the catalogue
    statements.length = 0

    const result = await db.parcel.transition({
      where: { id },
      to: 'PAID',
      data: { note: 'cash' },
      select: { state: true, note: true, version: true },
    })

    expect(result).toEqual({ status: 'moved', record: { state: 'PAID', note: 'cash', version: 1 } })
    expect(statements).toEqual([expect.stringMatching(/^UPDATE /)])
  })

  test('tells of a record that is there already, that cannot go there, and that is missing, and writes nothing', async () => {
    const { db } = connect()
    const [paid, cancelled] = [await newParcel('PAID'), await newParcel('CANCELLED')]

    const results = [
      await db.parcel.transition({ where: { id: paid }, to: 'PAID', select: { id: true } }),
      await db.parcel.transition({ where: { id: cancelled }, to: 'PAID' }),
      await db.parcel.transition({ where: { code: 'nobody' }, to: 'PAID' }),
    ]

    expect(results).toEqual([
      { status: 'already', record: { id: paid } },
      { status: 'illegal', current: 'CANCELLED' },
      { status: 'missing' },
    ])
    expect([await rowOf(paid), await rowOf(cancelled)]).toMatchObject([{ version: 0 }, { version: 0 }])
  })

  test('of callers at once one moves it, and the others are told that it is there', async () => {
    const { db, noted } = connect()
    for (const { parcel } of [db, noted]) {
      const id = await newParcel()
      const results = await Promise.all(
        Array.from({ length: 8 }, () => parcel.transition({ where: { id }, to: 'PAID' })),
      )

      expect(results.map(({ status }) => status).sort()).toEqual([...Array(7).fill('already'), 'moved'])
      expect(await rowOf(id)).toEqual({ state: 'PAID', version: 1 })
    }
  })

  test('waits for the one that moves it now, and compares the state that it has left', async () => {
    const { db } = connect()
    const id = await newParcel()
    const stranger = await holdRow(database.url, `UPDATE "Parcel" SET state = 'CANCELLED' WHERE id = $1`, [id])

    const result = db.parcel.transition({ where: { id }, to: 'PAID' }).then((result) => result)
    await untilBlocked(database.url)
    await stranger.commit()

    expect(await result).toEqual({ status: 'illegal', current: 'CANCELLED' })
  })

  test('a storm of opposite moves: each row of the history follows the one before it', async () => {
    const { noted } = connect()
    const id = await newParcel('PAID')
    const worker = async () => {
      for (let round = 0; round < 10; round++) {
        await noted.parcel.transition({ where: { id }, to: round % 2 === 0 ? 'SHIPPED' : 'PAID' })
      }
    }
    await Promise.all(Array.from({ length: 4 }, worker))

    const moves = await movesOf(id)
    const states = ['PAID', ...moves.map(({ to }) => to)]
    expect(moves.map(({ from }) => from)).toEqual(states.slice(0, -1))
    expect(await rowOf(id)).toEqual({ state: states.at(-1), version: moves.length })
  })

  test('works with states that are texts, without a version', async () => {
    const { db } = connect()
    const { id } = await db.errand.create({ data: {} })

    expect(await db.errand.transition({ where: { id }, to: 'done' })).toEqual({
      status: 'moved',
      record: { id, state: 'done' },
    })
  })

  test('is part of a transaction of the caller’s, and is rolled back with it', async () => {
    const { db, noted } = connect()
    for (const client of [db, noted]) {
      const id = await newParcel()
      const error = await rejectionOf(
        client.$transactionWithRetry(async (tx) => {
          const { status } = await tx.parcel.transition({ where: { id }, to: 'PAID' })
          throw new Error(status)
        }),
      )
      expect([error, await rowOf(id), await movesOf(id)]).toEqual([
        expect.objectContaining({ message: 'moved' }),
        { state: 'PENDING', version: 0 },
        [],
      ])
    }
  })

  test('at SERIALIZABLE a conflict goes up, and the transaction runs again', async () => {
    const { db } = connect()
    const id = await newParcel()
    const results: string[] = []
    await db.$transactionWithRetry(
      async (tx, { attempt }) => {
        await tx.parcel.count()
        if (attempt === 1) await database.query(`UPDATE "Parcel" SET state = 'PAID' WHERE id = $1`, [id])
        results.push((await tx.parcel.transition({ where: { id }, to: 'PAID' })).status)
      },
      { isolationLevel: 'Serializable' },
    )
    expect(results).toEqual(['already'])
  })
})

describe('the history', () => {
  test('has a row for the winner, with the state that was left and the caller’s own columns', async () => {
    const { noted } = connect()
    const id = await newParcel()
    await noted.parcel.transition({ where: { id }, to: 'PAID', history: { by: 'Ann' } })
    await noted.parcel.transition({ where: { id }, to: 'PAID', history: { by: 'Bob' } })

    expect(await movesOf(id)).toEqual([{ from: 'PENDING', to: 'PAID', by: 'Ann' }])
  })

  test('and the move are written together or not at all, also in a transaction that goes on', async () => {
    const { noted } = connect()
    const id = await newParcel()
    const move = { where: { id }, to: 'PAID', history: { by: 1 as never } } as const

    await rejectionOf(noted.parcel.transition(move))
    await noted.$transaction(async (tx) => {
      await rejectionOf(tx.parcel.transition(move))
    })

    expect([await rowOf(id), await movesOf(id)]).toEqual([{ state: 'PENDING', version: 0 }, []])
  })
})

describe('the message', () => {
  test('is added by the one that moves the record, and by no other', async () => {
    const { telling, both } = connect()
    for (const client of [telling, both]) {
      const id = await newParcel()
      const topic = `paid ${id}`
      const results = await Promise.all(
        Array.from({ length: 8 }, () => client.parcel.transition(toldMove(id, 'PAID', topic))),
      )
      const cancelled = await newParcel('CANCELLED')
      await client.parcel.transition(toldMove(cancelled, 'PAID'))
      await client.parcel.transition(toldMove(-1, 'PAID'))

      expect(results.filter(({ status }) => status === 'moved')).toHaveLength(1)
      expect([await messagesOf(cancelled), await messagesOf(-1)]).toEqual([[], []])
      const sent: unknown[] = []
      const handlers = { [topic]: async ({ key, payload }: OutboxMessage) => sent.push([key, payload]) }
      await client.$outbox.relay(handlers, { until: 'empty' })
      expect(sent).toEqual([[`parcel ${id}`, { id, to: 'PAID' }]])
    }
  })

  test('and the move are written together or not at all, also in a transaction that goes on', async () => {
    const { telling, both } = connect()
    await database.query(`ALTER TABLE "OutboxMessage" ADD CONSTRAINT refusing CHECK (topic <> 'refused')`)
    for (const client of [telling, both]) {
      const id = await newParcel()
      const refused = toldMove(id, 'PAID', 'refused')
      const errors = [
        await rejectionOf(client.parcel.transition(refused)),
        await client.$transactionWithRetry(async (tx) => rejectionOf(tx.parcel.transition(refused))),
        await rejectionOf(
          client.$transactionWithRetry(async (tx) => {
            const { status } = await tx.parcel.transition(toldMove(id, 'PAID'))
            throw new Error(status)
          }),
        ),
      ]
      expect(errors).toMatchObject([{}, {}, { message: 'moved' }])
      expect([await rowOf(id), await movesOf(id), await messagesOf(id)]).toEqual([
        { state: 'PENDING', version: 0 },
        [],
        [],
      ])
    }
  })

  test('takes its turn among the calls of a transaction', async () => {
    const { both } = connect()
    const id = await newParcel()
    const key = `parcel ${id}`
    await both.$transactionWithRetry((tx) =>
      Promise.all([
        tx.$outbox.add('first', 1, { key }),
        tx.parcel.transition(toldMove(id, 'PAID', 'first')),
        tx.parcel.transition(toldMove(id, 'SHIPPED', 'first')),
        tx.$outbox.add('first', 4, { key }),
      ]),
    )
    const told = await messagesOf(id)
    expect(told.map(({ position }) => position)).toEqual(['1', '2', '3', '4'])
    const payloads = [1, { id, to: 'PAID' }, { id, to: 'SHIPPED' }, 4]
    expect(told.map(({ payload }) => payload)).toEqual(expect.arrayContaining(payloads))
  })

  test('a storm of opposite moves: the messages of a record come in the order of its moves, one for each', async () => {
    const { both } = connect()
    const id = await newParcel('PAID')
    const worker = async () => {
      for (let round = 0; round < 10; round++) {
        await both.parcel.transition(toldMove(id, round % 2 === 0 ? 'SHIPPED' : 'PAID', 'storm'))
      }
    }
    await Promise.all(Array.from({ length: 4 }, worker))

    const moves = await movesOf(id)
    const told = await messagesOf(id)
    expect(told.map(({ position, payload }) => [position, (payload as { to: string }).to])).toEqual(
      moves.map(({ to }, i) => [String(i + 1), to === 'on its way' ? 'SHIPPED' : to]),
    )
    expect(await rowOf(id)).toMatchObject({ version: moves.length })
  })

  test.each([
    ['drop', 'already'],
    ['cut', 'moved'],
  ] as const)('is there once after the answer to COMMIT was lost (%s)', async (fault, expected) => {
    const proxy = await openProxy(database.url)
    const told = connectTo(proxy.url).client.$extends(plain).$extends(outbox())
    const id = await newParcel()
    await told.parcel.findFirst()
    const lost = proxy.next(/^COMMIT/, fault)

    const { status } = await told.parcel.transition(toldMove(id, 'PAID'))

    await lost.happened
    expect([status, await rowOf(id), (await messagesOf(id)).length]).toEqual([
      expected,
      { state: 'PAID', version: 1 },
      1,
    ])
  })
})

describe('a lost answer', () => {
  const connectTroubled = async () => {
    const proxy = await openProxy(database.url)
    const { client } = connectTo(proxy.url)
    return { proxy, db: client.$extends(plain), noted: client.$extends(noting) }
  }

  test.each([
    ['UPDATE', 'db', /^UPDATE/],
    ['COMMIT', 'noted', /^COMMIT/],
  ] as const)('to %s, which was carried out, is `already`: the record was moved once', async (_, name, statement) => {
    const made = await connectTroubled()
    const id = await newParcel()
    await made[name].parcel.findFirst()
    made.proxy.next(statement, 'drop')

    const { status } = await made[name].parcel.transition({ where: { id }, to: 'PAID' })

    expect([status, await rowOf(id), (await movesOf(id)).length]).toEqual([
      'already',
      { state: 'PAID', version: 1 },
      name === 'db' ? 0 : 1,
    ])
  })

  test('that was not carried out is sent again', async () => {
    const { proxy, db } = await connectTroubled()
    const id = await newParcel()
    proxy.next(/^UPDATE/, 'cut')

    expect(await db.parcel.transition({ where: { id }, to: 'PAID' })).toMatchObject({
      status: 'moved',
      record: { version: 1 },
    })
  })

  test('is an unknown outcome where the record has gone on meanwhile', async () => {
    const { proxy, db } = await connectTroubled()
    const id = await newParcel()
    const lost = proxy.next(/^UPDATE/, 'drop')
    const next = proxy.next(/^UPDATE/, 'hold')
    const call = rejectionOf(db.parcel.transition({ where: { id }, to: 'CANCELLED' }))
    await lost.happened
    await next.happened
    await database.query(`UPDATE "Parcel" SET state = 'on its way' WHERE id = $1`, [id])
    next.release()

    expect(await call).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
  })
})

describe('mistakes', () => {
  test.each([
    ['transitions.Parsel', { Parsel: parcel }],
    ['transitions.Parcel.field', { Parcel: { ...parcel, field: 'stat' } }],
    ['transitions.Parcel.field', { Parcel: { ...parcel, field: 'note' } }],
    ['transitions.Parcel.from', { Parcel: { ...parcel, from: {} } }],
    ['transitions.Parcel.from.PENDING.1', { Parcel: { ...parcel, from: { PENDING: ['PAID', 'PAYED'] } } }],
    ['transitions.Parcel.from.NEW', { Parcel: { ...parcel, from: { NEW: ['PAID'] } } }],
    ['transitions.Parcel.from.PAID.0', { Parcel: { ...parcel, from: { PAID: ['PAID'] } } }],
    ['transitions.Parcel.history.model', { Parcel: { ...parcel, history: { model: 'Moves' } } }],
    ['transitions.Parcel.history.from', { Parcel: { ...parcel, history: { model: 'ParcelMove', from: 'by' } } }],
  ])('of the declaration at %s are named when the client is extended', (path, transitions) => {
    const extend = () => database.connect().client.$extends(concurrency({ transitions } as never) as never)
    expect(extend).toThrow(
      expect.objectContaining({ code: 'CONFIGURATION', issues: [expect.objectContaining({ path })] }),
    )
  })

  test.each([
    ['to', { where: { id: 1 }, to: 'PENDING' }],
    ['to', { where: { id: 1 } }],
    ['where', { to: 'PAID' }],
    ['where.state', { where: { id: 1, state: 'PENDING' }, to: 'PAID' }],
    ['where.version', { where: { id: 1, version: 3 }, to: 'PAID' }],
    ['data.state', { where: { id: 1 }, to: 'PAID', data: { state: 'PAID' } }],
    ['data.version', { where: { id: 1 }, to: 'PAID', data: { version: 3 } }],
    ['data.moves', { where: { id: 1 }, to: 'PAID', data: { moves: { create: {} } } }],
    ['history', { where: { id: 1 }, to: 'PAID', history: { by: 'Ann' } }],
    ['form', { where: { id: 1 }, to: 'PAID', form: 1 }],
    ['outbox', { where: { id: 1 }, to: 'PAID', outbox: 'parcel.paid' }],
    ['outbox.topic', { where: { id: 1 }, to: 'PAID', outbox: { payload: 1 } }],
    ['outbox.key', { where: { id: 1 }, to: 'PAID', outbox: { topic: 'a', payload: 1, key: '' } }],
    ['outbox.payload', { where: { id: 1 }, to: 'PAID', outbox: { topic: 'a', payload: 1n } }],
    ['outbox.body', { where: { id: 1 }, to: 'PAID', outbox: { topic: 'a', payload: 1, body: 1 } }],
  ])('of a call at %s are named before any SQL', async (field, args) => {
    const { telling, statements } = connect()
    const error = await rejectionOf(telling.parcel.transition(args as never))
    expect([error, statements]).toEqual([expect.objectContaining({ code: 'INVALID_ARGUMENT', field }), []])
  })

  test('a model without moves is named, and so are a message without an outbox and a call in an array', async () => {
    const { db } = connect()
    const call = { where: { id: 1 }, to: 'PAID' } as never
    expect(await rejectionOf(db.order.transition(call))).toMatchObject({ code: 'CONFIGURATION' })
    const told = { where: { id: 1 }, to: 'PAID', outbox: { topic: 'a', payload: 1 } } as never
    expect(await rejectionOf(db.parcel.transition(told))).toMatchObject({
      code: 'CONFIGURATION',
      issues: [{ path: 'outbox' }],
    })
    expect(await rejectionOf((async () => db.$transaction([db.parcel.transition(call) as never]))())).toMatchObject({
      code: 'BATCH_TRANSACTION',
    })
  })
})
