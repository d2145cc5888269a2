import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiServer, startApi } from '../../examples/http-api/server.js'
import { useDatabase } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import { runExample } from '../support/example.js'
import { startProcess } from '../support/process.js'
import { untilBlocked } from '../support/until-blocked.js'

const database = useDatabase()

// Two machines: two ports, two clients.
let servers: ApiServer[]
beforeAll(async () => {
  servers = await Promise.all([startApi(database.url), startApi(database.url)])
})
afterAll(() => Promise.all(servers?.map((server) => server.close()) ?? []))

interface Request {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: unknown
  /** The server that it is sent to. */
  readonly to?: string
}

/** A request over the network, and all of its answer. */
async function send(path: string, { method = 'GET', headers = {}, body, to = servers[0].url }: Request = {}) {
  const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body)
  const answer = await fetch(`${to}${path}`, { method, headers, ...(text === undefined ? {} : { body: text }) })
  return {
    status: answer.status,
    etag: answer.headers.get('etag'),
    location: answer.headers.get('location'),
    type: answer.headers.get('content-type'),
    retryAfter: answer.headers.get('retry-after'),
    text: await answer.text(),
  }
}

/** A product at version 3. */
async function newProduct(stock = 39): Promise<number> {
  const [{ id }] = await database.query(
    `INSERT INTO "Product" (name, price, stock, version, "updatedAt") VALUES ('Chai', 18, $1, 3, now()) RETURNING id`,
    [stock],
  )
  return id as number
}

const productOf = async (id: number) =>
  (await database.query('SELECT name, price, stock, version FROM "Product" WHERE id = $1', [id]))[0]

const UNCHANGED = { name: 'Chai', price: '18.00', stock: 39, version: 3 }
const NEW = { name: 'Chai Latte', price: '19.50', stock: 7 }

const WRITES = [
  ['PUT', NEW],
  ['PATCH', { name: 'Chai Latte' }],
  ['DELETE', undefined],
] as const

describe('GET of a product', () => {
  test('shows the product, with its version as a strong ETag', async () => {
    const id = await newProduct()

    const answer = await send(`/products/${id}`)

    expect(answer).toMatchObject({ status: 200, etag: '"3"' })
    expect(JSON.parse(answer.text)).toEqual({ id, name: 'Chai', price: '18.00', stock: 39 })
  })

  test.each(['0', '2147483647', '2147483648', '-1', '1.5', 'abc', '1e3'])('of the id %s is not found', async (id) => {
    const { status, type } = await send(`/products/${id}`)

    expect({ status, type }).toEqual({ status: 404, type: 'application/problem+json' })
  })
})

describe('If-Match', () => {
  test('with the ETag that was seen lets PATCH write, and answers with the next ETag', async () => {
    const id = await newProduct()

    const first = await send(`/products/${id}`, { method: 'PATCH', headers: { 'if-match': '"3"' }, body: { stock: 7 } })
    const headers = { 'if-match': first.etag as string }
    const second = await send(`/products/${id}`, { method: 'PATCH', headers, body: { stock: 6 } })

    expect(first).toMatchObject({ status: 200, etag: '"4"' })
    expect(JSON.parse(first.text)).toEqual({ id, name: 'Chai', price: '18.00', stock: 7 })
    expect(second).toMatchObject({ status: 200, etag: '"5"' })
  })

  test('with the ETag that was seen lets PUT replace the product; the answer has no ETag', async () => {
    const id = await newProduct()

    const answer = await send(`/products/${id}`, { method: 'PUT', headers: { 'if-match': '"3"' }, body: NEW })

    expect(answer).toMatchObject({ status: 204, etag: null, text: '' })
    expect(await productOf(id)).toEqual({ ...NEW, version: 4 })
  })

  test('with the ETag that was seen lets DELETE delete', async () => {
    const id = await newProduct()

    const { status } = await send(`/products/${id}`, { method: 'DELETE', headers: { 'if-match': '"3"' } })

    expect(status).toBe(204)
    expect(await productOf(id)).toBeUndefined()
  })

  test('of version 0 is compared like any other', async () => {
    const id = await newProduct()

    const { status } = await send(`/products/${id}`, { method: 'PATCH', headers: { 'if-match': '"0"' }, body: NEW })

    expect(status).toBe(412)
  })

  test.each(WRITES)('that is stale refuses %s with 412, the current state and its ETag', async (method, body) => {
    const id = await newProduct()

    const answer = await send(`/products/${id}`, { method, headers: { 'if-match': '"2"' }, body })

    expect(answer).toMatchObject({ status: 412, etag: '"3"', type: 'application/problem+json' })
    expect(JSON.parse(answer.text).current).toEqual({ id, name: 'Chai', price: '18.00', stock: 39 })
    expect(await productOf(id)).toEqual(UNCHANGED)
  })

  test.each(WRITES)('is required for %s: without it 428, and nothing is written', async (method, body) => {
    const id = await newProduct()

    const { status } = await send(`/products/${id}`, { method, body })

    expect(status).toBe(428)
    expect(await productOf(id)).toEqual(UNCHANGED)
  })

  test.each(WRITES.flatMap(([method, body]) => ['"3"', '*', '"3", "4"'].map((tag) => [method, tag, body] as const)))(
    '%s of what is not there is 404, and not 412, with If-Match: %s',
    async (method, tag, body) => {
      const { status } = await send('/products/2147483647', { method, headers: { 'if-match': tag }, body })

      expect(status).toBe(404)
    },
  )

  test.each(['', '3', '"3', "'3'", '"3" "4"', 'w/"3"', 'W/3', '*, "3"', '"3", *', ', ,', '"a b"'])(
    'of %j is malformed: 400, and nothing is written',
    async (tag) => {
      const id = await newProduct()

      const { status } = await send(`/products/${id}`, { method: 'PATCH', headers: { 'if-match': tag }, body: NEW })

      expect(status).toBe(400)
      expect(await productOf(id)).toEqual(UNCHANGED)
    },
  )

  test.each(['*', '"3", "7"', '"7","3"', ',"7" ,, "3",', 'W/"7", "3"', '"a,b", "3"', '"", "3"'])(
    'of %s matches version 3, for PATCH and for DELETE',
    async (tag) => {
      const [id, other] = [await newProduct(), await newProduct()]
      const headers = { 'if-match': tag }

      const patched = await send(`/products/${id}`, { method: 'PATCH', headers, body: { stock: 7 } })
      const deleted = await send(`/products/${other}`, { method: 'DELETE', headers })

      expect(patched).toMatchObject({ status: 200, etag: '"4"' })
      expect(deleted.status).toBe(204)
    },
  )

  test.each([
    'W/"3"',
    'W/"3", W/"4"',
    '"2", "4"',
    '""',
    '"03"',
    '"3.0"',
    '"3e0"',
    '"+3"',
    '"0x3"',
    '"99999999999"',
    '"-3"',
  ])('of %s does not match version 3, for PATCH and for DELETE', async (tag) => {
    const id = await newProduct()
    const headers = { 'if-match': tag }

    const patched = await send(`/products/${id}`, { method: 'PATCH', headers, body: { stock: 7 } })
    const deleted = await send(`/products/${id}`, { method: 'DELETE', headers })

    expect(patched).toMatchObject({ status: 412, etag: '"3"' })
    expect(deleted).toMatchObject({ status: 412, etag: '"3"' })
    expect(await productOf(id)).toEqual(UNCHANGED)
  })

  test.each([
    ['"3"', 412],
    ['"3", "4"', 204],
    ['*', 204],
  ] as const)(
    'of %s on a DELETE that another write comes before is judged by what is there then: %s',
    async (tag, status) => {
      const id = await newProduct()
      const writer = await openTransaction(database.url, 'UPDATE "Product" SET version = 4 WHERE id = $1', [id])
      const deletion = send(`/products/${id}`, { method: 'DELETE', headers: { 'if-match': tag } })
      await untilBlocked(database.url)
      await writer.query('COMMIT')

      const answer = await deletion

      expect(answer).toMatchObject({ status, etag: status === 412 ? '"4"' : null })
    },
  )

  test('of two who hold the same ETag, on two machines, one writes, and the other is told what', async () => {
    const id = await newProduct()
    const holder = await openTransaction(database.url, 'SELECT FROM "Product" WHERE id = $1 FOR UPDATE', [id])
    const requests = servers.map(({ url }, index) =>
      send(`/products/${id}`, { method: 'PATCH', headers: { 'if-match': '"3"' }, body: { stock: index }, to: url }),
    )
    await untilBlocked(database.url, 2)
    await holder.query('COMMIT')

    const answers = await Promise.all(requests)

    const winner = answers.findIndex(({ status }) => status === 200)
    const loser = answers[1 - winner]
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412])
    expect(JSON.parse(loser.text).current.stock).toBe(winner)
    expect(loser.etag).toBe('"4"')
    expect(await productOf(id)).toMatchObject({ stock: winner, version: 4 })
  })
})

test.each([
  ['PATCH', 'no JSON', '{'],
  ['PATCH', 'nothing', undefined],
  ['PATCH', 'no change', {}],
  ['PATCH', 'an unknown field', { colour: 'brown' }],
  ['PATCH', 'a version', { version: 9 }],
  ['PATCH', 'an object in place of a number', { stock: { increment: 5 } }],
  ['PATCH', 'a negative stock', { stock: -1 }],
  ['PUT', 'a field too few', { name: 'Chai' }],
])('%s with a body of %s is 400, and nothing is written', async (method, _, body) => {
  const id = await newProduct()

  const { status } = await send(`/products/${id}`, { method, headers: { 'if-match': '"3"' }, body })

  expect(status).toBe(400)
  expect(await productOf(id)).toEqual(UNCHANGED)
})

test('DELETE of a product that was ordered is 409, and it stays', async () => {
  const id = await newProduct()
  await order({ lines: [{ productId: id, quantity: 1 }] })

  const { status } = await send(`/products/${id}`, { method: 'DELETE', headers: { 'if-match': '*' } })

  expect(status).toBe(409)
  expect(await productOf(id)).toBeDefined()
})

interface Order {
  readonly lines: unknown
  readonly key?: string
  readonly user?: string
  readonly to?: string
}

const newKey = () => `"${randomUUID()}"`

function order({ lines, key = newKey(), user = 'ana', to }: Order) {
  const headers = { 'x-user': user, ...(key === 'none' ? {} : { 'idempotency-key': key }) }
  return send('/orders', { method: 'POST', headers, body: { lines }, ...(to ? { to } : {}) })
}

const ordersOf = (productId: number) =>
  database.query('SELECT quantity FROM "OrderLine" WHERE "productId" = $1', [productId])

describe('POST of an order', () => {
  test('takes its products out of stock, and tells its user alone where it is', async () => {
    const [a, b] = [await newProduct(), await newProduct()]
    const lines = [
      { productId: b, quantity: 2 },
      { productId: a, quantity: 1 },
    ]

    const { status, location } = await order({ lines })
    const seen = await send(location as string, { headers: { 'x-user': 'ana' } })
    const byAnother = await send(location as string, { headers: { 'x-user': 'ben' } })

    expect(status).toBe(201)
    expect(seen).toMatchObject({ status: 200, etag: '"0"' })
    expect(JSON.parse(seen.text).lines).toEqual([lines[1], lines[0]])
    expect(byAnother.status).toBe(404)
    expect([(await productOf(a)).stock, (await productOf(b)).stock]).toEqual([38, 37])
  })

  test.each(['none', '', 'abc', "'abc'", '""', '"abc', '"a"b"', '"\\a"', '"é"', '"a", "b"', `"${'a'.repeat(256)}"`])(
    'with the Idempotency-Key %j is 400, and nothing happens',
    async (key) => {
      const productId = await newProduct()

      const { status } = await order({ lines: [{ productId, quantity: 1 }], key })

      expect(status).toBe(400)
      expect(await productOf(productId)).toEqual(UNCHANGED)
    },
  )

  test('that comes again, on another machine, gets the very same answer, and happens once', async () => {
    const productId = await newProduct()
    const lines = [{ productId, quantity: 3 }]
    const key = newKey()

    const first = await order({ lines, key })
    const second = await order({ lines, key, to: servers[1].url })

    expect(first.status).toBe(201)
    expect(second).toEqual(first)
    expect((await productOf(productId)).stock).toBe(36)
  })

  test('that comes again with its fields in another order is the same request', async () => {
    const productId = await newProduct()
    const key = newKey()

    const first = await order({ lines: [{ productId, quantity: 3 }], key })
    const second = await order({ lines: [{ quantity: 3, productId }], key })

    expect(second).toEqual(first)
  })

  test('that comes again while the first one runs is 409, on the same machine and on another, and later the answer', async () => {
    const productId = await newProduct()
    const request = { lines: [{ productId, quantity: 3 }], key: newKey() }
    const holder = await openTransaction(database.url, 'SELECT FROM "Product" WHERE id = $1 FOR UPDATE', [productId])
    const first = order(request)
    await untilBlocked(database.url)

    const meanwhile = await Promise.all(servers.map(({ url }) => order({ ...request, to: url })))
    await holder.query('COMMIT')
    const answer = await first
    const later = await order(request)

    expect(meanwhile.map(({ status, retryAfter }) => [status, retryAfter])).toEqual([
      [409, '1'],
      [409, '1'],
    ])
    expect(answer.status).toBe(201)
    expect(later).toEqual(answer)
    expect(await ordersOf(productId)).toEqual([{ quantity: 3 }])
  })

  test('with a key that was used for another order is 422, and nothing happens', async () => {
    const productId = await newProduct()
    const key = newKey()
    await order({ lines: [{ productId, quantity: 3 }], key })

    const { status } = await order({ lines: [{ productId, quantity: 4 }], key })

    expect(status).toBe(422)
    expect(await ordersOf(productId)).toEqual([{ quantity: 3 }])
  })

  test('of two users with the same key is two orders', async () => {
    const productId = await newProduct()
    const request = { lines: [{ productId, quantity: 1 }], key: newKey() }

    const [a, b] = [await order({ ...request, user: 'ana' }), await order({ ...request, user: 'ben' })]

    expect([a.status, b.status]).toEqual([201, 201])
    expect(a.location).not.toBe(b.location)
  })

  test('is refused whole if one product is short, and the same request succeeds after a delivery', async () => {
    const [plenty, short] = [await newProduct(), await newProduct(1)]
    const request = {
      lines: [
        { productId: plenty, quantity: 2 },
        { productId: short, quantity: 2 },
      ],
      key: newKey(),
    }

    const refused = await order(request)
    const between = await productOf(plenty)
    await database.query('UPDATE "Product" SET stock = 5 WHERE id = $1', [short])
    const accepted = await order(request)

    expect(refused.status).toBe(409)
    expect(between).toEqual(UNCHANGED)
    expect(accepted.status).toBe(201)
  })

  test.each([
    ['no lines', []],
    ['no quantity', [{ productId: 1 }]],
    [
      'a product twice',
      [
        { productId: 1, quantity: 1 },
        { productId: 1, quantity: 2 },
      ],
    ],
    ['a negative quantity', [{ productId: 1, quantity: -1 }]],
  ])('with %s is 400', async (_, lines) => {
    const { status } = await order({ lines })

    expect(status).toBe(400)
  })

  test('without a user is 401', async () => {
    const { status } = await send('/orders', { method: 'POST', headers: { 'idempotency-key': newKey() }, body: {} })

    expect(status).toBe(401)
  })

  test('that arrives forty times at two processes at once happens once, and whoever gets an answer gets the same', async () => {
    const productId = await newProduct()
    const request = { lines: [{ productId, quantity: 3 }], key: newKey() }
    const processes = [0, 1].map(() => startProcess('./api-worker.ts', { url: database.url }))
    const urls = await Promise.all(processes.map((child) => child.answer<string>()))

    const answers = await Promise.all(Array.from({ length: 40 }, (_, n) => order({ ...request, to: urls[n % 2] })))

    const created = answers.filter(({ status }) => status === 201)
    expect(created.length).toBeGreaterThan(0)
    expect(new Set(created.map(({ text }) => text)).size).toBe(1)
    expect(answers.filter(({ status }) => status !== 201 && status !== 409)).toEqual([])
    expect(await ordersOf(productId)).toEqual([{ quantity: 3 }])
  })
})

test('the example prints what its README says', async () => {
  const { actual, promised } = await runExample('http-api', database.url)

  expect(actual).toEqual(promised)
})
