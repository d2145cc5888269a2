import { randomUUID } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Prisma } from '../../generated/prisma/client.js'
import { concurrency, versionTriggerSql } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import { useDatabase } from '../support/clients.js'
import { generateClient } from '../support/generate-client.js'
import { rejectionOf } from '../support/rejection.js'
import { MATERIAL } from '../support/stock-models.js'

const database = useDatabase()
const newId = (): string => randomUUID()

const ACCOUNT = {
  item: { model: 'Account', key: 'id', onHand: 'balance' },
  movement: { model: 'AccountEntry', item: 'accountId', quantity: 'amount' },
} as const
const PRODUCT = {
  item: { model: 'Product', key: 'id', onHand: 'stock' },
  movement: { model: 'ProductMovement', item: 'productId' },
} as const

const connect = () => {
  const { client, statements } = database.connect()
  const base = client.$extends(concurrency())
  return {
    client,
    statements,
    base,
    materials: base.$extends(stock(MATERIAL)),
    accounts: base.$extends(stock(ACCOUNT)),
    products: base.$extends(stock(PRODUCT)),
  }
}

/** A material that nobody else uses, with so much on hand as its opening balance. */
async function newMaterial(opening: string | number = 0): Promise<string> {
  const code = randomUUID().slice(0, 20)
  await database.query(
    `INSERT INTO "raw material" ("the code", "on hand", "order", "updated at") VALUES ($1, $2, $2, '2000-01-01')`,
    [code, opening],
  )
  return code
}
const material = async (code: string) => {
  const [row] = await database.query(
    `SELECT "on hand" AS on_hand, revision, "updated at" > '2000-01-02' AS touched FROM "raw material" WHERE "the code" = $1`,
    [code],
  )
  return row as { on_hand: string; revision: number; touched: boolean }
}
const changesOf = (reference: string) =>
  database.query(
    `SELECT position, material, "change of" AS change, "is applied" AS applied, "is refused" AS refused
FROM "raw material movement" WHERE "the reference" = $1 ORDER BY position`,
    [reference],
  )
async function newAccount(balance: bigint | number = 0): Promise<string> {
  const id = randomUUID()
  await database.query('INSERT INTO "Account" (id) VALUES ($1)', [id])
  if (balance) {
    await database.query(
      `WITH a AS (UPDATE "Account" SET balance = $2 WHERE id = $1) INSERT INTO "AccountEntry" VALUES ($3, 0, $1, $2)`,
      [id, balance, newId()],
    )
  }
  return id
}
const texts = (values: object) =>
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, typeof value === 'object' ? `${value}` : value]),
  )

describe('a stock of decimals, with every name different in the database', () => {
  test('is moved in Prisma’s own Decimals', async () => {
    const { materials } = connect()
    const item = await newMaterial('10.5')
    const transactionId = newId()

    const { quantity, balance, replayed } = await materials.$stock.move({ transactionId, item, quantity: '-3.125' })

    expect([quantity, balance].every((value) => Prisma.Decimal.isDecimal(value))).toBe(true)
    expect([`${quantity}`, `${balance}`, replayed]).toEqual(['-3.125', '7.375', false])
    expect(balance).toEqual((await materials.material.findUniqueOrThrow({ where: { code: item } })).onHand)
    expect(await changesOf(transactionId)).toEqual([
      { position: 0, material: item, change: '-3.125', applied: true, refused: false },
    ])
  })

  test('takes numbers, texts, Decimals and bigints, which are the same where they are equal', async () => {
    const { materials } = connect()
    const item = await newMaterial(100)
    const transactionId = newId()
    const values = [-2, '-2', '-2.000', '-0.2e1', new Prisma.Decimal('-2'), -2n as unknown as number]

    const replayed = []
    for (const quantity of values) {
      replayed.push((await materials.$stock.move({ transactionId, item, quantity })).replayed)
    }

    expect(replayed).toEqual([false, true, true, true, true, true])
    expect((await material(item)).on_hand).toBe('98.000')
  })

  test('is exact: a thousand times 0.001 is 1, and 0.1 and 0.2 are 0.3', async () => {
    const { materials } = connect()
    const item = await newMaterial()

    await Promise.all(
      Array.from({ length: 1_000 }, () => materials.$stock.move({ transactionId: newId(), item, quantity: 0.001 })),
    )
    await materials.$stock.move({ transactionId: newId(), item, quantity: 0.1 })
    const { balance } = await materials.$stock.move({ transactionId: newId(), item, quantity: 0.2 })

    expect(`${balance}`).toBe('1.3')
    expect((await material(item)).on_hand).toBe('1.300')
  })

  test('is exact far beyond what a double holds', async () => {
    const { materials } = connect()
    const item = await newMaterial('99999999999.998')

    const { balance } = await materials.$stock.move({ transactionId: newId(), item, quantity: '0.001' })
    const taken = await materials.$stock.move({ transactionId: newId(), item, quantity: '-99999999999.999' })

    expect([`${balance}`, `${taken.balance}`]).toEqual(['99999999999.999', '0'])
  })

  test.each<[string, unknown]>([
    ['more decimals than the column has', '0.0001'],
    ['a sum of doubles that is not what it looks like', 0.1 + 0.2],
    ['a Decimal with too many decimals', new Prisma.Decimal('1.0005')],
    ['more digits than the column has', '100000000000'],
    ['a number far beyond the column', 1e300],
    ['a text that is no number', 'three'],
    ['an empty text', ''],
    ['a text with a space', ' 1'],
    ['a text with a comma', '1,5'],
    ['a number in hex', '0x10'],
    ['NaN', Number.NaN],
    ['a Decimal of NaN', new Prisma.Decimal(Number.NaN)],
    ['a Decimal of Infinity', new Prisma.Decimal('Infinity')],
    ['the text of Infinity', 'Infinity'],
    ['0', '0.000'],
    ['a Date', new Date()],
  ])('refuses %s before any SQL, rather than rounding it', async (_what, quantity) => {
    const { materials, statements } = connect()

    const error = await rejectionOf(
      materials.$stock.move({ transactionId: newId(), item: 'x', quantity: quantity as never }),
    )

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'quantity' })
    expect(statements).toEqual([])
  })

  test('says what is available in Decimals', async () => {
    const { materials } = connect()
    const item = await newMaterial('0.3')

    const error = await rejectionOf(materials.$stock.move({ transactionId: newId(), item, quantity: '-0.301' }))

    expect(texts(error as object)).toMatchObject({ requested: '0.301', available: '0.3' })
  })

  test('has a minimum per call, as exact as everything', async () => {
    const { materials } = connect()
    const item = await newMaterial('1')
    const move = (quantity: string, minimum: string | null) =>
      materials.$stock.move({ transactionId: newId(), item, quantity, minimum })

    expect(await rejectionOf(move('-0.501', '0.5'))).toMatchObject({ code: 'INSUFFICIENT_STOCK' })
    expect(texts(await move('-0.5', '0.5'))).toMatchObject({ balance: '0.5' })
    expect(texts(await move('-0.75', null))).toMatchObject({ balance: '-0.25' })
  })

  test('adds up the lines of one item exactly', async () => {
    const { materials } = connect()
    const item = await newMaterial()
    const lines = [0.1, 0.2, '0.7'].map((quantity) => ({ item, quantity }))

    const { lines: moved } = await materials.$stock.moveAll({ transactionId: newId(), lines })

    expect(moved.map(texts)).toEqual([{ item, quantity: '1', balance: '1' }])
  })

  test('is moved inside a transaction too', async () => {
    const { materials } = connect()
    const item = await newMaterial('1.5')

    const result = await materials.$transaction((tx) =>
      tx.$stock.move({ transactionId: newId(), item, quantity: '-0.125' }),
    )

    expect(texts(result)).toEqual({ quantity: '-0.125', balance: '1.375', replayed: false })
  })

  test('has the time of its last move', async () => {
    const { materials } = connect()
    const [alone, inside] = [await newMaterial(), await newMaterial()]
    await materials.$stock.move({ transactionId: newId(), item: alone, quantity: 1 })
    await materials.$transaction((tx) => tx.$stock.move({ transactionId: newId(), item: inside, quantity: 1 }))

    const rows = await database.query(
      `SELECT abs(extract(epoch FROM "updated at" - now() AT TIME ZONE 'UTC')) < 3600 AS now
FROM "raw material" WHERE "the code" = ANY($1)`,
      [[alone, inside]],
    )

    expect(rows).toEqual([{ now: true }, { now: true }])
  })

  test('begins with its opening balance, which is no movement', async () => {
    const { materials } = connect()
    const code = newId().slice(0, 20)
    await materials.material.create({ data: { code, opening: '2.5', onHand: '2.5' } })

    const { balance } = await materials.$stock.move({ transactionId: newId(), item: code, quantity: '-2.5' })

    expect(`${balance}`).toBe('0')
    expect((await materials.$stock.audit()).filter(({ item }) => item === code)).toEqual([])
  })

  test('tells keys apart as the database does: by case, and by blanks', async () => {
    const { materials } = connect()
    const code = newId().slice(0, 18)
    for (const item of [code, `${code} `, code.toUpperCase()]) await materials.material.create({ data: { code: item } })

    const lines = [code, `${code} `, code.toUpperCase()].map((item, i) => ({ item, quantity: i + 1 }))
    const { lines: moved } = await materials.$stock.moveAll({ transactionId: newId(), lines })

    expect(moved.map(({ balance }) => `${balance}`)).toEqual(['1', '2', '3'])
  })

  test('has keys with quotes, backslashes and characters of every kind', async () => {
    const { materials } = connect()
    const codes = [`'; DROP --`, '"', '\\', '$1', 'naïve 😀', '%_', '{"a":1}', 'NULL']
    for (const code of codes) await materials.material.create({ data: { code } })

    const { lines } = await materials.$stock.moveAll({
      transactionId: `${newId()}'"\\`,
      lines: codes.map((item) => ({ item, quantity: 1 })),
    })

    expect(lines.map(({ item }) => item)).toEqual(codes)
    expect((await material('naïve 😀')).on_hand).toBe('1.000')
  })

  test.each(['x'.repeat(21), '😀'.repeat(21)])('refuses a key that is too long for its column: %s', async (item) => {
    const { materials, statements } = connect()

    const error = await rejectionOf(materials.$stock.move({ transactionId: newId(), item, quantity: 1 }))

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'item' })
    expect(statements).toEqual([])
  })

  test('takes a key that is just as long as its column, counted as the database counts', async () => {
    const { materials } = connect()
    const code = `${newId().slice(0, 10)}${'😀'.repeat(10)}`
    await materials.material.create({ data: { code } })

    expect(await materials.$stock.move({ transactionId: newId(), item: code, quantity: 1 })).toMatchObject({
      replayed: false,
    })
  })
})

test('a stock with small columns and uuids for transaction ids refuses by itself what they cannot hold', async () => {
  const { PrismaClient } = await generateClient(`
model Bin {
  id     Int @id @db.SmallInt
  onHand Int @default(0) @db.SmallInt
}
model BinMove {
  transactionId String @db.VarChar(8)
  line          Int    @db.SmallInt
  id            Int    @db.SmallInt
  quantity      Int    @db.SmallInt
  @@id([transactionId, line])
}
model BinEntry {
  transactionId String @db.Uuid
  line          Int
  id            Int
  quantity      Int
  @@id([line, transactionId])
}
`)
  await database.query(`
CREATE TABLE "Bin" (id int2 PRIMARY KEY, "onHand" int2 NOT NULL DEFAULT 0);
CREATE TABLE "BinMove" ("transactionId" varchar(8), line int2, id int2, quantity int2, PRIMARY KEY ("transactionId", line));
CREATE TABLE "BinEntry" (line int, "transactionId" uuid, id int, quantity int, PRIMARY KEY (line, "transactionId"));
INSERT INTO "Bin" VALUES (1), (2)`)
  const client = new PrismaClient({ adapter: new PrismaPg({ connectionString: database.url }) })
  onTestFinished(() => client.$disconnect())
  const item = { model: 'Bin', key: 'id' }
  const small = client
    .$extends(concurrency())
    .$extends(stock({ item, movement: { model: 'BinMove' } }) as never) as never as Bins
  const uuid = client
    .$extends(concurrency())
    .$extends(stock({ item, movement: { model: 'BinEntry' } }) as never) as never as Bins

  expect(await small.$stock.move({ transactionId: '12345678', item: 1, quantity: 32_767 })).toMatchObject({
    balance: 32_767,
  })
  expect(await rejectionOf(small.$stock.move({ transactionId: 'b', item: 1, quantity: 1 }))).toMatchObject({
    field: 'quantity',
  })
  expect(await rejectionOf(small.$stock.move({ transactionId: 'c', item: 2, quantity: 32_768 }))).toMatchObject({
    field: 'quantity',
  })
  expect(await rejectionOf(small.$stock.move({ transactionId: '123456789', item: 2, quantity: 1 }))).toMatchObject({
    field: 'transactionId',
  })
  expect(await rejectionOf(small.$stock.move({ transactionId: 'd', item: 32_768, quantity: 1 }))).toMatchObject({
    code: 'ITEM_NOT_FOUND',
  })

  const move = { transactionId: newId().toUpperCase(), item: 2, quantity: 3 }
  expect(await uuid.$stock.move(move)).toMatchObject({ balance: 3, replayed: false })
  expect(await uuid.$stock.move({ ...move, transactionId: move.transactionId.toLowerCase() })).toMatchObject({
    replayed: true,
  })
  expect(
    await uuid.$stock.move({ ...move, transactionId: `{${move.transactionId.replaceAll('-', '')}}` }),
  ).toMatchObject({ replayed: true })
  expect(await rejectionOf(uuid.$stock.move({ ...move, transactionId: 'a' }))).toMatchObject({ field: 'transactionId' })
})

interface Bins {
  readonly $stock: {
    move(args: {
      transactionId: string
      item: number
      quantity: number
    }): Promise<{ balance: number; replayed: boolean }>
  }
}

describe('a stock of bigints, whose key is a uuid', () => {
  const HIGHEST = 2n ** 63n - 1n

  test('is moved in bigints, exact to the last of 63 bits', async () => {
    const { accounts } = connect()
    const item = await newAccount()

    const moved = await accounts.$stock.move({ transactionId: newId(), item, quantity: HIGHEST })
    const taken = await accounts.$stock.move({ transactionId: newId(), item, quantity: -9_007_199_254_740_993n })

    expect([moved.balance, taken.balance]).toEqual([HIGHEST, HIGHEST - 9_007_199_254_740_993n])
    expect(await database.query('SELECT balance FROM "Account" WHERE id = $1', [item])).toEqual([
      { balance: String(HIGHEST - 9_007_199_254_740_993n) },
    ])
  })

  test('takes a safe number too, and is no text', async () => {
    const { accounts } = connect()
    const item = await newAccount(5)
    const move = { transactionId: newId(), item, quantity: -3 }

    expect(await accounts.$stock.move(move)).toEqual({ quantity: -3n, balance: 2n, replayed: false })
    expect(await accounts.$stock.move({ ...move, quantity: -3n })).toMatchObject({ replayed: true })
    for (const quantity of ['1', 2 ** 53, 0.5, new Prisma.Decimal(1)]) {
      const error = await rejectionOf(accounts.$stock.move({ ...move, quantity: quantity as never }))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'quantity' })
    }
  })

  test('takes a uuid in any spelling of the database, and it is one and the same item', async () => {
    const { accounts } = connect()
    const item = await newAccount(10)
    const bare = `{${item.replaceAll('-', '')}}`
    const lines = [item.toUpperCase(), bare].map((item) => ({ item, quantity: -1n }))
    const transactionId = newId()

    const moved = await accounts.$stock.moveAll({ transactionId, lines })
    const again = await accounts.$stock.move({ transactionId, item, quantity: -2n })

    expect(moved.lines).toEqual([{ item: item.toUpperCase(), quantity: -2n, balance: 8n }])
    expect(again).toEqual({ quantity: -2n, balance: 8n, replayed: true })
  })

  test.each(['not a uuid', '', '00000000-0000-0000-0000-00000000000', `{${randomUUID()}`, 7])(
    'refuses the key %j before any SQL',
    async (item) => {
      const { accounts, statements } = connect()

      const error = await rejectionOf(
        accounts.$stock.move({ transactionId: newId(), item: item as never, quantity: 1 }),
      )

      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'item' })
      expect(statements).toEqual([])
    },
  )

  test('adds up lines beyond what one movement can hold, if the sum is within', async () => {
    const { accounts } = connect()
    const item = await newAccount()
    const lines = [HIGHEST, HIGHEST, -HIGHEST].map((quantity) => ({ item, quantity }))

    const { lines: moved } = await accounts.$stock.moveAll({ transactionId: newId(), lines })

    expect(moved).toMatchObject([{ balance: HIGHEST }])
  })

  test('refuses what would take the balance beyond its column, alone in its batch', async () => {
    const { accounts } = connect()
    const item = await newAccount(HIGHEST - 1n)
    const move = (quantity: bigint) => accounts.$stock.move({ transactionId: newId(), item, quantity })

    const results = await Promise.allSettled([move(1n), move(1n), move(-1n), move(1n)])

    expect(results).toMatchObject([
      { value: { balance: HIGHEST } },
      { reason: { code: 'INVALID_ARGUMENT', field: 'quantity' } },
      { value: { balance: HIGHEST - 1n } },
      { value: { balance: HIGHEST } },
    ])
  })

  test('refuses what would take the balance below its column, where there is no minimum', async () => {
    const { accounts } = connect()
    const item = await newAccount()
    const move = (quantity: bigint) => accounts.$stock.move({ transactionId: newId(), item, quantity, minimum: null })

    expect(await move(-HIGHEST)).toMatchObject({ balance: -HIGHEST })
    expect(await rejectionOf(move(-2n))).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'quantity' })
  })
})

describe('a stock that is a column of the product', () => {
  const newProduct = async (products: ReturnType<typeof connect>['products'], quantity = 10) => {
    const { id } = await products.product.create({ data: { name: 'Chai' } })
    await products.$stock.move({ transactionId: newId(), item: id, quantity })
    return id
  }
  const rowOf = async (id: number) =>
    (await database.query(`SELECT stock, version, "updatedAt" FROM "Product" WHERE id = $1`, [id]))[0] as {
      stock: number
      version: number
      updatedAt: Date
    }

  test('is moved, with its movements in a model that refers to the product', async () => {
    const { products } = connect()
    const id = await newProduct(products)
    const transactionId = newId()

    const result = await products.$stock.move({ transactionId, item: id, quantity: -3 })

    expect(result).toEqual({ quantity: -3, balance: 7, replayed: false })
    const { movements, stock } = await products.product.findUniqueOrThrow({
      where: { id },
      include: { movements: true },
    })
    expect([movements.map(({ quantity }) => quantity), stock]).toEqual([[10, -3], 7])
  })

  test('bumps the version by one, so that whoever read it before has a conflict', async () => {
    const { products } = connect()
    const id = await newProduct(products)
    const { version } = await products.product.findUniqueOrThrow({ where: { id } })

    await products.$stock.move({ transactionId: newId(), item: id, quantity: -1 })
    const error = await rejectionOf(
      products.product.updateVersioned({ where: { id, version }, data: { name: 'Chang' } }),
    )

    expect(error).toMatchObject({ code: 'VERSION_CONFLICT', expected: version, actual: version + 1 })
  })

  test('is read, changed and written around its moves, and neither is lost', async () => {
    const { products } = connect()
    const id = await newProduct(products)

    await Promise.all([
      ...Array.from({ length: 5 }, () => products.$stock.move({ transactionId: newId(), item: id, quantity: -1 })),
      ...Array.from({ length: 5 }, (_, i) =>
        products.product.updateVersioned({ where: { id }, data: ({ name }) => ({ name: `${name}${i}` }) }),
      ),
    ])

    const { name, stock } = await products.product.findUniqueOrThrow({ where: { id } })
    expect([[...name.slice(4)].sort().join(''), stock]).toEqual(['01234', 5])
  })

  test('bumps the version once per batch, and for a moveAll once per item', async () => {
    const { products } = connect()
    const [a, b] = [await newProduct(products), await newProduct(products)]
    const move = (item: number) => products.$stock.move({ transactionId: newId(), item, quantity: -1 })

    await Promise.all([move(a), move(a), move(a)])
    const lines = [a, b, a].map((item) => ({ item, quantity: -1 }))
    await products.$stock.moveAll({ transactionId: newId(), lines })

    expect([(await rowOf(a)).version, (await rowOf(b)).version]).toEqual([3, 2])
  })

  test('leaves the version as it is with bumpVersion: false, so that moves make no edit stale', async () => {
    const { base } = connect()
    const products = base.$extends(stock({ ...PRODUCT, item: { ...PRODUCT.item, bumpVersion: false } }))
    const id = await newProduct(products as never)
    await products.$transaction((tx) => tx.$stock.move({ transactionId: newId(), item: id, quantity: -1 }))

    await products.product.updateVersioned({ where: { id, version: 0 }, data: { name: 'Chang' } })

    expect(await rowOf(id)).toMatchObject({ stock: 9, version: 1 })
  })

  test('does not pass the highest version, and says so instead of failing without a reason', async () => {
    const { products } = connect()
    const id = await newProduct(products)
    await database.query(`UPDATE "Product" SET version = 2147483647 WHERE id = $1`, [id])
    const move = () => ({ transactionId: newId(), item: id, quantity: -1 })

    const errors = [
      await rejectionOf(products.$stock.move(move())),
      await rejectionOf(products.$transaction((tx) => tx.$stock.move(move()))),
    ]

    const overflow = { code: 'VERSION_OVERFLOW', model: 'Product', field: 'version' }
    expect(errors).toMatchObject([overflow, overflow])
    expect(await rowOf(id)).toMatchObject({ stock: 10, version: 2147483647 })
  })

  test('has the time of the move in updatedAt', async () => {
    const { products } = connect()
    const id = await newProduct(products)
    await database.query(`UPDATE "Product" SET "updatedAt" = '2000-01-01' WHERE id = $1`, [id])

    await products.$stock.move({ transactionId: newId(), item: id, quantity: -1 })

    const { updatedAt } = await products.product.findUniqueOrThrow({ where: { id } })
    expect(Math.abs(updatedAt.getTime() - Date.now())).toBeLessThan(3_600_000)
  })

  test('with the trigger of versionTriggerSql the version goes up by one, not by two', async () => {
    const { base, products } = connect()
    await database.query(versionTriggerSql(base, 'Product'))
    try {
      const unbumped = base.$extends(stock({ ...PRODUCT, item: { ...PRODUCT.item, bumpVersion: false } }))
      const id = await newProduct(products)
      await products.$transaction((tx) => tx.$stock.move({ transactionId: newId(), item: id, quantity: -1 }))
      expect(await rowOf(id)).toMatchObject({ stock: 9, version: 2 })

      await unbumped.$stock.move({ transactionId: newId(), item: id, quantity: -1 })
      expect(await rowOf(id)).toMatchObject({ stock: 8, version: 3 })
    } finally {
      await database.query('DROP TRIGGER concurrency_bump_version ON "Product"')
    }
  })

  test('can be moved while another transaction refers to the product', async () => {
    const { products } = connect()
    const id = await newProduct(products)

    const balance = await products.$transaction(async (tx) => {
      await tx.order.create({ data: { customer: 'x', lines: { create: { productId: id, quantity: 1 } } } })
      return (await products.$stock.move({ transactionId: newId(), item: id, quantity: -1 })).balance
    })

    expect(balance).toBe(9)
  })

  test('is refused beyond its column, with a minimum of null as well', async () => {
    const { products } = connect()
    const id = await newProduct(products, 2 ** 31 - 1)

    const error = await rejectionOf(products.$stock.move({ transactionId: newId(), item: id, quantity: 1 }))

    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'quantity' })
    expect(await rowOf(id)).toMatchObject({ stock: 2 ** 31 - 1 })
  })

  test('that is below zero by other means can still be filled up', async () => {
    const { products } = connect()
    const id = await newProduct(products)
    await database.query(`UPDATE "Product" SET stock = -2147483648 WHERE id = $1`, [id])

    expect(await products.$stock.move({ transactionId: newId(), item: id, quantity: 8 })).toMatchObject({
      balance: -2147483640,
    })
  })
})
