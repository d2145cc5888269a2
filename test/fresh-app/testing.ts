import { PrismaPg } from '@prisma/adapter-pg'
import { concurrency, isConcurrencyError } from 'prisma-extension-concurrency'
import { cuttingProxy, fakeClock, gate, interleave } from 'prisma-extension-concurrency/testing'
import { PrismaClient } from './client/client.js'

const { DATABASE_URL = '' } = process.env
const connect = (connectionString: string) =>
  new PrismaClient({ adapter: new PrismaPg({ connectionString }, { onPoolError: () => {} }) }).$extends(concurrency())
const db = connect(DATABASE_URL)
type Db = typeof db
const { id } = await db.category.create({ data: { name: 'x' } })

// Two that read and then write: one of them is lost.
const append = async (db: Db) => {
  const { name } = await db.category.findUniqueOrThrow({ where: { id } })
  await db.category.update({ where: { id }, data: { name: `${name}+` } })
}
const { broken } = await interleave(append, append, {
  url: DATABASE_URL,
  connect,
  disconnect: (db) => db.$disconnect(),
  setup: (db) => db.category.update({ where: { id }, data: { name: 'x' } }),
  check: async (db) => (await db.category.findUniqueOrThrow({ where: { id } })).name === 'x++',
})

// The clock is that of the package that the app has.
const inside = gate()
const holder = db.$withAdvisoryLock('x', () => inside.wait(), { bodyTimeout: 60_000 })
await inside.arrived()
const clock = fakeClock()
const waiting = [1, 2].map(() =>
  db.$withAdvisoryLock('x', async () => 'had', { timeout: 30_000 }).catch((error: unknown) => error),
)
await clock.advance(30_000)
const error = await waiting[1]
clock.restore()
inside.open()
await Promise.all([holder, ...waiting])

// The answer of COMMIT is lost, and it is carried out once.
const proxy = await cuttingProxy(DATABASE_URL)
const cut = connect(proxy.url)
const { happened } = proxy.next(/^COMMIT/, 'drop')
await cut.$transactionWithRetry((tx) => tx.category.create({ data: { name: 'once' } }))
await happened
await cut.$disconnect()
await proxy.close()

await db.$disconnect()
console.log(
  JSON.stringify({
    order: broken?.steps.map(({ body }) => body).join(''),
    timedOut: isConcurrencyError(error, 'LOCK_TIMEOUT'),
  }),
)
