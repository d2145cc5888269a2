import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { connectTo } from '../support/connect-to.js'
import { openTransaction } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

/** A call that the compiler refuses, and JavaScript does not. */
type Loose = (args: unknown) => Promise<unknown>

const newId = () => randomUUID()
const paymentsOf = (transactionId: string) =>
  database.query('SELECT * FROM "Payment" WHERE "transactionId" = $1', [transactionId])
const kinds = (statements: readonly string[]) => statements.map((sql) => sql.split(' ')[0])

async function newCustomer() {
  const email = `${newId()}@example.org`
  const [row] = await database.query('INSERT INTO "Customer" (email) VALUES ($1) RETURNING id', [email])
  return { id: row.id as number, email }
}

async function newOrderAndProduct() {
  const [order] = await database.query(`INSERT INTO "Order" (customer) VALUES ('Ana') RETURNING id`)
  const [product] = await database.query(
    `INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()) RETURNING id`,
  )
  return { orderId: order.id as number, productId: product.id as number }
}

describe('a row that refers to another one', () => {
  test('takes the foreign key as a scalar', async () => {
    const { db } = connect()
    const { id } = await newCustomer()
    const call = db.payment.createIdempotent({
      where: { transactionId: newId() },
      data: { amount: 5, customerId: id },
    })
    expect((await call).record.customerId).toBe(id)
  })

  test('takes `connect` by the key, at the cost of no further statement', async () => {
    const { db, statements } = connect()
    const { id } = await newCustomer()
    const call = db.payment.createIdempotent({
      where: { transactionId: newId() },
      data: { amount: 5, customer: { connect: { id } } },
    })
    expect((await call).record.customerId).toBe(id)
    expect(kinds(statements)).toEqual(['INSERT'])
  })

  test('takes `connect` by another unique key, which is looked up', async () => {
    const { db, statements } = connect()
    const { id, email } = await newCustomer()
    const call = db.payment.createIdempotent({
      where: { transactionId: newId() },
      data: { amount: 5, customer: { connect: { email } } },
    })
    expect((await call).record.customerId).toBe(id)
    expect(kinds(statements)).toEqual(['SELECT', 'INSERT'])
  })

  test('takes `connect` by the key and a condition, which must hold', async () => {
    const { db } = connect()
    const [{ id, email }, other] = [await newCustomer(), await newCustomer()]
    const call = (where: object) =>
      db.payment.createIdempotent({
        where: { transactionId: newId() },
        data: { amount: 5, customer: { connect: { id, ...where } } },
      })
    expect((await call({ email })).record.customerId).toBe(id)
    expect(await rejectionOf(call({ email: other.email }))).toMatchObject({ code: 'P2025' })
  })

  test("takes `connect` in a caller's transaction to what was created there just now", async () => {
    const { db } = connect()
    const email = `${newId()}@example.org`
    const payment = await db.$transaction(async (tx) => {
      await tx.customer.create({ data: { email } })
      return tx.payment.createIdempotent({
        where: { transactionId: newId() },
        data: { amount: 5, customer: { connect: { email } } },
        include: { customer: true },
      })
    })
    expect(payment.record.customer).toMatchObject({ email })
  })

  test('that is not there, named by its key, is a foreign-key error, and leaves no row', async () => {
    const { db } = connect()
    const transactionId = newId()
    const call = db.payment.createIdempotent({
      where: { transactionId },
      data: { amount: 5, customer: { connect: { id: -1 } } },
    })
    expect(await rejectionOf(call)).toMatchObject({ code: 'P2003' })
    expect(await paymentsOf(transactionId)).toEqual([])
  })

  test("that is not there, named by another unique key, is Prisma's P2025, and leaves no row", async () => {
    const { db } = connect()
    const transactionId = newId()
    const call = db.payment.createIdempotent({
      where: { transactionId },
      data: { amount: 5, customer: { connect: { email: 'nobody' } } },
    })
    expect(await rejectionOf(call)).toMatchObject({ code: 'P2025' })
    expect(await paymentsOf(transactionId)).toEqual([])
  })

  test.each([
    ['an empty object', {}],
    ['an undefined key', { id: undefined }],
    ['a null key', { id: null }],
    ['a filter', { id: { equals: 1 } }],
    ['an unknown field', { nonsense: 1 }],
  ])("connected by %s is Prisma's own validation error, not a row without the link", async (_, target) => {
    const { db } = connect()
    const transactionId = newId()
    const call = (db.payment.createIdempotent as Loose).call(db.payment, {
      where: { transactionId },
      data: { amount: 5, customer: { connect: target } },
    })
    expect(await rejectionOf(call)).toMatchObject({ name: 'PrismaClientValidationError' })
    expect(await paymentsOf(transactionId)).toEqual([])
  })

  test.each([
    ['create', { create: { email: 'new' } }],
    ['connectOrCreate', { connectOrCreate: { where: { email: 'new' }, create: { email: 'new' } } }],
    ['connect and create', { connect: { id: 1 }, create: { email: 'new' } }],
    ['null', null],
    ['true', { connect: true }],
  ])('is refused before any SQL where it is to be made with %s', async (_, customer) => {
    const { db, statements } = connect()
    const call = (db.payment.createIdempotent as Loose).call(db.payment, {
      where: { transactionId: newId() },
      data: { amount: 5, customer },
    })
    expect(await rejectionOf(call)).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'data.customer',
      message: expect.stringContaining('Create that before'),
    })
    expect(statements).toEqual([])
  })
})

describe('a key that is made of foreign keys', () => {
  test('needs no more than the other data', async () => {
    const { db } = connect()
    const key = await newOrderAndProduct()
    const call = db.orderLine.createIdempotent({ where: { orderId_productId: key }, data: { quantity: 2 } })
    expect(await call).toMatchObject({ replayed: false, record: { ...key, quantity: 2, version: 0 } })
  })

  test('may be connected too, to the same records', async () => {
    const { db, statements } = connect()
    const key = await newOrderAndProduct()
    const call = () =>
      db.orderLine.createIdempotent({
        where: { orderId_productId: key },
        data: {
          quantity: 2,
          order: { connect: { id: key.orderId } },
          product: { connect: { id: key.productId } },
        },
      })
    expect(await call()).toMatchObject({ replayed: false, record: key })
    expect(await call()).toMatchObject({ replayed: true, record: key })
    expect(kinds(statements)).toEqual(['INSERT', 'INSERT', 'SELECT'])
  })

  test('cannot be connected to another record than `where` names', async () => {
    const { db, statements } = connect()
    const key = await newOrderAndProduct()
    const call = db.orderLine.createIdempotent({
      where: { orderId_productId: key },
      data: {
        quantity: 2,
        order: { connect: { id: key.orderId + 1 } },
        product: { connect: { id: key.productId } },
      },
    })
    expect(await rejectionOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'data.order' })
    expect(statements).toEqual([])
  })

  test('may be a single foreign key, that of a one-to-one relation', async () => {
    const { db } = connect()
    const { orderId } = await newOrderAndProduct()
    const call = () => db.invoice.createIdempotent({ where: { orderId }, data: { number: `I-${orderId}` } })
    const first = await call()
    expect(first).toMatchObject({ replayed: false, record: { orderId } })
    expect(await call()).toEqual({ ...first, replayed: true })
  })
})

describe('a row with children', () => {
  test('is created with them once, in one transaction, and stays at version 0', async () => {
    const { db, statements } = connect()
    const transactionId = newId()
    const call = () =>
      db.payment.createIdempotent({
        where: { transactionId },
        data: { amount: 5, items: { create: [{ text: 'a' }, { text: 'b' }] } },
        include: { items: { orderBy: { id: 'asc' } } },
      })
    const first = await call()
    expect(first).toMatchObject({ replayed: false, record: { version: 0, items: [{ text: 'a' }, { text: 'b' }] } })
    expect(kinds(statements).filter((kind) => kind !== 'SELECT' && kind !== 'INSERT')).toEqual(['BEGIN', 'COMMIT'])
    expect(await call()).toEqual({ ...first, replayed: true })
    expect(await database.query('SELECT 1 FROM "PaymentItem" WHERE "paymentId" = $1', [first.record.id])).toHaveLength(
      2,
    )
  })

  test('is claimed before any child is written', async () => {
    const { db, statements } = connect()
    await db.payment.createIdempotent({
      where: { transactionId: newId() },
      data: { amount: 5, items: { create: { text: 'a' } } },
    })
    expect(statements.filter((sql) => sql.startsWith('INSERT')).map((sql) => sql.split(' ')[2])).toEqual([
      '"public"."Payment"',
      '"public"."PaymentItem"',
    ])
  })

  test('takes a single child, `createMany`, and `connect` of children that are there', async () => {
    const { db } = connect()
    const one = await db.payment.createIdempotent({
      where: { transactionId: newId() },
      data: { amount: 5, items: { create: { text: 'a' } } },
      select: { items: { select: { id: true, text: true } } },
    })
    const many = await db.payment.createIdempotent({
      where: { transactionId: newId() },
      data: { amount: 5, items: { createMany: { data: [{ text: 'b' }, { text: 'c' }] } } },
      select: { items: { select: { text: true } } },
    })
    const connected = await db.payment.createIdempotent({
      where: { transactionId: newId() },
      data: { amount: 5, items: { connect: one.record.items.map(({ id }) => ({ id })) } },
      select: { version: true, items: { select: { text: true } } },
    })
    expect([one.record.items[0].text, many.record.items, connected.record]).toEqual([
      'a',
      [{ text: 'b' }, { text: 'c' }],
      { version: 0, items: [{ text: 'a' }] },
    ])
  })

  test('takes both input forms at once: foreign keys as scalars or connected, and children', async () => {
    const { db } = connect()
    const { id, email } = await newCustomer()
    const results = [
      await db.payment.createIdempotent({
        where: { transactionId: newId() },
        data: { amount: 5, customerId: id, items: { create: { text: 'a' } } },
        include: { customer: true, items: true },
      }),
      await db.payment.createIdempotent({
        where: { transactionId: newId() },
        data: { amount: 5, customer: { connect: { email } }, items: { create: { text: 'a' } } },
        include: { customer: true, items: true },
      }),
    ]
    for (const { record } of results) expect(record).toMatchObject({ customer: { id }, items: [{ text: 'a' }] })
  })

  test('takes a child of a one-to-one relation, and grandchildren', async () => {
    const { db } = connect()
    const [row] = await database.query(`SELECT nextval('"Order_id_seq"')::int AS id`)
    const { productId } = await newOrderAndProduct()
    const call = () =>
      db.order.createIdempotent({
        where: { id: row.id as number },
        data: {
          customer: 'Ana',
          invoice: { create: { number: newId() } },
          lines: { create: [{ quantity: 1, product: { connect: { id: productId } } }] },
        },
        include: { invoice: true, lines: { include: { product: true } } },
      })
    const first = await call()
    expect(first.record).toMatchObject({ version: 0, invoice: { version: 0 }, lines: [{ product: { version: 0 } }] })
    expect(await call()).toEqual({ ...first, replayed: true })
  })

  test.each([
    ['the database', { create: [{ text: 'a' }, { id: 1, text: 'b' }, { id: 1, text: 'c' }] }, 'P2002'],
    ['Prisma', { create: [{ text: 'a' }], connect: { id: -1 } }, 'P2018'],
  ])('leaves nothing if %s refuses one of them', async (_, items, code) => {
    const { db } = connect()
    const transactionId = newId()
    const text = newId()
    const create = [items.create].flat().map((item) => ({ ...item, text }))
    const call = db.payment.createIdempotent({
      where: { transactionId },
      data: { amount: 5, items: { ...items, create } },
    })
    expect(await rejectionOf(call)).toMatchObject({ code })
    expect(await paymentsOf(transactionId)).toEqual([])
    expect(await database.query('SELECT 1 FROM "PaymentItem" WHERE text = $1', [text])).toEqual([])
  })

  test("in a caller's transaction is created once, and goes with it", async () => {
    const { db } = connect()
    const args = { where: { transactionId: newId() }, data: { amount: 5, items: { create: { text: 'a' } } } }
    await rejectionOf(
      db.$transaction(async (tx) => {
        expect(await tx.payment.createIdempotent(args)).toMatchObject({ replayed: false })
        expect(await tx.payment.createIdempotent(args)).toMatchObject({ replayed: true })
        throw new Error('on second thoughts')
      }),
    )
    expect(await db.payment.createIdempotent(args)).toMatchObject({ replayed: false })
  })

  test.each([
    [
      'the database',
      {
        create: [
          { id: 1, text: 'b' },
          { id: 1, text: 'c' },
        ],
      },
    ],
    ['Prisma', { create: [{ text: 'a' }], connect: { id: -1 } }],
  ])(
    "in a caller's transaction leaves nothing if %s refuses one of them, not even where that is caught",
    async (_, items) => {
      const { db } = connect()
      const transactionId = newId()
      await db.$transaction(async (tx) => {
        await rejectionOf(tx.payment.createIdempotent({ where: { transactionId }, data: { amount: 5, items } }))
        await tx.note.create({ data: { text: transactionId } })
      })
      expect(await paymentsOf(transactionId)).toEqual([])
      expect(await db.note.count({ where: { text: transactionId } })).toBe(1)
    },
  )

  test("in a caller's transaction may be called for several at once", async () => {
    const { db } = connect()
    const results = await db.$transaction((tx) =>
      Promise.all(
        Array.from({ length: 5 }, () =>
          tx.payment.createIdempotent({
            where: { transactionId: newId() },
            data: { amount: 5, items: { create: { text: 'a' } } },
            include: { items: true },
          }),
        ),
      ),
    )
    expect(results.map(({ record }) => record.items.length)).toEqual([1, 1, 1, 1, 1])
  })

  test('in a savepoint of the caller is undone with it', async () => {
    const { db } = connect()
    const args = { where: { transactionId: newId() }, data: { amount: 5, items: { create: { text: 'a' } } } }
    await db.$transaction(async (tx) => {
      await rejectionOf(
        tx.$transaction(async (inner) => {
          await inner.payment.createIdempotent(args)
          throw new Error('on second thoughts')
        }),
      )
      expect(await tx.payment.createIdempotent(args)).toMatchObject({ replayed: false })
    })
    expect(await paymentsOf(args.where.transactionId)).toHaveLength(1)
  })

  test('waits for a first one in flight, whose children it then finds complete', async () => {
    const { db } = connect()
    const transactionId = newId()
    const holder = await openTransaction(
      database.url,
      `WITH payment AS (INSERT INTO "Payment" ("transactionId", amount) VALUES ($1, 1) RETURNING id)
INSERT INTO "PaymentItem" (text, "paymentId") SELECT 'theirs', id FROM payment`,
      [transactionId],
    )
    const call = started(
      db.payment.createIdempotent({
        where: { transactionId },
        data: { amount: 5, items: { create: { text: 'ours' } } },
        include: { items: true },
      }),
    )
    await untilBlocked(database.url)
    await holder.query('COMMIT')
    expect(await call).toMatchObject({ replayed: true, record: { items: [{ text: 'theirs' }] } })
  })

  test('does not wait past the deadline for a first one in flight', async () => {
    const { db } = connect()
    await db.payment.count()
    const transactionId = newId()
    await openTransaction(database.url, 'INSERT INTO "Payment" ("transactionId", amount) VALUES ($1, 1)', [
      transactionId,
    ])
    const call = db.payment.createIdempotent({
      where: { transactionId },
      data: { amount: 5, items: { create: { text: 'ours' } } },
      retry: { deadline: 1_000 },
    })
    expect(await rejectionOf(call)).toMatchObject({ code: expect.stringMatching(/^P20(28|39)$/) })
    expect(await paymentsOf(transactionId)).toEqual([])
  })

  test('whose connection breaks at COMMIT, once it is done, is found by the second attempt', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const transactionId = newId()
    proxy.next(/^COMMIT/, 'drop')
    const call = db.payment.createIdempotent({
      where: { transactionId },
      data: { amount: 5, items: { create: { text: 'a' } } },
      include: { items: true },
    })
    expect((await call).record.items).toHaveLength(1)
    expect(await paymentsOf(transactionId)).toHaveLength(1)
  })

  test.each([/^INSERT INTO "public"."Payment" /, /^INSERT INTO "public"."PaymentItem"/, /^COMMIT/])(
    'whose connection breaks before %s is inserted by the second attempt',
    async (statement) => {
      const proxy = await openProxy(database.url)
      const { db } = connectTo(proxy.url)
      const transactionId = newId()
      proxy.next(statement, 'cut')
      const call = db.payment.createIdempotent({
        where: { transactionId },
        data: { amount: 5, items: { create: { text: 'a' } } },
        include: { items: true },
      })
      expect(await call).toMatchObject({ replayed: false, record: { items: [{ text: 'a' }] } })
      expect(await paymentsOf(transactionId)).toHaveLength(1)
    },
  )
})
