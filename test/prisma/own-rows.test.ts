import { expect, test } from 'vitest'
import { inbox } from '../../src/inbox/extension.js'
import { concurrency } from '../../src/index.js'
import { jobs } from '../../src/jobs/extension.js'
import { leases } from '../../src/leases/extension.js'
import { outbox } from '../../src/outbox/extension.js'
import { series } from '../../src/series/extension.js'
import { steps } from '../../src/steps/extension.js'
import { useDatabase } from '../support/clients.js'
import { rejectionOf } from '../support/rejection.js'

const database = useDatabase()
const connect = () => {
  const { client, statements } = database.connect()
  const db = client
    .$extends(concurrency())
    .$extends(leases())
    .$extends(jobs())
    .$extends(outbox())
    .$extends(inbox({ version: {} }))
    .$extends(steps())
  return { db, statements }
}

test('other writes of leases, runs, messages and notes by the client are refused before any SQL, and reads are not', async () => {
  const { db, statements } = connect()
  const lease = { name: 'index', token: 1n }
  const version = { consumer: 'shipping', key: 'order 1', lastVersion: 7n }
  const calls: readonly [member: string, field: string, call: () => PromiseLike<unknown>][] = [
    ['$withLease', 'create', () => db.lease.create({ data: lease })],
    ['$withLease', 'upsert', () => db.lease.upsert({ where: { name: 'index' }, create: lease, update: {} })],
    ['$withLease', 'deleteMany', () => db.lease.deleteMany()],
    ['$withLease', 'data', () => db.lease.createIdempotent({ where: { name: 'index' }, data: { token: 1n } })],
    ['$job', 'updateMany', () => db.jobRun.updateMany({ data: { state: 'done' } })],
    ['$outbox', 'delete', () => db.outboxMessage.delete({ where: { id: crypto.randomUUID() } })],
    ['$outbox', 'updateManyAndReturn', () => db.$transaction((tx) => tx.outboxKey.updateManyAndReturn({ data: {} }))],
    [
      '$steps',
      'update',
      () => db.operation.update({ where: { scope_key: { scope: 'a', key: 'b' } }, data: { state: 'done' } }),
    ],
    ['$inbox', 'createMany', () => db.inboxMessage.createMany({ data: [] })],
    ['$inbox', 'createManyAndReturn', () => db.inboxVersion.createManyAndReturn({ data: [version] })],
  ]
  for (const [member, field, call] of calls) {
    const error = await rejectionOf(Promise.resolve(call()))
    expect(error).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field,
      message: expect.stringContaining(`are written by ${member} alone`),
    })
  }
  expect(statements.filter((sql) => !/^(?:BEGIN|ROLLBACK)/.test(sql))).toEqual([])
  expect([await db.lease.count(), await db.outboxMessage.findFirst(), await db.jobRun.findMany()]).toEqual([
    0,
    null,
    [],
  ])
})

test('two extensions that would write the rows of one model are a mistake in the options, in both orders', () => {
  const base = database.connect().client.$extends(concurrency())
  const consumer = inbox({ version: { model: 'Series', consumer: 'name', key: 'period', lastVersion: 'last' } })

  expect(() => base.$extends(series()).$extends(consumer)).toThrow('Series is written by $series already, and $inbox')
  expect(() => base.$extends(consumer).$extends(series())).toThrow('Series is written by $inbox already, and $series')
})
