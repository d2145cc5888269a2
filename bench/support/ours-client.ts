/** The extended client, as the README makes it: no option that a beginner would not have. */
import { concurrency } from 'prisma-extension-concurrency'
import type { Environment } from '../contender.js'
import { createPrisma } from './prisma-client.js'

export function createOurs(env: Environment) {
  return createPrisma(env).$extends(concurrency())
}
