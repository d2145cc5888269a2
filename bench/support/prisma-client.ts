/** The client that all contenders on Prisma share the making of: same adapter, same pool, nothing else set. */
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/bench/client.js'
import type { Environment } from '../contender.js'

export function createPrisma({ databaseUrl, poolSize }: Environment): PrismaClient {
  return new PrismaClient({ adapter: new PrismaPg({ connectionString: databaseUrl, max: poolSize }) })
}

/** Whether this is an error of Prisma's with that code. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
