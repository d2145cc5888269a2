/** `SET key token NX PX`, and a release by the script of Redis's documentation, which compares the token. */
import { randomUUID } from 'node:crypto'
import type { Contender } from '../../contender.js'
import { askUntilGiven, LEASE, LOCK_OPERATIONS, leaseHold, lockName, lockSession } from '../../support/lock.js'

const RELEASE = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end`

export default {
  id: 'lock/redis-set-nx',
  title: 'Redis, SET NX PX (ioredis)',
  family: 'lock',
  source:
    'https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/#correct-implementation-with-a-single-instance',
  choices:
    'One connection per process; a command is sent without waiting for the answers before it, and at once (ioredis’s ' +
    'auto-pipelining would first collect those of the same turn). Redis as it is shipped: it does not write to disk ' +
    'before it answers, so a lock can be lost in a crash. A lease of 5 s, not renewed, which the holder compares with ' +
    'its own clock before each write; asked for again every 10 to 30 ms, for 5 s. No fencing token, which the page ' +
    'advises: it would be a guard of the row. Rows by Prisma, with prepared statements.',
  server: 'redis',
  packages: ['ioredis'],
  operations: LOCK_OPERATIONS,

  async open(env) {
    const { Redis } = await import('ioredis')
    const redis = new Redis(env.servers.redis?.[0] ?? '')
    redis.defineCommand('releaseLock', { numberOfKeys: 1, lua: RELEASE })
    const { releaseLock } = redis as unknown as { releaseLock(key: string, token: string): Promise<number> }
    return lockSession(
      env,
      async (key, body) => {
        const name = lockName(env, key)
        const { given, retries } = await askUntilGiven(async () => {
          const token = randomUUID()
          const askedAt = performance.now()
          return (await redis.set(name, token, 'PX', LEASE, 'NX')) === 'OK' ? { token, askedAt } : undefined
        })
        try {
          await body(leaseHold(given.askedAt))
        } finally {
          await releaseLock.call(redis, name, given.token)
        }
        return retries
      },
      async () => void (await redis.quit()),
    )
  },
} satisfies Contender
