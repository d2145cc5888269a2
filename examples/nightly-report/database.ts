import { PrismaPg } from '@prisma/adapter-pg'
import { concurrency } from 'prisma-extension-concurrency'
import { jobs, leases } from 'prisma-extension-concurrency/work'
import { PrismaClient } from '../../generated/prisma/client.js'

export type Database = ReturnType<typeof connect>

export function connect(url: string, machine = 'a machine') {
  return new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })
    .$extends(concurrency())
    .$extends(leases())
    .$extends(jobs({ startedBy: machine }))
}
