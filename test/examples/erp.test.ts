import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { type ErpOptions, type ErpServer, startErp } from '../../examples/erp/server.js'
import { useDatabase } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import { runExample } from '../support/example.js'
import { type HttpAnswer, sendTo } from '../support/http.js'
import { untilBlocked } from '../support/until-blocked.js'

const database = useDatabase()

// Two machines: two ports, two clients.
let servers: ErpServer[]
beforeAll(async () => {
  servers = await Promise.all([0, 1].map(() => startErp(database.url, { foldEvery: 20 })))
})
afterAll(() => Promise.all(servers?.map((server) => server.close()) ?? []))

const get = (path: string) => sendTo(servers[0].url, { method: 'GET', path })
const remove = (path: string) => sendTo(servers[0].url, { method: 'DELETE', path })
const post = (path: string, body: unknown, key: string | undefined = newKey(), server = servers[0]) =>
  sendTo(server.url, { method: 'POST', path, body, key })

const newKey = (): string => randomUUID()
const json = ({ text }: HttpAnswer) => JSON.parse(text)
const problem = (answer: HttpAnswer) => ({ status: answer.status, type: answer.type })
const PROBLEM = 'application/problem+json'

/** A product with so much in stock, without serial numbers. */
async function newProduct(onHand = 0): Promise<number> {
  const [{ id }] = await database.query(
    `WITH product AS (
  INSERT INTO "Product" (id, name, price, "updatedAt")
  SELECT greatest(max(id), 1000) + 1, 'Chai', 18, now() FROM "Product" RETURNING id
), stock AS (
  INSERT INTO "Stock" ("productId", warehouse, "onHand") SELECT id, 'main', $1 FROM product
), opening AS (
  INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity)
  SELECT 'opening ' || id, 0, id, 'main', $1 FROM product WHERE $1 <> 0
)
SELECT id FROM product`,
    [onHand],
  )
  return id as number
}

/** One of the products that have serial numbers, with nothing in stock and no serials. */
async function emptySerialised(productId: 11 | 42 | 59): Promise<number> {
  await database.query(
    `INSERT INTO "Product" (id, name, price, "updatedAt") VALUES ($1, 'Cabrales', 21, now()) ON CONFLICT DO NOTHING`,
    [productId],
  )
  await database.query(`INSERT INTO "Stock" ("productId", warehouse) VALUES ($1, 'main') ON CONFLICT DO NOTHING`, [
    productId,
  ])
  await post(`/stock/${productId}/counts`, { counted: 0 })
  await database.query('DELETE FROM "Serial" WHERE "productId" = $1', [productId])
  return productId
}

/** Receives goods, and waits for the fold. */
async function receive(productId: number, quantity: number, serials?: readonly string[]) {
  const answer = await post(`/stock/${productId}/receipts`, { quantity, serials })
  expect(answer.status).toBe(202)
  while (json(await get(`/stock/${productId}`)).arriving > 0) await sleep(5)
}

const onHand = async (productId: number) => json(await get(`/stock/${productId}`)).onHand as number

const order = (productId: number, quantity: number, customer = 'VINET') => ({
  customer,
  lines: [{ productId, quantity }],
})

const invoicesOf = (productId: number) =>
  database.query('SELECT number FROM "Invoice" JOIN "OrderLine" USING ("orderId") WHERE "productId" = $1', [productId])

describe('POST of an order', () => {
  test('takes the goods out of stock and answers with the invoice, which can be read again', async () => {
    const [a, b] = [await newProduct(10), await newProduct(10)]
    const lines = [
      { productId: b, quantity: 2 },
      { productId: a, quantity: 3 },
    ]

    const answer = await post('/orders', { customer: 'VINET', lines })

    expect(answer.status).toBe(201)
    expect(json(answer)).toEqual({
      number: expect.stringMatching(/^INV-\d{6}$/),
      order: expect.any(Number),
      customer: 'VINET',
      lines: [
        { productId: a, name: 'Chai', price: '18.00', quantity: 3, serials: [] },
        { productId: b, name: 'Chai', price: '18.00', quantity: 2, serials: [] },
      ],
      total: '90.00',
    })
    const read = await get(answer.location as string)
    expect([read.status, read.text]).toEqual([200, answer.text])
    expect([await onHand(a), await onHand(b)]).toEqual([7, 8])
  })

  test('names the serial numbers of what is sold with one', async () => {
    const productId = await emptySerialised(11)
    await receive(productId, 3, ['S-1', 'S-2', 'S-3'])

    const [first, second] = [await post('/orders', order(productId, 2)), await post('/orders', order(productId, 1))]

    expect([json(first).lines[0].serials, json(second).lines[0].serials]).toEqual([['S-1', 'S-2'], ['S-3']])
  })

  test('that comes again, on another machine, gets the very same answer, and is sold once', async () => {
    const productId = await newProduct(10)
    const key = newKey()

    const first = await post('/orders', order(productId, 3), key)
    const second = await post('/orders', order(productId, 3), key, servers[1])

    expect(first.status).toBe(201)
    expect(second).toEqual(first)
    expect(await onHand(productId)).toBe(7)
  })

  test('that comes again gets the very same answer after the product has got another name and price', async () => {
    const productId = await newProduct(10)
    const key = newKey()
    const first = await post('/orders', order(productId, 3), key)
    await database.query(`UPDATE "Product" SET name = 'Chai Latte', price = 99 WHERE id = $1`, [productId])

    expect(await post('/orders', order(productId, 3), key)).toEqual(first)
  })

  test('that comes again while the first one runs waits for it, and gets the same answer', async () => {
    const productId = await newProduct(10)
    const key = newKey()
    const holder = await openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [
      productId,
    ])
    const both = servers.map((server) => post('/orders', order(productId, 3), key, server))
    await untilBlocked(database.url, 2)
    await holder.query('COMMIT')

    const [first, second] = await Promise.all(both)

    expect(first.status).toBe(201)
    expect(second).toEqual(first)
    expect(await invoicesOf(productId)).toHaveLength(1)
  })

  test.each<[string, { customer?: string; quantity?: number; more?: number }]>([
    ['another quantity', { quantity: 4 }],
    ['another customer', { customer: 'TOMSP' }],
    ['one line less', { more: 1 }],
  ])('under a key that came with %s before is 422, and nothing is sold', async (_, change) => {
    const [productId, other] = [await newProduct(10), await newProduct(10)]
    const key = newKey()
    await post('/orders', order(productId, 3), key)
    const { customer = 'VINET', quantity = 3, more } = change
    const lines = [{ productId, quantity }, ...(more ? [{ productId: other, quantity: more }] : [])]

    const answer = await post('/orders', { customer, lines }, key)

    expect(problem(answer)).toEqual({ status: 422, type: PROBLEM })
    expect([await onHand(productId), await onHand(other)]).toEqual([7, 10])
    expect(await invoicesOf(productId)).toHaveLength(1)
  })

  test('is refused whole with every line that is short, and sold under the same key after a delivery', async () => {
    const [plenty, short, empty] = [await newProduct(10), await newProduct(1), await newProduct(0)]
    const lines = [plenty, short, empty].map((productId) => ({ productId, quantity: 2 }))
    const key = newKey()

    const refused = await post('/orders', { customer: 'VINET', lines }, key)
    const between = await Promise.all([plenty, short, empty].map(onHand))
    for (const productId of [short, empty]) await receive(productId, 5)
    const sold = await post('/orders', { customer: 'VINET', lines }, key)

    expect(problem(refused)).toEqual({ status: 409, type: PROBLEM })
    expect(json(refused).shortages).toEqual([
      { productId: short, requested: 2, available: 1 },
      { productId: empty, requested: 2, available: 0 },
    ])
    expect(between).toEqual([10, 1, 0])
    expect(sold.status).toBe(201)
  })

  test('is refused whole if serial numbers are missing, and uses up no invoice number', async () => {
    const productId = await emptySerialised(42)
    await post(`/stock/${productId}/counts`, { counted: 5 })
    const numbers = () => database.query('SELECT last FROM "Series"')
    const before = await numbers()

    const answer = await post('/orders', order(productId, 2))

    expect(problem(answer)).toEqual({ status: 409, type: PROBLEM })
    expect(json(answer).title).toBe('Not enough serial numbers')
    expect(await onHand(productId)).toBe(5)
    expect(await numbers()).toEqual(before)
  })

  test('of a product that is not kept in stock is 404, and names it', async () => {
    const answer = await post('/orders', order(999_999, 1))

    expect(problem(answer)).toEqual({ status: 404, type: PROBLEM })
    expect(json(answer).productId).toBe(999_999)
  })

  test.each([
    ['no JSON', '{'],
    ['no customer', { lines: [{ productId: 1, quantity: 1 }] }],
    ['a customer that cannot be stored', { ...order(1, 1), customer: 'a\0b' }],
    ['no lines', { customer: 'VINET', lines: [] }],
    ['a negative quantity', order(1, -1)],
    ['a fraction', order(1, 1.5)],
    ['a product twice', { customer: 'VINET', lines: [...order(1, 1).lines, ...order(1, 2).lines] }],
    ['an unknown field', { ...order(1, 1), discount: 5 }],
  ])('with %s is 400', async (_, body) => {
    expect(problem(await post('/orders', body))).toEqual({ status: 400, type: PROBLEM })
  })

  test('without an Idempotency-Key is 400', async () => {
    const answer = await sendTo(servers[0].url, { method: 'POST', path: '/orders', body: order(1, 1) })

    expect(problem(answer)).toEqual({ status: 400, type: PROBLEM })
  })
})

describe('the stock of a product', () => {
  test('is raised by a receipt, once the fold has come by, and once however often it is sent', async () => {
    const productId = await newProduct(10)
    const key = newKey()
    const receipt = (server: ErpServer) => post(`/stock/${productId}/receipts`, { quantity: 5 }, key, server)

    const answers = [await receipt(servers[0]), await receipt(servers[1])]
    await receive(productId, 1)

    expect(answers.map(({ status, text }) => [status, text])).toEqual([
      [202, `{"productId":${productId},"quantity":5}`],
      [202, `{"productId":${productId},"quantity":5}`],
    ])
    expect(await onHand(productId)).toBe(16)
  })

  test('shows a receipt as arriving until it is folded', async () => {
    const productId = await newProduct(10)
    const holder = await openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [
      productId,
    ])
    await post(`/stock/${productId}/receipts`, { quantity: 5 })

    expect(json(await get(`/stock/${productId}`))).toEqual({ productId, onHand: 10, reserved: 0, arriving: 5 })
    await holder.query('COMMIT')
  })

  test('is what was counted after a stocktake, and a count that comes again has the same answer', async () => {
    const productId = await newProduct(10)
    const key = newKey()
    const count = () => post(`/stock/${productId}/counts`, { counted: 7 }, key)

    const first = await count()
    await post('/orders', order(productId, 2))
    const second = await count()

    expect([first.status, json(first)]).toEqual([201, { productId, difference: -3 }])
    expect(second).toEqual(first)
    expect(await onHand(productId)).toBe(5)
  })

  test.each(['receipts', 'counts'])('takes a key of %s for one product only', async (what) => {
    const [productId, other] = [await newProduct(), await newProduct()]
    const key = newKey()
    const body = what === 'receipts' ? { quantity: 5 } : { counted: 5 }
    await post(`/stock/${productId}/${what}`, body, key)

    expect(problem(await post(`/stock/${other}/${what}`, body, key))).toEqual({ status: 422, type: PROBLEM })
  })

  test('takes one key for a receipt, a count, an order and a basket: they are different things', async () => {
    const productId = await newProduct(10)
    const key = newKey()

    const answers = [
      await post(`/stock/${productId}/receipts`, { quantity: 5 }, key),
      await post(`/stock/${productId}/counts`, { counted: 10 }, key),
      await post('/orders', order(productId, 1), key),
      await post('/baskets', { lines: order(productId, 1).lines }, key),
      await post(`/baskets/${key}/checkout`, { customer: 'VINET' }),
    ]

    expect(answers.map(({ status }) => status)).toEqual([202, 201, 201, 201, 201])
  })

  test.each(['0', '-1', '1.5', 'abc', '999999', '2147483648'])('of the product %s is not found', async (id) => {
    const answers = [
      await get(`/stock/${id}`),
      await post(`/stock/${id}/receipts`, { quantity: 1 }),
      await post(`/stock/${id}/counts`, { counted: 1 }),
    ]

    expect(answers.map(problem)).toEqual(answers.map(() => ({ status: 404, type: PROBLEM })))
  })

  test.each([
    ['none', undefined],
    ['too few', ['A-1']],
    ['too many', ['A-1', 'A-2', 'A-3']],
    ['one twice', ['A-1', 'A-1']],
  ])('takes no receipt with serial numbers that do not fit: %s', async (_, serials) => {
    const productId = await emptySerialised(59)

    const answer = await post(`/stock/${productId}/receipts`, { quantity: 2, serials })

    expect(problem(answer)).toEqual({ status: 400, type: PROBLEM })
  })

  test('takes no receipt with serial numbers of a product that has none', async () => {
    const productId = await newProduct()

    const answer = await post(`/stock/${productId}/receipts`, { quantity: 1, serials: ['A-1'] })

    expect(answer.status).toBe(400)
  })

  test('is not raised by a receipt whose serial numbers are known: 409', async () => {
    const productId = await emptySerialised(59)
    await receive(productId, 2, ['D-1', 'D-2'])

    const answer = await post(`/stock/${productId}/receipts`, { quantity: 2, serials: ['D-2', 'D-3'] })

    expect(problem(answer)).toEqual({ status: 409, type: PROBLEM })
    expect(json(answer).serials).toEqual(['D-2'])
    expect(json(await get(`/stock/${productId}`))).toMatchObject({ onHand: 2, arriving: 0 })
  })
})

describe('a basket', () => {
  const newBasket = (productId: number, quantity: number, key = newKey()) =>
    post('/baskets', { lines: order(productId, quantity).lines }, key)
  const checkOut = (id: string, customer = 'VINET', server = servers[0]) =>
    sendTo(server.url, { method: 'POST', path: `/baskets/${encodeURIComponent(id)}/checkout`, body: { customer } })

  test('holds goods back from others, and is sold by its checkout, with the same answer each time', async () => {
    const productId = await newProduct(5)
    const key = 'a basket/with "signs" in its name?'
    const basket = await newBasket(productId, 4, key)

    const other = await post('/orders', order(productId, 2))
    const held = json(await get(`/stock/${productId}`))
    const sold = await checkOut(key)
    const again = await checkOut(key, 'VINET', servers[1])

    expect([basket.status, basket.location]).toEqual([201, `/baskets/${encodeURIComponent(key)}`])
    expect([other.status, json(other).shortages[0].available]).toEqual([409, 1])
    expect(held).toEqual({ productId, onHand: 5, reserved: 4, arriving: 0 })
    expect([sold.status, json(sold).total]).toEqual([201, '72.00'])
    expect(again).toEqual(sold)
    expect(json(await get(`/stock/${productId}`))).toEqual({ productId, onHand: 1, reserved: 0, arriving: 0 })
  })

  test('that comes again has the same answer, also after its checkout', async () => {
    const productId = await newProduct(5)
    const key = newKey()

    const first = await newBasket(productId, 4, key)
    const second = await newBasket(productId, 4, key)
    await checkOut(key)

    expect(first.status).toBe(201)
    expect([second, await newBasket(productId, 4, key)]).toEqual([first, first])
  })

  test('is refused if there is not enough: 409', async () => {
    const answer = await newBasket(await newProduct(3), 4)

    expect(problem(answer)).toEqual({ status: 409, type: PROBLEM })
  })

  test('that is checked out for another customer is 422', async () => {
    const key = newKey()
    await newBasket(await newProduct(3), 1, key)
    await checkOut(key)

    expect(problem(await checkOut(key, 'TOMSP'))).toEqual({ status: 422, type: PROBLEM })
  })

  test('that is released gives its goods back, also a second time, and cannot be checked out: 410', async () => {
    const productId = await newProduct(3)
    const key = newKey()
    await newBasket(productId, 3, key)

    const released = [await remove(`/baskets/${key}`), await remove(`/baskets/${key}`)]

    expect(released.map(({ status }) => status)).toEqual([204, 204])
    expect(problem(await checkOut(key))).toEqual({ status: 410, type: PROBLEM })
    expect((await post('/orders', order(productId, 3))).status).toBe(201)
  })

  test('that has expired gives its goods back, and cannot be checked out: 410', async () => {
    const productId = await newProduct(3)
    const key = newKey()
    await newBasket(productId, 3, key)
    await database.query(
      `UPDATE "StockReservation" SET "expiresAt" = now() - interval '1 s' WHERE "transactionId" = $1`,
      [`basket ${key}`],
    )

    const answer = await checkOut(key)

    expect(problem(answer)).toEqual({ status: 410, type: PROBLEM })
    expect((await post('/orders', order(productId, 3))).status).toBe(201)
  })

  test('that has been checked out cannot be released: 409', async () => {
    const key = newKey()
    await newBasket(await newProduct(3), 1, key)
    await checkOut(key)

    expect(problem(await remove(`/baskets/${key}`))).toEqual({ status: 409, type: PROBLEM })
  })

  test('that never was is 404', async () => {
    expect([problem(await checkOut('nobody')), problem(await remove('/baskets/nobody'))]).toEqual([
      { status: 404, type: PROBLEM },
      { status: 404, type: PROBLEM },
    ])
  })
})

test('what an invoice has sold comes back, in parts and once, and never more of it', async () => {
  const productId = await newProduct(10)
  const invoice = json(await post('/orders', order(productId, 4))).number
  const part = { invoice, lines: [{ productId, quantity: 1 }] }
  const key = newKey()

  // Each to both machines at once.
  const parts = await Promise.all(servers.map((server) => post('/returns', part, key, server)))
  const other = await post('/returns', { invoice, lines: [{ productId, quantity: 2 }] }, key)
  const tooMuch = await post('/returns', { invoice, lines: [{ productId, quantity: 4 }] })
  const between = await onHand(productId)
  const restKey = newKey()
  const rest = await Promise.all(servers.map((server) => post('/returns', { invoice }, restKey, server)))

  expect(parts.map((answer) => [answer.status, json(answer)])).toEqual(servers.map(() => [201, part]))
  expect(problem(other)).toEqual({ status: 422, type: PROBLEM })
  expect(problem(tooMuch)).toEqual({ status: 409, type: PROBLEM })
  expect(json(tooMuch).excesses).toEqual([{ productId, requested: 4, left: 3 }])
  expect(between).toBe(7)
  expect(rest.map((answer) => json(answer).lines)).toEqual(servers.map(() => [{ productId, quantity: 3 }]))
  expect(problem(await post('/returns', { invoice }))).toEqual({ status: 409, type: PROBLEM })
  expect(problem(await post('/returns', { invoice: 'INV-999999' }))).toEqual({ status: 404, type: PROBLEM })
  expect(await onHand(productId)).toBe(10)
})

test('an invoice that never was, and any other path, is 404', async () => {
  const answers = [await get('/invoices/INV-999999'), await get('/nowhere')]

  expect(answers.map(problem)).toEqual([
    { status: 404, type: PROBLEM },
    { status: 404, type: PROBLEM },
  ])
})

test('the audit finds nothing, and then what somebody has changed behind the back of the shop', async () => {
  const productId = await newProduct(10)
  const [kept, lost] = [await post('/orders', order(productId, 1)), await post('/orders', order(productId, 1))]
  await post('/orders', order(productId, 1))
  const exact = json(await get('/audit'))
  const { number, order: orderId } = json(lost)
  const restore = await database.query('SELECT "onHand" FROM "Stock" WHERE "productId" = $1', [productId])
  await database.query('UPDATE "Stock" SET "onHand" = "onHand" + 1 WHERE "productId" = $1', [productId])
  const [invoice] = await database.query('DELETE FROM "Invoice" WHERE number = $1 RETURNING data', [number])
  const [taken] = await database.query('DELETE FROM "SeriesNumber" WHERE text = $1 RETURNING *', [number])

  const found = json(await get('/audit'))

  expect(kept.status).toBe(201)
  expect(exact).toEqual({ isExact: true, stock: [], missingInvoices: [], ordersWithoutInvoice: [] })
  expect(found).toMatchObject({
    isExact: false,
    stock: [{ item: { productId, warehouse: 'main' }, balance: 8, expected: 7 }],
    missingInvoices: [{ from: taken.value, to: taken.value }],
    ordersWithoutInvoice: [orderId],
  })
  // For the tests after this one.
  await database.query('UPDATE "Stock" SET "onHand" = $2 WHERE "productId" = $1', [productId, restore[0].onHand])
  await database.query('INSERT INTO "Invoice" (number, "orderId", data) VALUES ($1, $2, $3)', [
    number,
    orderId,
    invoice.data,
  ])
  await database.query('INSERT INTO "SeriesNumber" VALUES ($1, $2, $3, $4, $5, $6)', Object.values(taken))
})

/** A machine for one test. */
async function startAnother(url: string, options: ErpOptions = {}) {
  const server = await startErp(url, { foldEvery: 20, ...options })
  onTestFinished(() => server.close())
  return server
}

describe('a machine', () => {
  test('turns requests away when too many wait: 503, with a time to come back', async () => {
    const productId = await newProduct(10)
    const server = await startAnother(database.url, { maxWaiting: 1 })
    const count = () => post(`/stock/${productId}/counts`, { counted: 9 }, newKey(), server)
    const holder = await openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [
      productId,
    ])
    const first = count()
    await untilBlocked(database.url)

    // One of them waits behind the first; whichever it is, the others find the queue full.
    const others = [count(), count(), count()]
    const refused = await Promise.any(others.map(async (other) => ((await other).status === 503 ? other : never())))
    await holder.query('COMMIT')

    expect({ ...problem(refused), retryAfter: refused.retryAfter }).toEqual({
      status: 503,
      type: PROBLEM,
      retryAfter: '1',
    })
    expect((await first).status).toBe(201)
    const statuses = (await Promise.all(others)).map(({ status }) => status)
    expect(statuses.sort()).toEqual([201, 503, 503])
  })

  test('answers 503 to an order that has to wait too long, and nothing of it is sold', async () => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    onTestFinished(() => log.mockRestore())
    const productId = await newProduct(10)
    const key = newKey()
    const holder = await openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [
      productId,
    ])

    const answer = await post('/orders', order(productId, 3), key)
    await holder.query('COMMIT')

    expect({ ...problem(answer), retryAfter: answer.retryAfter }).toEqual({
      status: 503,
      type: PROBLEM,
      retryAfter: '1',
    })
    expect(await onHand(productId)).toBe(10)
    expect((await post('/orders', order(productId, 3), key)).status).toBe(201)
  })

  test.each([
    ['a lock', '55P03', 'StockMovement'],
    ['a lock', '55P03', 'OrderLine'],
    ['a statement', '57014', 'StockMovement'],
    ['a statement', '57014', 'OrderLine'],
  ])('answers 503 where %s runs into its limit (%s) at the %s', async (_, code, table) => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    onTestFinished(() => log.mockRestore())
    const productId = await newProduct(10)
    await database.query(
      `CREATE FUNCTION take_too_long() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION 'too long' USING ERRCODE = '${code}'; END $$`,
    )
    onTestFinished(async () => void (await database.query('DROP FUNCTION take_too_long CASCADE')))
    await database.query(
      `CREATE TRIGGER take_too_long BEFORE INSERT ON "${table}" FOR EACH ROW
WHEN (NEW."productId" = ${productId}) EXECUTE FUNCTION take_too_long()`,
    )

    const answer = await post('/orders', order(productId, 3))

    expect([answer.status, answer.retryAfter]).toEqual([503, '1'])
    expect(await onHand(productId)).toBe(10)
  })

  test('answers 500 to what it does not expect, without a word about it', async () => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    onTestFinished(() => log.mockRestore())
    const productId = await newProduct(10)
    await database.query(`ALTER TABLE "OrderLine" ADD CONSTRAINT secret CHECK ("productId" <> ${productId}) NOT VALID`)
    onTestFinished(async () => void (await database.query('ALTER TABLE "OrderLine" DROP CONSTRAINT secret')))

    const answer = await post('/orders', order(productId, 1))

    expect(problem(answer)).toEqual({ status: 500, type: PROBLEM })
    expect(answer.text).not.toContain('secret')
    expect(await onHand(productId)).toBe(10)
  })

  test('that is closed answers what it has begun, and then neither serves nor folds', async () => {
    const productId = await newProduct(10)
    const url = new URL(database.url)
    url.searchParams.set('application_name', randomUUID())
    const sessions = () =>
      database.query('SELECT FROM pg_stat_activity WHERE application_name = $1', [
        url.searchParams.get('application_name'),
      ])
    const server = await startErp(url.href, { foldEvery: 1 })
    const holder = await openTransaction(database.url, 'SELECT FROM "Stock" WHERE "productId" = $1 FOR UPDATE', [
      productId,
    ])
    const begun = post('/orders', order(productId, 3), newKey(), server)
    await untilBlocked(database.url)
    const closed = server.close()
    await holder.query('COMMIT')

    expect((await begun).status).toBe(201)
    await closed
    await expect(sendTo(server.url, { method: 'GET', path: '/audit' })).rejects.toThrow()
    while ((await sessions()).length > 0) await sleep(5)
    // In the time in which others fold ten times, it would have come back.
    for (let i = 0; i < 10; i++) await receive(productId, 1)
    expect(await sessions()).toEqual([])
  })
})

const never = () => new Promise<HttpAnswer>(() => {})

test('the example prints what its README says', async () => {
  const own = await runExample('erp', database.url)

  expect(own.actual).toEqual(own.promised)
})

test('where calls meet is served as figures, and as a page that says whether a lock is needed', async () => {
  const id = await newProduct(10)
  await Promise.all([1, 2, 3].map(() => post(`/stock/${id}/counts`, { counted: 9 })))
  const { operations } = json(await get('/contention'))
  expect(operations).toContainEqual(expect.objectContaining({ operation: '$stock.count' }))
  const page = await get('/contention/report')
  expect([page.status, page.text.includes('Do I need a lock here?')]).toEqual([200, true])
})
