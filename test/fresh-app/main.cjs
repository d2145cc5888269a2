const { PrismaPg } = require('@prisma/adapter-pg')
const { concurrency } = require('prisma-extension-concurrency')
const { PrismaClient } = require('./out/client/client.js')

async function main() {
  const adapter = new PrismaPg({ connectionString: process.env.DATABASE_URL })
  const db = new PrismaClient({ adapter }).$extends(concurrency())
  const { id } = await db.category.create({ data: { name: 'Spices' } })
  const { name } = await db.category.updateVersioned({ where: { id, version: 0 }, data: { name: 'Herbs' } })
  await db.$disconnect()
  console.log(name)
}

main()
