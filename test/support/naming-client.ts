// The client module of an application whose adapter prepares its statements by names.
import { PrismaPg } from '@prisma/adapter-pg'
import { concurrency } from 'prisma-extension-concurrency'
import { PrismaClient } from '../../generated/prisma/client.js'

const adapter = new PrismaPg(
  { connectionString: process.env.DATABASE_URL },
  { statementNameGenerator: ({ sql }) => `s${sql.length}` },
)
export const db = new PrismaClient({ adapter }).$extends(concurrency())
