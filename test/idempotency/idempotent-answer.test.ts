import { randomUUID } from 'node:crypto'
import { Prisma as Extension } from '@prisma/client/extension'
import { Decimal } from '@prisma/client/runtime/client'
import { expect, test } from 'vitest'
import { encodeAnswer } from '../../src/idempotency/answer.js'
import { concurrency } from '../../src/index.js'
import { useExtended } from '../support/extended.js'
import { type Random, randomAnswer, seeded } from '../support/random-answer.js'
import { rejectionOf } from '../support/rejection.js'

const { database, connect } = useExtended()

const operation = () => ({ key: randomUUID(), scope: 'test' })
const notesOf = (text: string) => database.query('SELECT id FROM "Note" WHERE text = $1', [text])

/** The operation's answer the first time, and the answer to a second caller in another process. */
async function firstAndReplayed<R>(answer: R): Promise<[R, R]> {
  const call = operation()
  const first = await connect().db.$idempotent(call, async () => answer)
  const second = await connect().db.$idempotent(call, async (): Promise<R> => {
    throw new Error('The body ran again.')
  })
  expect([first.replayed, second.replayed]).toEqual([false, true])
  return [first.result, second.result]
}

const SAMPLES: Readonly<Record<string, unknown>> = {
  undefined: undefined,
  null: null,
  'true and false': [true, false],
  'the empty string': '',
  'a text with quotes, NUL, backslashes, line separators, emoji and half an emoji': '"\'\0\\\u2028\n😀\ud83d',
  'whole and fractional numbers': [0, 1, -1, 0.1, 1e21, 5e-324, Number.MAX_VALUE, Number.MAX_SAFE_INTEGER],
  'minus zero': -0,
  'numbers that JSON does not have': [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  bigints: [0n, -1n, 2n ** 80n],
  dates: [new Date(0), new Date('2026-11-24T10:11:12.345Z'), new Date(8.64e15), new Date(-8.64e15)],
  'a date that is none': new Date(Number.NaN),
  bytes: Uint8Array.of(0, 1, 127, 128, 255),
  'no bytes': new Uint8Array(),
  'a part of a buffer': new Uint8Array(Uint8Array.of(1, 2, 3, 4).buffer, 1, 2),
  decimals: ['0', '-0', '1.10', '-12345678901234567890.123456789', '1e-30', '1e30', 'NaN', '-Infinity'].map(
    (text) => new Decimal(text),
  ),
  'an empty object': {},
  'an empty list': [],
  'undefined in an object': { a: undefined, b: 1 },
  'undefined in a list': [undefined, 1, undefined],
  'a key named $': { $: 1 },
  'what looks like an encoded value': { $: ['date', '2026-11-24T00:00:00.000Z'] },
  'what looks like an encoded object': { $: ['object', { $: ['undefined'] }] },
  'a $ under a $': { $: { $: [{ $: undefined }] } },
  'odd keys': { '': 1, __proto__x: 2, constructor: 3, toJSON: 4, 'a.b': 5, '😀': 6, '10': 7, '9': 8 },
  'a key named __proto__': JSON.parse('{"__proto__":{"polluted":true}}'),
  nesting: { a: [{ b: { c: [[new Date(5), [1n]], { d: new Decimal('0.1') }] } }] },
}

test.each(Object.entries(SAMPLES))('%s comes back from the database as it went', async (_, answer) => {
  const [first, replayed] = await firstAndReplayed(answer)

  expect(first).toBe(answer)
  expect(replayed).toStrictEqual(answer)
})

test('an object that is in the answer twice, and not in itself, comes back in both places', async () => {
  const shared = { at: new Date(1) }

  const [, replayed] = await firstAndReplayed({ a: shared, b: [shared, shared] })

  expect(replayed).toStrictEqual({ a: shared, b: [shared, shared] })
})

test('a Decimal comes back as one of the class that Prisma uses', async () => {
  const { db } = connect()
  const { price } = await db.product.create({ data: { name: 'Chai', price: '18.50' } })

  const [, replayed] = await firstAndReplayed(price)

  expect(replayed.constructor).toBe(price.constructor)
  expect(replayed.plus('0.25').toFixed(2)).toBe('18.75')
})

test('a record of every kind of column comes back as Prisma returned it', async () => {
  const { db } = connect()
  const record = await db.everything.create({
    data: {
      code: randomUUID(),
      big: 2n ** 62n,
      float: 0.1,
      decimal: '12345678901234.567891',
      json: { a: [1, null, { $: ['date'] }], b: 'x' },
      bytes: Uint8Array.of(0, 255),
      at: new Date('2026-11-24T10:11:12.345Z'),
      kind: 'SPECIAL',
      tags: ['a', ''],
      numbers: [3, 1],
      kinds: ['PLAIN', 'SPECIAL'],
    },
  })

  const [, replayed] = await firstAndReplayed(record)

  expect(replayed).toStrictEqual(record)
})

test('records with relations, lists of records, aggregates and rows of raw SQL come back as they went', async () => {
  const { db } = connect()
  const order = {
    customer: 'VINET',
    lines: { create: { quantity: 2, product: { create: { name: 'Tofu', price: 23 } } } },
  }
  const call = operation()
  const answer = await db.$idempotent(call, async (tx) => ({
    created: await tx.order.create({ data: order, include: { lines: { include: { product: true } }, invoice: true } }),
    found: await tx.product.findMany({ select: { name: true, price: true, category: true, updatedAt: true } }),
    missing: await tx.product.findFirst({ where: { id: -1 } }),
    sums: await tx.product.aggregate({ _sum: { price: true }, _count: true, _max: { updatedAt: true } }),
    groups: await tx.product.groupBy({ by: ['name'], _avg: { price: true } }),
    rows: await tx.$queryRaw`SELECT 1::int8 AS big, now() AS now, '\\x00ff'::bytea AS bytes, 1.5::numeric AS n, '{"a":1}'::jsonb AS j`,
  }))

  const second = await db.$idempotent(call, async () => undefined)

  expect(second.result).toStrictEqual(answer.result)
})

test('a record with a computed field of an extension comes back with its value', async () => {
  const { client } = connect()
  const label = { needs: { name: true }, compute: ({ name }: { name: string }) => `<${name}>` } as const
  const computed = Extension.defineExtension({ result: { product: { label } } })
  const db = client.$extends(computed).$extends(concurrency())
  const call = operation()
  const run = () => db.$idempotent(call, (tx) => tx.product.create({ data: { name: 'Chai' } }))

  const [first, second] = [await run(), await run()]

  expect(second.replayed).toBe(true)
  expect(second.result.label).toBe('<Chai>')
  expect(second.result).toEqual(Object.fromEntries(Object.entries(first.result)))
})

class Money {
  amount = 1
}
class Moment extends Date {}
class Stack extends Array<number> {}

const cycle: Record<string, unknown> = {}
cycle.self = [cycle]

const REFUSED: readonly { what: string; answer: unknown; path: string; is: string }[] = [
  { what: 'an instance of a class', answer: { a: [new Money()] }, path: 'result.a[0]', is: 'is a Money' },
  { what: 'an error', answer: new TypeError('x'), path: 'result', is: 'is a TypeError' },
  { what: 'a function', answer: { a: { b: () => 1 } }, path: 'result.a.b', is: 'is a function' },
  { what: 'a symbol', answer: [Symbol('x')], path: 'result[0]', is: 'is a symbol' },
  { what: 'a symbol as a key', answer: { a: { [Symbol('x')]: 1 } }, path: 'result.a', is: 'has a symbol as a key' },
  { what: 'a Map', answer: { a: new Map() }, path: 'result.a', is: 'is a Map' },
  { what: 'a Set', answer: new Set(), path: 'result', is: 'is a Set' },
  { what: 'a promise that was forgotten', answer: { a: Promise.resolve(1) }, path: 'result.a', is: 'is a Promise' },
  { what: 'a regular expression', answer: /x/, path: 'result', is: 'is a RegExp' },
  { what: 'a boxed number', answer: [Object(1)], path: 'result[0]', is: 'is a Number' },
  { what: 'other numbers than bytes', answer: { a: Float64Array.of(1) }, path: 'result.a', is: 'is a Float64Array' },
  { what: 'a Buffer', answer: { a: Buffer.from('x') }, path: 'result.a', is: 'is a Buffer' },
  { what: 'a Date of another class', answer: { a: new Moment() }, path: 'result.a', is: 'is a Moment' },
  { what: 'a list of another class', answer: { a: new Stack() }, path: 'result.a', is: 'is a Stack' },
  { what: 'an object that contains itself', answer: cycle, path: 'result.self[0]', is: 'contains itself' },
  // biome-ignore lint/suspicious/noSparseArray: that is what is refused
  { what: 'a list with holes', answer: { a: [1, , 3] }, path: 'result.a', is: 'is an array with holes' },
  { what: 'a list with a name', answer: Object.assign([1], { a: 1 }), path: 'result', is: 'is an array with holes' },
  // biome-ignore lint/suspicious/noSparseArray: that is what is refused
  { what: 'both', answer: Object.assign([, 1], { a: 1 }), path: 'result', is: 'is an array with holes' },
]

test.each(REFUSED)('$what in the answer is refused by its path, and everything is rolled back', async (sample) => {
  const { db } = connect()
  const call = operation()

  const error = await rejectionOf(
    db.$idempotent(call, async (tx) => {
      await tx.note.create({ data: { text: call.key } })
      return sample.answer
    }),
  )

  expect(error).toMatchObject({
    code: 'INVALID_ARGUMENT',
    field: sample.path,
    message: expect.stringContaining(`${sample.path} ${sample.is}`),
  })
  expect(await notesOf(call.key)).toEqual([])
  expect(await db.$idempotent(call, async () => 'ran')).toEqual({ replayed: false, result: 'ran' })
})

test('an answer longer than the limit is refused, and everything is rolled back', async () => {
  const { client } = connect()
  const db = client.$extends(concurrency({ idempotency: { answerLimit: 10 } }))
  const [long, short] = [operation(), operation()]

  const error = await rejectionOf(
    db.$idempotent(long, async (tx) => {
      await tx.note.create({ data: { text: long.key } })
      return '123456789' // and two quotes
    }),
  )

  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'result', message: expect.stringContaining('11') })
  expect(await notesOf(long.key)).toEqual([])
  expect(await db.$idempotent(short, async () => '12345678')).toEqual({ replayed: false, result: '12345678' })
})

test('without a limit of its own an answer of 65,536 characters is kept, and not one more', async () => {
  const [, replayed] = await firstAndReplayed('x'.repeat(65_534))

  expect(replayed).toHaveLength(65_534)
  expect(await rejectionOf(firstAndReplayed('x'.repeat(65_535)))).toMatchObject({ field: 'result' })
})

test('answers made at random come back as they went', async () => {
  const seed = Date.now()
  const random: Random = seeded(seed)
  const answers = Array.from({ length: 400 }, () => randomAnswer(random))

  for (let from = 0; from < answers.length; from += 20) {
    const part = answers.slice(from, from + 20)
    const [, replayed] = await firstAndReplayed(part)
    expect(replayed, `seed ${seed}`).toStrictEqual(part)
  }
})

test.each([
  ['Date', new Proxy(new Date(), {})],
  ['Uint8Array', new Proxy(new Uint8Array(1), {})],
])('a Proxy of a %s is refused when the answer is stored', (_name, value) => {
  expect(() => encodeAnswer({ value })).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT', field: 'result.value' }),
  )
})
