/** Redlock over three Redis servers: `using`, which renews the lease, and whose signal is looked at before each write. */
import type { Contender } from '../../contender.js'
import { askUntilGiven, LEASE, LOCK_OPERATIONS, LockLost, lockName, lockSession } from '../../support/lock.js'

export default {
  id: 'lock/redlock',
  title: 'Redlock, 3 Redis servers',
  family: 'lock',
  source: 'https://github.com/sesamecare/redlock#usage',
  choices:
    'using, 5 s, as in its README, with its drift factor and its threshold to renew. retryCount is 0, and it is ' +
    'asked again from outside, every 10 to 30 ms for 5 s: its own retries, by default 10 at 200 ms, keep the votes ' +
    'of those attempts that had too few until all are used up, so that three callers with one vote each block one ' +
    'another. The servers are as they are shipped. No fencing token: it has none. Rows by Prisma, with prepared statements.',
  server: 'redis x3',
  packages: ['@sesamecare-oss/redlock', 'ioredis'],
  operations: LOCK_OPERATIONS,

  async open(env) {
    const [{ Redis }, { Redlock, ExecutionError }] = await Promise.all([
      import('ioredis'),
      import('@sesamecare-oss/redlock'),
    ])
    const clients = (env.servers['redis x3'] ?? []).map((url) => new Redis(url))
    const redlock = new Redlock(clients, { retryCount: 0 })
    return lockSession(
      env,
      async (key, body) => {
        const { retries } = await askUntilGiven(async () => {
          let isHeld = false
          try {
            await redlock.using([lockName(env, key)], LEASE, async (signal) => {
              isHeld = true
              await body({
                check() {
                  if (signal.aborted) throw new LockLost()
                },
              })
            })
            return true
          } catch (error) {
            if (isHeld || !(error instanceof ExecutionError)) throw error
            return undefined // it is another's
          }
        })
        return retries
      },
      () => redlock.quit(),
    )
  },
} satisfies Contender
