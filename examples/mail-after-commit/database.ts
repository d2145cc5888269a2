import { PrismaPg } from '@prisma/adapter-pg'
import { concurrency } from 'prisma-extension-concurrency'
import { outbox } from 'prisma-extension-concurrency/work'
import { PrismaClient } from '../../generated/prisma/client.js'

export interface Topics {
  readonly 'order.created': { readonly orderId: number }
}

export type Database = ReturnType<typeof connect>

export function connect(url: string) {
  return new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })
    .$extends(concurrency())
    .$extends(outbox({ topics: {} as Topics }))
}
