import { expectTypeOf, test } from 'vitest'
import type {
  CompanySerial,
  CompanySerialHistory,
  DeviceHistory,
  Licence,
  Serial,
} from '../../generated/prisma/client.js'
import { type PgClient, serials as pgSerials } from '../../src/pg.js'
import { serials } from '../../src/serials/extension.js'
import { base, db as core, type Flat } from './support.js'

const db = core.$extends(serials())
const mapped = core.$extends(
  serials({
    serial: { model: 'Licence', number: 'code', transactionId: 'holder', version: 'revision' },
    allocation: { model: 'LicenceGrant', transactionId: 'reference', request: 'asked', count: 'amount' },
  }),
)

test('allocate resolves to whole records of the model', () => {
  const call = () => db.$serials.allocate({ transactionId: 't', where: { productId: 7 }, count: 3 })
  const other = () => mapped.$serials.allocate({ transactionId: 't', where: { kind: 'SPECIAL' }, count: 3 })

  type Taken = Awaited<ReturnType<typeof call>>
  expectTypeOf<Flat<Taken['serials'][number]>>().toEqualTypeOf<Flat<Serial>>()
  expectTypeOf<Taken['replayed']>().toEqualTypeOf<boolean>()
  expectTypeOf<Flat<Awaited<ReturnType<typeof other>>['serials'][number]>>().toEqualTypeOf<Flat<Licence>>()
})

test('where and data take plain values of scalar fields, and no mapped ones', () => {
  const args = { transactionId: 't', count: 3 }
  const where = { productId: 7 }
  void (() => {
    db.$serials.allocate({ ...args, where: {} })
    db.$serials.allocate({ ...args, where: { number: 'S-1' }, data: { orderId: null }, partial: true })
    mapped.$serials.allocate({ ...args, where: { seats: 5, price: '1.5' }, data: { tags: ['a'], note: { a: [1] } } })
    // @ts-expect-error the number of serials is missing
    db.$serials.allocate({ transactionId: 't', where })
    // @ts-expect-error it must be said which ones
    db.$serials.allocate(args)
    // @ts-expect-error no such field
    db.$serials.allocate({ ...args, where: { product: 7 } })
    // @ts-expect-error a filter is no plain value
    db.$serials.allocate({ ...args, where: { productId: { gt: 7 } } })
    // @ts-expect-error all that can be allocated is free
    db.$serials.allocate({ ...args, where: { transactionId: null } })
    // @ts-expect-error the owner is written by allocate itself
    db.$serials.allocate({ ...args, where, data: { transactionId: 'u' } })
    // @ts-expect-error the number stays
    db.$serials.allocate({ ...args, where, data: { number: 'u' } })
    // @ts-expect-error no plain value
    db.$serials.allocate({ ...args, where, data: { orderId: { increment: 1 } } })
    // @ts-expect-error a mapped name is one of the model
    mapped.$serials.allocate({ ...args, where: {}, data: { holder: 'u' } })
    // @ts-expect-error the version goes up by itself
    mapped.$serials.allocate({ ...args, where: {}, data: { revision: 1 } })
    // @ts-expect-error no value of the enum
    mapped.$serials.free({ kind: 'ODD' })
  })
})

test('import needs the fields that the database does not fill in, and one source of numbers', () => {
  const range = { from: 1, to: 5n, format: '{00}' }
  void (() => {
    db.$serials.import({ transactionId: 't', data: { productId: 7 }, range })
    db.$serials.import({ transactionId: 't', data: { productId: 7, orderId: 1 }, numbers: ['a'], timeout: 60_000 })
    mapped.$serials.import({ transactionId: 't', numbers: ['a'] })
    // @ts-expect-error the product is missing
    db.$serials.import({ transactionId: 't', range })
    // @ts-expect-error the product is missing
    db.$serials.import({ transactionId: 't', data: { orderId: 1 }, range })
    // @ts-expect-error the numbers are given by the range
    db.$serials.import({ transactionId: 't', data: { productId: 7, number: 'a' }, range })
    // @ts-expect-error one of the two
    db.$serials.import({ transactionId: 't', data: { productId: 7 }, range, numbers: ['a'] })
    // @ts-expect-error one of the two
    db.$serials.import({ transactionId: 't', data: { productId: 7 } })
  })
})

test('the same is there inside a transaction, and on no client without the extension', () => {
  void (() =>
    db.$transactionWithRetry(async (tx) => {
      const { serials } = await tx.$serials.allocate({ transactionId: 't', where: { productId: 7 }, count: 3 })
      expectTypeOf(serials[0].number).toEqualTypeOf<string>()
      expectTypeOf(await tx.$serials.release({ transactionId: 't' })).toEqualTypeOf<{ released: number }>()
      expectTypeOf(await tx.$serials.free({ productId: 7 })).toEqualTypeOf<number>()
    }))
  // @ts-expect-error not extended
  void (() => base.$serials)
})

test('with scope columns, each call names its scope, or is made on the methods of one', () => {
  const scoped = core.$extends(
    serials({
      scope: ['companyId'],
      serial: { model: 'CompanySerial' },
      allocation: { model: 'CompanySerialAllocation' },
    }),
  )
  const onPg = (client: PgClient) => client.$extends(pgSerials<CompanySerial, 'companyId'>({ scope: ['companyId'] }))
  const args = { transactionId: 't', where: { productId: 7 }, count: 3 }
  const scope = { companyId: 1 }
  void (async () => {
    const taken = await scoped.$serials.allocate({ ...args, scope })
    expectTypeOf<Flat<(typeof taken)['serials'][number]>>().toEqualTypeOf<Flat<CompanySerial>>()
    expectTypeOf(await scoped.$serials.free({ productId: 7, scope })).toEqualTypeOf<number>()
    await scoped.$serials.in(scope).allocate(args)
    await scoped.$transactionWithRetry((tx) => tx.$serials.in(scope).release({ transactionId: 't' }))
    // @ts-expect-error the scope is missing
    scoped.$serials.allocate(args)
    // @ts-expect-error the scope is missing
    scoped.$serials.free({ productId: 7 })
    // @ts-expect-error the scope is missing
    scoped.$serials.release({ transactionId: 't' })
    // @ts-expect-error the scope is missing
    scoped.$serials.import({ transactionId: 't', data: { productId: 7 }, numbers: ['S-1'] })
    // @ts-expect-error the scope is missing
    scoped.$serials.prune({ forgetBefore: '2025-01-01' })
    expectTypeOf(
      (await scoped.$serials.prune({ forgetBefore: '2025-01-01', scope })).allocations,
    ).toEqualTypeOf<number>()
    // @ts-expect-error it must be said which transaction ids are forgotten
    scoped.$serials.prune({ scope })
    // @ts-expect-error the company is missing
    scoped.$serials.in({})
    // @ts-expect-error the company is an Int
    scoped.$serials.in({ companyId: 'a' })
    // @ts-expect-error the scope is bound already
    scoped.$serials.in(scope).allocate({ ...args, scope })
    // @ts-expect-error a field of the scope is no part of `where`
    scoped.$serials.allocate({ ...args, where: { companyId: 1 }, scope })
    // @ts-expect-error there is no scope
    db.$serials.allocate({ ...args, scope })
    // @ts-expect-error there is no scope
    void db.$serials.in
  })
  void (async (client: PgClient) => {
    const shop = onPg(client)
    const { serials } = await shop.$serials.in(scope).allocate(args)
    expectTypeOf(serials[0].companyId).toEqualTypeOf<number>()
    await shop.$serials.allocate({ ...args, scope })
    await client.$extends(pgSerials({ scope: ['companyId'] })).$serials.free({ productId: 7, scope })
    // @ts-expect-error the scope is missing
    shop.$serials.allocate(args)
    // @ts-expect-error the scope is missing
    client.$extends(pgSerials({ scope: ['companyId'] })).$serials.free({ productId: 7 })
    // @ts-expect-error the type of the scope is missing
    pgSerials<CompanySerial>({ scope: ['companyId'] })
    // @ts-expect-error there is no scope
    client.$extends(pgSerials()).$serials.in(scope)
  })
})

test('serials are asked for by a count or by their numbers, and not by both', () => {
  const args = { transactionId: 't', where: { productId: 7 } }
  void (() => {
    db.$serials.allocate({ ...args, numbers: ['S-1'], data: { orderId: 1 } })
    mapped.$serials.allocate({ transactionId: 't', numbers: ['S-1'] })
    // @ts-expect-error one of the two
    db.$serials.allocate({ ...args, numbers: ['S-1'], count: 1 })
    // @ts-expect-error of numbers, all are taken or none
    db.$serials.allocate({ ...args, numbers: ['S-1'], partial: true })
    // @ts-expect-error a number is a text
    db.$serials.allocate({ ...args, numbers: [1] })
  })
})

test('history is there where the options have it, with records of its model', () => {
  const devices = core.$extends(
    serials({
      serial: { model: 'Device', state: { free: 'FREE', allocated: 'ALLOCATED' } },
      allocation: { model: 'DeviceAllocation' },
      history: { model: 'DeviceHistory' },
    }),
  )
  const companies = core.$extends(
    serials({
      scope: ['companyId'],
      serial: { model: 'CompanySerial' },
      allocation: { model: 'CompanySerialAllocation' },
      history: { model: 'CompanySerialHistory' },
    }),
  )
  const serial = { productId: 7, number: 'S-1' }
  const scope = { companyId: 1 }
  void (async () => {
    const [change] = await devices.$serials.history(serial, { after: 3, limit: 10 })
    expectTypeOf<Flat<typeof change>>().toEqualTypeOf<Flat<DeviceHistory>>()
    const [own] = await companies.$serials.history({ ...serial, scope }, { after: 3 })
    expectTypeOf<Flat<typeof own>>().toEqualTypeOf<Flat<CompanySerialHistory>>()
    await companies.$serials.in(scope).history(serial)
    await devices.$serials.release({ transactionId: 't', data: { state: 'BLOCKED', orderId: null } })
    // @ts-expect-error the number is missing
    devices.$serials.history({ productId: 7 })
    // @ts-expect-error the scope is missing
    companies.$serials.history(serial)
    // @ts-expect-error the state is written by allocate itself
    devices.$serials.allocate({ transactionId: 't', where: {}, count: 1, data: { state: 'BLOCKED' } })
    // @ts-expect-error the changes are counted by themselves
    devices.$serials.release({ transactionId: 't', data: { changes: 1 } })
    // @ts-expect-error there is no history
    void db.$serials.history
  })
})

test('options are of the mapping alone', () => {
  void (() => {
    // @ts-expect-error no such option
    serials({ serial: { colour: 'red' } })
    // @ts-expect-error the name of a field
    serials({ allocation: { count: 5 } })
  })
})
