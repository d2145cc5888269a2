import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Prisma } from '../../generated/prisma/client.js'
import { concurrency, IdempotencyMismatchError } from '../../src/index.js'
import { useExtended } from '../support/extended.js'
import { rejectionOf } from '../support/rejection.js'

const { database, connect } = useExtended()

/** A call that the compiler refuses, and JavaScript does not. */
type Loose = (args: unknown) => Promise<{ record: unknown; replayed: boolean }>

const newId = () => randomUUID()

describe('`match`', () => {
  test('refuses a duplicate with another payload, and names the fields', async () => {
    const { db } = connect()
    const transactionId = newId()
    const match = ['amount', 'currency', 'reference'] as const
    const call = (data: { amount: number; currency: string; reference: string | null }) =>
      db.payment.createIdempotent({ where: { transactionId }, data, match })
    const { record } = await call({ amount: 5, currency: 'USD', reference: null })
    const error = await rejectionOf(call({ amount: 6, currency: 'USD', reference: 'R' }))
    expect(error).toBeInstanceOf(IdempotencyMismatchError)
    expect(error).toMatchObject({
      code: 'IDEMPOTENCY_MISMATCH',
      model: 'Payment',
      where: { transactionId },
      fields: ['amount', 'reference'],
    })
    expect(await db.payment.findUnique({ where: { transactionId } })).toEqual(record)
  })

  test('passes what it does not name', async () => {
    const { db } = connect()
    const transactionId = newId()
    await db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5, currency: 'USD' } })
    const call = db.payment.createIdempotent({
      where: { transactionId },
      data: { amount: 5, currency: 'EUR' },
      match: ['amount'],
    })
    expect(await call).toMatchObject({ replayed: true, record: { currency: 'USD' } })
  })

  test('compares with the record as it is now, so a lawful change makes a duplicate a mismatch', async () => {
    const { db } = connect()
    const args = { where: { transactionId: newId() }, data: { amount: 5 }, match: ['amount'] as const }
    await db.payment.createIdempotent(args)
    await db.payment.update({ where: args.where, data: { amount: 4 } })
    expect(await rejectionOf(db.payment.createIdempotent(args))).toMatchObject({ fields: ['amount'] })
  })

  test('may name the fields of the key', async () => {
    const { db } = connect()
    const where = { tenantId_transactionId: { tenantId: 1, transactionId: newId() } }
    const args = { where, data: { amount: 5n }, match: ['tenantId', 'transactionId'] as const }
    await db.transfer.createIdempotent(args)
    expect(await db.transfer.createIdempotent(args)).toMatchObject({ replayed: true })
  })
})

describe.each([
  ['`match`', concurrency()],
  ['a fingerprint', concurrency({ idempotency: { models: { Payment: { fingerprint: 'currency' } } } })],
])('an amount, compared by %s,', (by, extension) => {
  const match = by === '`match`' ? (['amount'] as const) : undefined
  const call = (transactionId: string, amount: number | string | Prisma.Decimal) => {
    const db = database.connect().client.$extends(extension)
    return db.payment.createIdempotent({ where: { transactionId }, data: { amount }, match })
  }

  test.each([
    ['a number', 5],
    ['a text', '5'],
    ['a text with zeros', '005.000'],
    ['a text with an exponent', '50e-1'],
    ['a Decimal', new Prisma.Decimal('5.0')],
  ])('may be given again as %s', async (_, again) => {
    const transactionId = newId()
    await call(transactionId, '5.00')
    expect(await call(transactionId, again)).toMatchObject({ replayed: true })
  })

  test.each([
    ['with the noise of binary fractions', 0.1 + 0.2],
    ['with more places than the column has', '1.005'],
    ['below zero, with more places', '-1.005'],
    ['that rounds to the next digit', '9.999'],
    ['that rounds to nothing', '0.004'],
    ['that rounds from nothing', '0.005'],
    ['far below what the column keeps', '1e-30'],
    ['of zero', 0],
    ['of less than zero', new Prisma.Decimal(-12.5)],
    ['of the largest kind', '9999999999.99'],
    ['of a round kind', 1e9],
  ])('%s is the same when it comes again', async (_, amount) => {
    const transactionId = newId()
    await call(transactionId, amount)
    expect(await call(transactionId, amount)).toMatchObject({ replayed: true })
  })

  test.each([
    ['5', '5.01'],
    ['5', '-5'],
    ['5', '50'],
    ['0', '0.01'],
    ['1000', '100'],
    ['9999999999.99', '9999999999.98'],
  ])('of %s is not one of %s', async (first, second) => {
    const transactionId = newId()
    await call(transactionId, first)
    const error = await rejectionOf(call(transactionId, second))
    expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['amount'] })
  })
})

type Values = Readonly<Record<string, unknown>>

const SAME: readonly (readonly [string, Values, Values])[] = [
  ['a moment as a Date and as a text', { at: new Date(0) }, { at: '1970-01-01T00:00:00Z' }],
  ['a moment in two time zones', { at: '2026-11-24T12:00:00+02:00' }, { at: '2026-11-24T10:00:00.000Z' }],
  ['a day, whatever the hour', { day: '2026-11-24T12:00:00Z' }, { day: new Date('2026-11-24T12:00:00Z') }],
  ['a BigInt as a bigint and as a number', { big: 5n }, { big: 5 }],
  [
    'Json with its keys in another order',
    { json: { a: 1, b: [{ c: 2, d: 3 }] } },
    { json: { b: [{ d: 3, c: 2 }], a: 1 } },
  ],
  ['Json with something in it that makes Json of itself', { json: { at: new Date(0) } }, { json: { at: new Date(0) } }],
  ['Json with an undefined in it', { json: { a: 1, b: undefined } }, { json: { a: 1 } }],
  ['the null of Json', { json: Prisma.JsonNull }, { json: Prisma.JsonNull }],
  ['bytes as a Buffer and as a Uint8Array', { bytes: Buffer.from('ab') }, { bytes: new Uint8Array([97, 98]) }],
  ['an enum', { kind: 'SPECIAL' }, { kind: 'SPECIAL' }],
  ['a fraction', { float: 0.1 + 0.2 }, { float: 0.1 + 0.2 }],
  ['a boolean', { flag: false }, { flag: false }],
  ['a null', { text: null }, { text: null }],
  ['a list, plain and with `set`', { numbers: [1, 2] }, { numbers: { set: [1, 2] } }],
  ['a list of enums', { kinds: ['SPECIAL', 'PLAIN'] }, { kinds: ['SPECIAL', 'PLAIN'] }],
  ['an empty list', { tags: [] }, { tags: [] }],
  ['a text that was cut through a character', { text: 'tea \ud83c' }, { text: 'tea \ud83c' }],
  ['a fraction in an Int', { int: 1.5 }, { int: 1.5 }],
  ['Json that is a number with 17 digits', { json: 0.1 + 0.2 }, { json: 0.1 + 0.2 }],
]

const DIFFERENT: readonly (readonly [string, Values, Values])[] = [
  ['moments a millisecond apart', { at: new Date(0) }, { at: new Date(1) }],
  ['days', { day: new Date('2026-11-24') }, { day: new Date('2026-11-25') }],
  ['BigInts that a double cannot tell apart', { big: 9007199254740993n }, { big: 9007199254740992n }],
  ['Json', { json: { a: 1 } }, { json: { a: '1' } }],
  ['Json lists in another order', { json: [1, 2] }, { json: [2, 1] }],
  ['Json and its null', { json: {} }, { json: Prisma.JsonNull }],
  ['bytes', { bytes: Buffer.from('ab') }, { bytes: Buffer.from('abc') }],
  ['enums', { kind: 'SPECIAL' }, { kind: 'PLAIN' }],
  ['lists in another order', { numbers: [1, 2] }, { numbers: [2, 1] }],
  ['a text and null', { text: 'null' }, { text: null }],
  ['an empty text and null', { text: '' }, { text: null }],
  ['Json with numbers that differ in the 17th digit', { json: { a: 0.1 + 0.2 } }, { json: { a: 0.3 } }],
  ['texts in capitals', { text: 'a' }, { text: 'A' }],
  ['booleans', { flag: true }, { flag: false }],
]

describe.each(['`match`', 'a fingerprint'])('compared by %s', (by) => {
  const extension =
    by === '`match`' ? concurrency() : concurrency({ idempotency: { models: { Everything: { fingerprint: 'text' } } } })
  // The fingerprint is kept in `text`, so data that gives a text of its own goes without.
  const isOf = ([, first]: (typeof SAME)[number]) => by === '`match`' || !('text' in first)

  async function twice(first: Values, second: Values) {
    const db = database.connect().client.$extends(extension)
    const code = newId()
    const match = by === '`match`' ? Object.keys(first) : undefined
    const call = (data: Values) =>
      (db.everything.createIdempotent as Loose).call(db.everything, { where: { code }, data, match })
    await call(first)
    return call(second)
  }

  test.each(SAME.filter(isOf))('%s is the same', async (_, first, second) => {
    expect(await twice(first, second)).toMatchObject({ replayed: true })
  })

  test.each(DIFFERENT.filter(isOf))('different %s are told apart', async (_, first, second) => {
    expect(await rejectionOf(twice(first, second))).toMatchObject({
      code: 'IDEMPOTENCY_MISMATCH',
      fields: Object.keys(first),
    })
  })
})

describe('a fingerprint column', () => {
  const withFingerprint = () => {
    const made = database.connect()
    const idempotency = { models: { Transfer: { fingerprint: 'fingerprint' } } }
    return { ...made, db: made.client.$extends(concurrency({ idempotency })) }
  }
  const newKey = () => ({ tenantId_transactionId: { tenantId: 1, transactionId: newId() } })
  const at = new Date('2026-11-24T12:00:00Z')

  test('keeps a fingerprint, and not the payload', async () => {
    const { db } = withFingerprint()
    const { record } = await db.transfer.createIdempotent({ where: newKey(), data: { amount: 123456789n } })
    expect(JSON.parse(record.fingerprint as string)).toEqual({ amount: expect.stringMatching(/^[0-9a-f]{16}$/) })
    expect(record.fingerprint).not.toContain('123456789')
  })

  test('refuses a duplicate with another payload, and names the fields', async () => {
    const { db } = withFingerprint()
    const where = newKey()
    await db.transfer.createIdempotent({ where, data: { amount: 5n, at } })
    const error = await rejectionOf(db.transfer.createIdempotent({ where, data: { amount: 6n, at } }))
    expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', model: 'Transfer', fields: ['amount'] })
  })

  test('knows a field that was not there the first time, or is not there now', async () => {
    const { db } = withFingerprint()
    const [where, other] = [newKey(), newKey()]
    await db.transfer.createIdempotent({ where, data: { amount: 5n } })
    await db.transfer.createIdempotent({ where: other, data: { amount: 5n, at } })
    const errors = [
      await rejectionOf(db.transfer.createIdempotent({ where, data: { amount: 5n, at } })),
      await rejectionOf(db.transfer.createIdempotent({ where: other, data: { amount: 5n } })),
    ]
    expect(errors).toMatchObject([{ fields: ['at'] }, { fields: ['at'] }])
  })

  test('still knows the same payload when the row was lawfully changed since', async () => {
    const { db } = withFingerprint()
    const where = newKey()
    await db.transfer.createIdempotent({ where, data: { amount: 5n } })
    await db.transfer.update({ where, data: { amount: 4n } })
    expect(await db.transfer.createIdempotent({ where, data: { amount: 5n } })).toMatchObject({
      replayed: true,
      record: { amount: 4n },
    })
    expect(await rejectionOf(db.transfer.createIdempotent({ where, data: { amount: 4n } }))).toMatchObject({
      fields: ['amount'],
    })
  })

  test('does not care for the order of the fields, nor for fields that are undefined', async () => {
    const { db } = withFingerprint()
    const where = newKey()
    await db.transfer.createIdempotent({ where, data: { amount: 5n, at } })
    const call = db.transfer.createIdempotent({ where, data: { at, id: undefined, amount: 5 } })
    expect(await call).toMatchObject({ replayed: true })
  })

  test('is not shown to who did not select it', async () => {
    const { db } = withFingerprint()
    const where = newKey()
    const call = () => db.transfer.createIdempotent({ where, data: { amount: 5n }, select: { amount: true } })
    expect([(await call()).record, (await call()).record]).toEqual([{ amount: 5n }, { amount: 5n }])
  })

  test('costs no further statement', async () => {
    const { db, statements } = withFingerprint()
    const where = newKey()
    await db.transfer.createIdempotent({ where, data: { amount: 5n } })
    await db.transfer.createIdempotent({ where, data: { amount: 5n } })
    expect(statements.map((sql) => sql.split(' ')[0])).toEqual(['INSERT', 'INSERT', 'SELECT'])
  })

  test('works in a transaction of the caller, which goes on after a mismatch', async () => {
    const { db } = withFingerprint()
    const where = newKey()
    const second = newKey()
    await db.transfer.createIdempotent({ where, data: { amount: 5n } })
    await db.$transaction(async (tx) => {
      expect(await rejectionOf(tx.transfer.createIdempotent({ where, data: { amount: 6n } }))).toMatchObject({
        fields: ['amount'],
      })
      await tx.transfer.createIdempotent({ where: second, data: { amount: 1n } })
    })
    expect(await db.transfer.findUnique({ where: second })).toMatchObject({ amount: 1n })
  })

  test('that is empty, in a row of somebody else, lets every payload pass', async () => {
    const { db } = withFingerprint()
    const where = newKey()
    await db.transfer.create({ data: { ...where.tenantId_transactionId, amount: 5n } })
    expect(await db.transfer.createIdempotent({ where, data: { amount: 6n } })).toMatchObject({ replayed: true })
  })

  test('that the caller fills is left alone, and compared where `match` says so', async () => {
    const { db } = withFingerprint()
    const where = newKey()
    const call = (fingerprint: string) =>
      db.transfer.createIdempotent({ where, data: { amount: 5n, fingerprint }, match: ['fingerprint'] })
    expect((await call('mine')).record.fingerprint).toBe('mine')
    expect(await call('mine')).toMatchObject({ replayed: true })
    expect(await rejectionOf(call('other'))).toMatchObject({ fields: ['fingerprint'] })
  })

  test('that the caller has filled is another payload than one without it', async () => {
    const { db } = withFingerprint()
    const where = newKey()
    await db.transfer.createIdempotent({ where, data: { amount: 5n, fingerprint: 'mine' } })
    const error = await rejectionOf(db.transfer.createIdempotent({ where, data: { amount: 5n } }))
    expect(error).toMatchObject({ code: 'IDEMPOTENCY_MISMATCH', fields: ['fingerprint'] })
  })

  test('covers nested writes', async () => {
    const made = database.connect()
    const idempotency = { models: { Payment: { fingerprint: 'reference' } } }
    const db = made.client.$extends(concurrency({ idempotency }))
    const transactionId = newId()
    const call = (text: string) =>
      db.payment.createIdempotent({ where: { transactionId }, data: { amount: 5, items: { create: { text } } } })
    await call('a')
    expect(await call('a')).toMatchObject({ replayed: true })
    expect(await rejectionOf(call('b'))).toMatchObject({ fields: ['items'] })
  })

  test('may be set for every model that has it, and be switched off for one', async () => {
    const everywhere = database.connect().client.$extends(concurrency({ idempotency: { fingerprint: 'fingerprint' } }))
    const nowhere = database
      .connect()
      .client.$extends(
        concurrency({ idempotency: { fingerprint: 'currency', models: { Transfer: { fingerprint: false } } } }),
      )
    const filled = await everywhere.transfer.createIdempotent({ where: newKey(), data: { amount: 5n } })
    const empty = await nowhere.transfer.createIdempotent({ where: newKey(), data: { amount: 5n } })
    expect([filled.record.fingerprint, empty.record.fingerprint]).toEqual([expect.any(String), null])
  })

  test('does not reach models that have no such field', async () => {
    const db = database.connect().client.$extends(concurrency({ idempotency: { fingerprint: 'fingerprint' } }))
    const where = { transactionId: newId() }
    await db.payment.createIdempotent({ where, data: { amount: 5 } })
    expect(await db.payment.createIdempotent({ where, data: { amount: 6 } })).toMatchObject({ replayed: true })
  })

  test.each([
    [{ models: { Transfer: { fingerprint: 'amount' } } }, 'idempotency.models.Transfer.fingerprint'],
    [{ models: { Transfer: { fingerprint: 'nonsense' } } }, 'idempotency.models.Transfer.fingerprint'],
    [{ models: { Everything: { fingerprint: 'tags' } } }, 'idempotency.models.Everything.fingerprint'],
    [{ models: { Nonsense: { fingerprint: 'x' } } }, 'idempotency.models.Nonsense'],
    [{ fingerprint: 'nonsense' }, 'idempotency.fingerprint'],
  ])('that does not fit the schema is a ConfigurationError: %j', (idempotency, path) => {
    const { client } = connect()
    const extend = () => client.$extends(concurrency({ idempotency }))
    expect(extend).toThrow(
      expect.objectContaining({ code: 'CONFIGURATION', issues: [expect.objectContaining({ path })] }),
    )
  })
})
