import { PrismaPg } from '@prisma/adapter-pg'
import { concurrency } from 'prisma-extension-concurrency'
import { inbox } from 'prisma-extension-concurrency/work'
import { PrismaClient } from '../../generated/prisma/client.js'

export type Database = ReturnType<typeof connect>

export function connect(url: string) {
  return new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })
    .$extends(concurrency())
    .$extends(inbox({ version: {} }))
}
