import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { serials } from '../../src/serials/extension.js'
import type { SerialsOptions } from '../../src/serials/options.js'
import { type ClientOptions, useDatabase } from '../support/clients.js'
import { rejectionOf } from '../support/rejection.js'

const database = useDatabase()

const mapping = {
  serial: { model: 'Licence', number: 'code', transactionId: 'holder', version: 'revision' },
  allocation: { model: 'LicenceGrant', transactionId: 'reference', request: 'asked', count: 'amount' },
} as const

function connect(options?: ClientOptions) {
  const made = database.connect(options)
  return { ...made, db: made.client.$extends(concurrency()).$extends(serials(mapping)) }
}

describe('models of the user, with other names throughout', () => {
  test('are filled, taken from, and given back to', async () => {
    const { db } = connect()
    const since = new Date('2026-11-24T10:00:00.000Z')
    const data = { kind: 'SPECIAL', seats: 5n, price: '12.50', tags: ['a', 'b'], note: { by: ['x'] } } as const
    const holder = randomUUID()

    await db.$serials.import({
      transactionId: randomUUID(),
      data: { ...data, tags: [...data.tags], note: { by: ['x'] } },
      numbers: ['L-1', 'L-2'],
    })
    const outcome = await db.$serials.allocate({
      transactionId: holder,
      where: { kind: 'SPECIAL', seats: 5, price: 12.5 },
      count: 1,
      data: { since, seats: 6n },
    })

    expect(outcome).toEqual({
      serials: [await db.licence.findUniqueOrThrow({ where: { code: 'L-1' } })],
      replayed: false,
    })
    expect(outcome.serials[0]).toMatchObject({
      code: 'L-1',
      holder,
      kind: 'SPECIAL',
      seats: 6n,
      since,
      tags: ['a', 'b'],
      note: { by: ['x'] },
      revision: 1,
    })
    expect(outcome.serials[0].price.toFixed(2)).toBe('12.50')
    expect(await db.$serials.free({ kind: 'SPECIAL' })).toBe(1)

    expect(await db.$serials.release({ transactionId: holder })).toEqual({ released: 1 })
    expect(await db.licence.findUniqueOrThrow({ where: { code: 'L-1' } })).toMatchObject({
      holder: null,
      since: null, // was set by the allocation, and may be NULL
      seats: 6n,
      revision: 2,
    })
  })

  test('have their version and time of change renewed by each write', async () => {
    const { db } = connect()
    const code = randomUUID()
    await db.licence.create({ data: { code, seats: 77, updatedAt: new Date(0) } })

    const transactionId = randomUUID()
    await db.$serials.allocate({ transactionId, where: { code }, count: 1 })
    const taken = await db.licence.findUniqueOrThrow({ where: { code } })

    expect(taken.revision).toBe(1)
    expect(Math.abs(taken.updatedAt.getTime() - Date.now())).toBeLessThan(600_000)
    // A writer that holds the version of before is told so.
    const stale = db.licence.updateMany({ where: { code, revision: 0 }, data: { seats: 1 } })
    expect(await stale).toEqual({ count: 0 })
  })

  test.each([
    { first: { price: 5 }, second: { price: '05.00' } },
    { first: { price: '0.10' }, second: { price: 0.1 } },
    { first: { seats: 5 }, second: { seats: 5n } },
    { first: { since: new Date(5) }, second: { since: '1970-01-01T01:00:00.005+01:00' } },
    { first: { kind: 'PLAIN', seats: 1 }, second: { seats: 1, kind: 'PLAIN' } },
  ])('take $second for the same request as $first', async ({ first, second }) => {
    const { db } = connect()
    const code = randomUUID()
    await db.licence.create({ data: { code } })
    const request = { transactionId: randomUUID().toUpperCase(), where: { code }, count: 1 }
    await db.$serials.allocate({ ...request, data: first as object })

    const again = { ...request, transactionId: request.transactionId.toLowerCase(), data: second as object }
    expect(await db.$serials.allocate(again)).toMatchObject({ replayed: true, serials: [{ code }] })
  })

  test('take every spelling of a uuid that the database takes', async () => {
    const { db } = connect()
    const code = randomUUID()
    await db.licence.create({ data: { code } })
    const transactionId: string = randomUUID()
    await db.$serials.allocate({ transactionId: `{${transactionId.replaceAll('-', '')}}`, where: { code }, count: 1 })

    expect(await db.$serials.allocate({ transactionId, where: { code }, count: 1 })).toMatchObject({ replayed: true })
  })

  test('give all scalar fields, also those that the client leaves out', async () => {
    const { db } = connect({ omit: { licence: { seats: true } } })
    const code = randomUUID()
    await database.query(`INSERT INTO "soft licence" ("the code", seats, "updated at") VALUES ($1, 9, now())`, [code])

    const outcome = await db.$serials.allocate({ transactionId: randomUUID(), where: { code }, count: 1 })

    expect(outcome.serials).toMatchObject([{ code, seats: 9n }])
  })

  test.each<[field: string, call: (db: ReturnType<typeof connect>['db']) => Promise<unknown>]>([
    ['transactionId', (db) => db.$serials.allocate({ transactionId: 'no uuid', where: {}, count: 1 })],
    ['where.note', (db) => db.$serials.allocate({ transactionId: randomUUID(), where: { note: { a: 1 } }, count: 1 })],
    ['where.tags', (db) => db.$serials.allocate({ transactionId: randomUUID(), where: { tags: ['a'] }, count: 1 })],
    ['where.kind', (db) => db.$serials.free({ kind: 'NO_SUCH' as never })],
    ['where.holder', (db) => db.$serials.free({ holder: null } as never)],
    [
      'data.revision',
      (db) =>
        db.$serials.allocate({ transactionId: randomUUID(), where: {}, count: 1, data: { revision: 5 } as never }),
    ],
    [
      'data.code',
      (db) => db.$serials.allocate({ transactionId: randomUUID(), where: {}, count: 1, data: { code: 'x' } as never }),
    ],
    [
      'data.revision',
      (db) => db.$serials.import({ transactionId: randomUUID(), data: { revision: 5 } as never, numbers: ['a'] }),
    ],
    ['numbers', (db) => db.$serials.import({ transactionId: randomUUID(), numbers: ['x'.repeat(41)] })],
    [
      'range.format',
      (db) =>
        db.$serials.import({
          transactionId: randomUUID(),
          range: { from: 1, to: 2, format: `${'x'.repeat(36)}{00000}` },
        }),
    ],
  ])('are protected from a wrong %s before anything is sent', async (field, call) => {
    const { db, statements } = connect()

    expect(await rejectionOf(call(db))).toMatchObject({ code: 'INVALID_ARGUMENT', field })
    expect(statements).toEqual([])
  })
})

test('an UPDATE that the database suppresses is reported, and leaves nothing', async () => {
  const { db } = connect()
  const code = randomUUID()
  await db.licence.create({ data: { code } })
  await database.query(`CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE UPDATE ON "soft licence" FOR EACH ROW WHEN (OLD."the code" = '${code}') EXECUTE FUNCTION suppress()`)

  const transactionId = randomUUID()
  const error = await rejectionOf(db.$serials.allocate({ transactionId, where: { code }, count: 1 }))

  expect(error).toMatchObject({ code: 'WRITE_SUPPRESSED', model: 'Licence' })
  expect(await db.licenceGrant.count({ where: { reference: transactionId } })).toBe(0)
})

describe('the mapping is checked, every mistake with its path', () => {
  const issuesOf = (options: SerialsOptions): string[] => {
    try {
      database.connect().client.$extends(concurrency()).$extends(serials(options))
    } catch (error) {
      const { code, issues } = error as { code: string; issues: { path: string }[] }
      expect(code).toBe('CONFIGURATION')
      return issues.map(({ path }) => path)
    }
    return []
  }
  const { serial, allocation } = mapping
  const devices = {
    serial: { model: 'Device', state: { free: 'FREE', allocated: 'ALLOCATED' } },
    allocation: { model: 'DeviceAllocation' },
    history: { model: 'DeviceHistory' },
  }
  const companies = { serial: { model: 'CompanySerial' }, allocation: { model: 'CompanySerialAllocation' } }

  test.each<[string[], object]>([
    [[], {}],
    [[], mapping],
    [['serial'], { serial: 'Licence' }],
    [['serial.colour'], { serial: { colour: 'red' } }],
    [['retry.attempts'], { retry: { attempts: 0 } }],
    [['serial.model'], { serial: { model: 'Serail' } }],
    [['allocation.model'], { allocation: { model: 'Nothing' } }],
    [['serial.number'], { serial: { number: 'productId' } }],
    [['serial.number'], { serial: { number: 'nummer' } }],
    [['serial.transactionId'], { serial: { transactionId: 'orderId' } }],
    [
      ['serial.number', 'serial.transactionId', 'serial.transactionId'],
      { serial: { model: 'Account', number: 'id', transactionId: 'id' } },
    ],
    [['serial.number'], { serial: { model: 'Payment', number: 'currency', transactionId: 'reference' } }],
    [['serial.version'], { serial: { version: 'number' } }],
    [['serial.transactionId'], { serial }],
    [['serial.transactionId'], { allocation }],
    [['allocation.request', 'allocation.count'], { allocation: { request: 'count', count: 'request' } }],
    [['allocation.model'], { allocation: { transactionId: 'request' } }],
    [[], devices],
    [['history.model'], { ...devices, history: { model: 'Nothing' } }],
    [
      ['history.model'],
      { ...devices, history: { model: 'DeviceAllocation', sequence: 'count', changedAt: 'createdAt' } },
    ],
    [
      ['history.sequence', 'history.changedAt'],
      { ...devices, history: { model: 'DeviceHistory', sequence: 'number', changedAt: 'number' } },
    ],
    [['serial.changes', 'history.model'], { history: {} }],
    [
      ['serial.state.free'],
      { ...devices, serial: { model: 'Device', state: { free: 'NEW', allocated: 'ALLOCATED' } } },
    ],
    [
      ['serial.state.allocated'],
      { ...devices, serial: { model: 'Device', state: { free: 'FREE', allocated: 'FREE' } } },
    ],
    [['serial.state.field'], { serial: { state: { free: 'FREE', allocated: 'SOLD' } } }],
    [['serial.state.free'], { serial: { state: { allocated: 'SOLD' } } }],
    [['scope'], { scope: [] }],
    [['scope'], { scope: ['companyId', 'companyId'] }],
    [['scope[0]'], { scope: ['companyId'] }],
    [['scope[0]'], { scope: ['orderId'] }],
    [['scope[1]'], { ...companies, scope: ['companyId', 'productId'] }],
    [[], { ...companies, scope: ['companyId'] }],
  ])('%s', (paths, options) => {
    expect([...new Set(issuesOf(options))]).toEqual([...new Set(paths)])
  })

  test('and concurrency() must have been applied before', () => {
    const { client } = database.connect()
    expect(() => client.$extends(serials())).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }))
  })
})
