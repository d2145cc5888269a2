import { PrismaPg } from '@prisma/adapter-pg'
import { concurrency, isConcurrencyError } from 'prisma-extension-concurrency'
import { PrismaClient } from './client/client.js'

const { DATABASE_URL = '' } = process.env
const adapter = new PrismaPg({ connectionString: DATABASE_URL })
const db = new PrismaClient({ adapter }).$extends(concurrency())

const { id } = await db.category.create({ data: { name: 'Tea' } })
const { version } = await db.category.updateVersioned({
  where: { id },
  data: ({ name }) => ({ name: `${name} and coffee` }),
  select: { version: true },
})
const error: unknown = await db.category
  .updateVersioned({ where: { id, version: 0 }, data: { name: 'Milk' } })
  .catch((e) => e)
const conflict = isConcurrencyError(error, 'VERSION_CONFLICT') ? [error.expected, error.actual] : error
await db.$disconnect()
console.log(JSON.stringify({ version, conflict }))
