const { PrismaPg } = require('@prisma/adapter-pg')
const { concurrency } = require('prisma-extension-concurrency')
const { holdRow, untilBlocked } = require('prisma-extension-concurrency/testing')
const { PrismaClient } = require('./out/client/client.js')

async function main() {
  const url = process.env.DATABASE_URL
  const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) }).$extends(concurrency())
  const { id } = await db.category.create({ data: { name: 'held' } })
  const stranger = await holdRow(url, 'SELECT FROM "Category" WHERE id = $1 FOR UPDATE', [id])
  const call = db.category.updateVersioned({ where: { id, version: 0 }, data: { name: 'free' } }).then((row) => row)
  const [session] = await untilBlocked(url)
  await stranger.release()
  const { name } = await call
  await db.$disconnect()
  console.log(session.blockedBy.includes(stranger.pid), name)
}

main()
