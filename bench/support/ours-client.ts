/**
 * The extended client, as the README makes it: no option that a beginner would not have. From the
 * build, as its users have it. By its path, since the bench is a package of its own, for which the
 * root is not to be had by its name.
 */
import { concurrency } from '../../dist/index.js'
import type { Environment } from '../contender.js'
import { createPrisma } from './prisma-client.js'

export function createOurs(env: Environment) {
  return createPrisma(env).$extends(concurrency())
}
