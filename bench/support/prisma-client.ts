/**
 * The client that all contenders on Prisma share the making of, ours among them: same adapter, same pool, and
 * prepared statements, as the contenders on pg have them. The adapter prepares only for a program that gives it a
 * `statementNameGenerator`. A transaction waits for a connection as long as others wait for a lock (`maxWait`;
 * Prisma's own 2 s would be too short for a thousand callers).
 */
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/bench/client.js'
import type { Environment } from '../contender.js'
import { PATIENCE } from './patience.js'
import { statementNameGenerator } from './statement-names.js'

export function createPrisma({ databaseUrl, poolSize }: Environment): PrismaClient {
  const key = `${databaseUrl} ${poolSize}`
  const known = clients.get(key)
  if (known) return known
  const client = new PrismaClient({
    adapter: new PrismaPg({ connectionString: databaseUrl, max: poolSize }, { statementNameGenerator }),
    transactionOptions: { maxWait: PATIENCE },
  })
  clients.set(key, client)
  return client
}

/** A server has its client for days: a process keeps it from run to run, and it connects anew in each. */
const clients = new Map<string, PrismaClient>()

/** Whether this is an error of Prisma's with that code. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
