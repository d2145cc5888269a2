import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { ConfigurationError, concurrency, versionTriggerSql } from '../../src/index.js'
import { serials } from '../../src/serials/extension.js'
import { series } from '../../src/series/extension.js'
import { stock } from '../../src/stock/extension.js'
import { useDatabase } from '../support/clients.js'
import { rejectionOf } from '../support/rejection.js'

const database = useDatabase()

const newId = () => randomUUID()

/** The mistakes that are named when this is done. */
function issuesOf(work: () => unknown) {
  try {
    work()
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError)
    return (error as ConfigurationError).issues
  }
  return []
}

describe('a field `version` that nobody has named', () => {
  test.each([
    ['part of a unique key', 'prompt', { name: 'greeting', version: 3, text: 'Hello' }],
    ['a key by itself', 'edition', { version: 3, text: 'third' }],
    ['without a default', 'contract', { version: 3, text: 'third' }],
  ] as const)('is left alone by plain writes where it is %s', async (_what, model, data) => {
    const { client } = database.connect()
    const db = client.$extends(concurrency())
    const delegate = db[model] as never as typeof db.contract
    const before = await delegate.create({ data: data as never })
    await delegate.updateMany({ where: { text: data.text }, data: { text: 'changed' } })
    expect(await delegate.findFirst({ where: { text: 'changed' } })).toEqual({ ...before, text: 'changed' })
  })

  test.each([
    ['prompt', 'is part of a unique key'],
    ['edition', 'is part of a unique key'],
    ['contract', 'has no @default\\(0\\)'],
  ] as const)('of %s is no version column, and the error says how to make it one', async (model, reason) => {
    const { client } = database.connect()
    const db = client.$extends(concurrency())
    const call = (db[model] as never as typeof db.product).updateVersioned({ where: { id: 1, version: 0 }, data: {} })
    expect(await rejectionOf(call)).toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringMatching(new RegExp(`${reason}.*field: 'version'`)),
    })
  })

  test('is the version column of a model for which it is named', async () => {
    const { client } = database.connect()
    const db = client.$extends(concurrency({ version: { models: { Contract: { field: 'version' } } } }))
    const { id } = await db.contract.create({ data: { version: 7, text: 'draft' } })
    await db.contract.update({ where: { id }, data: { text: 'signed' } })
    const written = await db.contract.updateVersioned({ where: { id, version: 8 }, data: { text: 'kept' } })
    expect(written).toEqual({ id, version: 9, text: 'kept' })
  })

  test('is the version column of all models if it is named for all', async () => {
    const { client } = database.connect()
    const db = client.$extends(concurrency({ version: { field: 'version', models: { Release: false } } }))
    const { id } = await db.prompt.create({ data: { name: 'named', text: 'Hello' } })
    const written = await db.prompt.updateVersioned({ where: { id, version: 0 }, data: { text: 'Hi' } })
    expect(written.version).toBe(1)
  })

  test('is refused beside other options of its model, which say nothing of it', () => {
    const { client } = database.connect()
    const options = { version: { models: { Prompt: { bumpPlainWrites: true } } } }
    expect(issuesOf(() => client.$extends(concurrency(options)))).toEqual([
      { path: 'version.models.Prompt', message: expect.stringContaining('part of a unique key') },
    ])
  })
})

const CRATES = {
  item: { model: 'Crate', key: 'code' },
  movement: { model: 'CrateMovement' },
  reservation: { model: 'CrateReservation' },
} as const
const ROW_VERSION = { version: { field: 'rowVersion' } } as const
const CRATE_SERIALS = { serial: { model: 'CrateSerial' } } as const

/** A client of whose models `rowVersion` is the version column, and a crate with ten pieces. */
async function crates(version: Parameters<typeof concurrency>[0] = ROW_VERSION) {
  const { client } = database.connect()
  const db = client.$extends(concurrency(version as typeof ROW_VERSION)).$extends(stock(CRATES))
  const code = newId()
  await db.crate.create({ data: { code } })
  await db.$stock.move({ transactionId: newId(), item: code, quantity: 10 })
  const read = async () => {
    const { version, rowVersion } = await client.crate.findUniqueOrThrow({ where: { code } })
    return { version, rowVersion }
  }
  return { client, db, code, read }
}

describe('the version column that concurrency() was told of', () => {
  test('is bumped by movements, alone, together and in a transaction', async () => {
    const { db, code, read } = await crates()
    await db.$stock.move({ transactionId: newId(), item: code, quantity: -1 })
    await Promise.all([1, 2].map(() => db.$stock.move({ transactionId: newId(), item: code, quantity: -1 })))
    await db.$transaction((tx) => tx.$stock.move({ transactionId: newId(), item: code, quantity: -1 }))
    const { version, rowVersion } = await read()
    expect([version, rowVersion]).toEqual([0, expect.toSatisfy((n) => n >= 4)])
  })

  test('makes an edit stale that was decided before a movement', async () => {
    const { db, code, read } = await crates()
    const { rowVersion } = await read()
    await db.$stock.move({ transactionId: newId(), item: code, quantity: -1 })
    const edit = db.crate.updateVersioned({ where: { code, rowVersion }, data: { version: 2 } })
    expect(await rejectionOf(edit)).toMatchObject({ code: 'VERSION_CONFLICT', actual: rowVersion + 1 })
  })

  test('is bumped where deferred movements are folded, of the item and of the movement', async () => {
    const { client, db, code, read } = await crates()
    const { rowVersion } = await read()
    const transactionId = newId()
    await db.$stock.defer({ transactionId, item: code, quantity: 5 })
    await db.$stock.project()
    const movement = await client.crateMovement.findFirstOrThrow({ where: { transactionId } })
    expect([(await read()).rowVersion, movement.rowVersion]).toEqual([rowVersion + 1, 1])
  })

  test.each(['release', 'fulfil'] as const)('is bumped of a reservation that ends by %s', async (end) => {
    const { client, db, code } = await crates()
    const transactionId = newId()
    await db.$stock.reserve({ transactionId, lines: [{ item: code, quantity: 1 }], expiresIn: 60_000 })
    await db.$stock[end]({ transactionId })
    const reservation = await client.crateReservation.findFirstOrThrow({ where: { transactionId } })
    expect(reservation.rowVersion).toBe(1)
  })

  test('is bumped of a reservation that expires', async () => {
    const { client, db, code } = await crates()
    const transactionId = newId()
    await db.$stock.reserve({ transactionId, lines: [{ item: code, quantity: 1 }], expiresIn: 1 })
    await database.query(`UPDATE "CrateReservation" SET "expiresAt" = now() - interval '1 s'`)
    await db.$stock.reserve({ transactionId: newId(), lines: [{ item: code, quantity: 10 }], expiresIn: 60_000 })
    const reservation = await client.crateReservation.findFirstOrThrow({ where: { transactionId } })
    expect(reservation).toMatchObject({ state: 'expired', rowVersion: 1 })
  })

  test('is bumped of serials that are allocated and released', async () => {
    const { client } = database.connect()
    const db = client.$extends(concurrency(ROW_VERSION)).$extends(serials(CRATE_SERIALS))
    const number = newId()
    await db.crateSerial.create({ data: { number } })
    const transactionId = newId()
    await db.$serials.allocate({ transactionId, where: { number }, count: 1 })
    await db.$serials.release({ transactionId })
    expect((await client.crateSerial.findUniqueOrThrow({ where: { number } })).rowVersion).toBe(2n)
  })

  test('is bumped of the counter of a series', async () => {
    const { client } = database.connect()
    const db = client.$extends(concurrency(ROW_VERSION)).$extends(series({ counter: { model: 'CrateSeries' } }))
    const name = newId()
    for (const _ of [1, 2, 3]) await db.$transaction((tx) => tx.$series.next(name))
    const counter = await client.crateSeries.findFirstOrThrow({ where: { name } })
    expect(counter).toMatchObject({ last: 3n, rowVersion: 2 })
  })

  test('is known to all that lies on top, also past extensions of others, and whatever plain writes do', async () => {
    const { client } = database.connect()
    const db = client
      .$extends(concurrency({ version: { field: 'rowVersion', bumpPlainWrites: false }, transparent: ['watch'] }))
      .$extends({ name: 'watch', query: { $allModels: { findMany: ({ args, query }) => query(args) } } })
      .$extends(serials(CRATE_SERIALS))
      .$extends(stock(CRATES))
    const code = newId()
    await db.crate.create({ data: { code } })
    await db.$stock.move({ transactionId: newId(), item: code, quantity: 10 })
    await db.crate.update({ where: { code }, data: { version: 5 } })
    expect(await client.crate.findUniqueOrThrow({ where: { code } })).toMatchObject({ version: 5, rowVersion: 1 })
  })

  test('is that of each client, where two were made of the same one', async () => {
    const { client } = database.connect()
    const first = client.$extends(concurrency(ROW_VERSION)).$extends(stock(CRATES))
    const second = client.$extends(concurrency()).$extends(stock(CRATES))
    const code = newId()
    await client.crate.create({ data: { code } })
    await first.$stock.move({ transactionId: newId(), item: code, quantity: 1 })
    await second.$stock.move({ transactionId: newId(), item: code, quantity: 1 })
    await second.$stock.move({ transactionId: newId(), item: code, quantity: 1 })
    expect(await client.crate.findUniqueOrThrow({ where: { code } })).toMatchObject({ version: 2, rowVersion: 1 })
  })

  test('counts also where another concurrency(), on top of it, knows of none', async () => {
    const { client } = database.connect()
    const ledger = {
      model: 'MaterialMovement',
      transactionId: 'reference',
      line: 'position',
      item: 'material',
    } as const
    const db = client
      .$extends(concurrency({ version: { field: 'revision' } }))
      .$extends(
        stock({
          item: { model: 'Material', key: 'code' },
          movement: { ...ledger, quantity: 'change', applied: 'isApplied' },
        }),
      )
      .$extends(concurrency())
    const code = newId().slice(0, 20)
    await db.material.create({ data: { code } })
    await db.$stock.move({ transactionId: newId(), item: code, quantity: 5 })
    expect((await client.material.findUniqueOrThrow({ where: { code } })).revision).toBe(1)
  })

  test('is left alone by movements where the model is not versioned, or the mapping says so', async () => {
    const { client } = database.connect()
    const none = client.$extends(concurrency({ version: { models: { Crate: false } } })).$extends(stock(CRATES))
    const quiet = client
      .$extends(concurrency(ROW_VERSION))
      .$extends(stock({ ...CRATES, item: { ...CRATES.item, bumpVersion: false } }))
    const code = newId()
    await client.crate.create({ data: { code } })
    await none.$stock.move({ transactionId: newId(), item: code, quantity: 1 })
    await quiet.$stock.move({ transactionId: newId(), item: code, quantity: 1 })
    expect(await client.crate.findUniqueOrThrow({ where: { code } })).toMatchObject({ version: 0, rowVersion: 0 })
  })
})

describe('a mapping that names a version column', () => {
  const issues = (version: Parameters<typeof concurrency>[0], named: string) =>
    issuesOf(() =>
      database
        .connect()
        .client.$extends(concurrency(version))
        .$extends(stock({ ...CRATES, item: { ...CRATES.item, version: named } })),
    )

  test('may name the one that concurrency() has', () => {
    expect(issues(ROW_VERSION, 'rowVersion')).toEqual([])
  })

  test.each([
    ['another one', ROW_VERSION, 'version', 'must be rowVersion'],
    ['one where none was named', {}, 'rowVersion', 'must be version'],
    ['one of a model that has none', { version: { models: { Crate: false } } }, 'rowVersion', 'has no version column'],
  ] as const)('is refused if it names %s', (_what, version, named, message) => {
    expect(issues(version as object, named)).toEqual([
      { path: 'item.version', message: expect.stringContaining(message) },
    ])
  })
})

describe('the trigger of an extended client', () => {
  const sql = (version: object, field?: string) => {
    const db = database.connect().client.$extends(concurrency({ version })).$extends(stock(CRATES))
    return versionTriggerSql(db, 'Crate', field === undefined ? {} : { field })
  }
  const refused = (version: object, field?: string) => issuesOf(() => sql(version, field))

  test('is that of its version column, without being told again', () => {
    expect(sql({ field: 'rowVersion' })).toBe(sql({ field: 'rowVersion' }, 'rowVersion'))
    expect(sql({ field: 'rowVersion' })).toContain('NEW."rowVersion" := OLD."rowVersion" + 1')
  })

  test.each([
    ['another column', { field: 'rowVersion' }, 'version', 'the version column rowVersion'],
    ['a model that is not versioned', { models: { Crate: false } }, 'version', 'no version column'],
    [
      'a model that is not versioned, with no column named',
      { models: { Crate: false } },
      undefined,
      'is set to `false`',
    ],
  ] as const)('is refused for %s', (_what, version, field, message) => {
    expect(refused(version, field)).toEqual([expect.objectContaining({ message: expect.stringContaining(message) })])
  })

  test.each(['Prompt', 'Edition', 'Contract'])('is refused for %s, whose version is a business number', (model) => {
    const { client } = database.connect()
    expect(issuesOf(() => versionTriggerSql(client, model))).toHaveLength(1)
  })
})
