/** `advisory-lock` from npm: a session's advisory lock, on a connection that is made for each lock. */
import { createRequire } from 'node:module'
import type { Contender } from '../../contender.js'
import { limiter } from '../../support/limiter.js'
import { LOCK_OPERATIONS, lockSession, UNKNOWING } from '../../support/lock.js'

type AdvisoryLock = typeof import('advisory-lock')

export default {
  id: 'lock/session-advisory-lock',
  title: 'Session advisory lock (advisory-lock)',
  family: 'lock',
  source: 'https://github.com/olalonde/advisory-lock#example',
  choices:
    'withLock, as in its README, which waits without end. It opens a connection of its own for each lock, also to ' +
    'wait, with no limit; here at most half of the connections are for that, in the order of asking, and half for ' +
    'Prisma, since otherwise the waiting ones would use up all that the server has. Rows by Prisma, with prepared statements.',
  packages: ['advisory-lock'],
  operations: LOCK_OPERATIONS,

  async open(env) {
    // It is CommonJS compiled from a module: the default export that `import` gives depends on the loader.
    const { default: advisoryLock } = createRequire(import.meta.url)('advisory-lock') as AdvisoryLock
    const half = Math.max(1, Math.floor(env.poolSize / 2))
    const createMutex = advisoryLock(env.databaseUrl)
    const limited = limiter(half)
    return lockSession(
      { ...env, poolSize: half },
      async (key, body) => {
        await limited(() => createMutex(key).withLock(() => body(UNKNOWING)))
        return 0
      },
      async () => {},
    )
  },
} satisfies Contender
