import { PrismaPg } from '@prisma/adapter-pg'
import { concurrency, VersionConflictError } from 'prisma-extension-concurrency'
import { PrismaClient } from '../../generated/prisma/client.js'

// The model has a version column: `version Int @default(0)`.
const adapter = new PrismaPg({ connectionString: process.env.DATABASE_URL })
const db = new PrismaClient({ adapter }).$extends(concurrency())

const { id } = await db.product.create({ data: { name: 'Chai', stock: 39 } })

// Read, change, write. If somebody else writes in between, the function runs again on what is there then.
const sellOne = () => db.product.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock - 1 }) })
await Promise.all(Array.from({ length: 10 }, sellOne))

const { stock, version } = await db.product.findUniqueOrThrow({ where: { id } })
console.log(`Ten sold at once: ${stock} left, version ${version}.`)

// `undefined` writes nothing.
const few = await db.product.updateVersioned({
  where: { id },
  data: (current) => (current.stock < 100 ? undefined : { stock: current.stock - 100 }),
  select: { stock: true },
})
console.log(`A hundred are not there: still ${few.stock}.`)

// Two people have opened the same form, so both hold this version. The first to save it wins.
await db.product.updateVersioned({ where: { id, version }, data: { name: 'Chai, 20 bags' } })
try {
  await db.product.updateVersioned({ where: { id, version }, data: { name: 'Chai, 10 boxes' } })
} catch (error) {
  if (!(error instanceof VersionConflictError)) throw error
  console.log(`Not saved: the product is at version ${error.actual}, the form was at ${error.expected}.`)
}

// The same without an exception, and with the record as it is now.
const result = await db.product.tryUpdateVersioned({ where: { id, version }, data: { name: 'Chai, 10 boxes' } })
if (result.status === 'stale') console.log(`Meanwhile somebody else named it "${result.current.name}".`)

await db.$disconnect()
