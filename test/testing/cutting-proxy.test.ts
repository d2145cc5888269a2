import { connect as connectTo } from 'node:net'
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { PrismaClient } from '../../generated/prisma/client.js'
import { concurrency } from '../../src/index.js'
import { cuttingProxy, type Fate } from '../../src/testing.js'
import { PATIENT, useDatabase } from '../support/clients.js'
import { rejectionOf } from '../support/rejection.js'

const database = useDatabase()

async function open() {
  const proxy = await cuttingProxy(database.url)
  const pool = new pg.Pool({ connectionString: proxy.url })
  pool.on('error', () => {})
  const client = new PrismaClient({ adapter: new PrismaPg(pool), transactionOptions: PATIENT })
  onTestFinished(async () => {
    await client.$disconnect()
    await pool.end()
    await proxy.close()
  })
  return { proxy, client, db: client.$extends(concurrency()) }
}
const isThere = async (text: string) =>
  (await database.query('SELECT FROM "Note" WHERE text = $1', [text])).length === 1

test.each<[Fate, boolean]>([
  ['cut', false],
  ['drop', true],
])('a plain transaction whose COMMIT meets %s fails, and is committed: %s', async (fate, isCommitted) => {
  const { proxy, client } = await open()
  proxy.next(/^COMMIT/, fate)
  await rejectionOf(client.$transaction((tx) => tx.note.create({ data: { text: `commit, ${fate}` } })))

  expect(await isThere(`commit, ${fate}`)).toBe(isCommitted)
})

test('$transactionWithRetry commits once where the answer of COMMIT is lost', async () => {
  const { proxy, db } = await open()
  const { happened } = proxy.next(/^COMMIT/, 'drop')
  await db.$transactionWithRetry((tx) => tx.note.create({ data: { text: 'once' } }))
  await happened

  expect(await isThere('once')).toBe(true)
})

test('a statement that is held goes on when it is released', async () => {
  const { proxy, client } = await open()
  const held = proxy.next(/INSERT INTO/, 'hold')
  const call = client.note.create({ data: { text: 'held' } }).then(() => 'written')
  await held.happened
  const before = await isThere('held')
  held.release()

  expect(before).toBe(false)
  expect(await call).toBe('written')
})

test('a client that would rather encrypt is told that it cannot', async () => {
  const { proxy } = await open()
  const socket = connectTo(Number(new URL(proxy.url).port), '127.0.0.1')
  const request = Buffer.alloc(8)
  request.writeInt32BE(8, 0)
  request.writeInt32BE(80877103, 4)
  socket.write(request)
  const [answer] = await new Promise<Buffer[]>((resolve) => socket.once('data', (bytes) => resolve([bytes])))
  socket.destroy()

  expect(answer.toString()).toBe('N')
})

test('a proxy refuses connections until it is told otherwise', async () => {
  const { proxy, client } = await open()
  proxy.refuse()
  await rejectionOf(client.$queryRaw`SELECT 1`)
  const refusals = proxy.refusals()
  proxy.accept()

  expect(refusals).toBeGreaterThan(0)
  expect(await client.$queryRaw`SELECT 1 AS one`).toEqual([{ one: 1 }])
})
