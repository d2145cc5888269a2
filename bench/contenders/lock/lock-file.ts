/** `proper-lockfile`: a folder whose being there is the lock, and whose time of change says that its holder lives. */
import { join } from 'node:path'
import type { Contender } from '../../contender.js'
import { ASK_AGAIN, LEASE, LOCK_OPERATIONS, LockLost, LockNotFree, lockName, lockSession } from '../../support/lock.js'
import { PATIENCE } from '../../support/patience.js'

export default {
  id: 'lock/lock-file',
  title: 'Lock file (proper-lockfile)',
  family: 'lock',
  source: 'https://github.com/moxystudio/node-proper-lockfile#usage',
  choices:
    'stale: 5 s, the least that its README allows (its default is 10 s), refreshed twice within. Its own retries, ' +
    'every 10 to 20 ms for 5 s (by default it does not wait at all), which it does not count. onCompromised is set, ' +
    'since by default it ends the process, and asked before each write. Rows by Prisma, with prepared statements.',
  packages: ['proper-lockfile'],
  operations: LOCK_OPERATIONS,

  async open(env) {
    const { lock } = (await import('proper-lockfile')).default
    return lockSession(
      env,
      async (key, body) => {
        let isLost = false
        const release = await lock(join(env.folder, lockName(env, key)), {
          realpath: false, // otherwise there must be a file of that name
          stale: LEASE,
          retries: {
            forever: true,
            maxRetryTime: PATIENCE,
            minTimeout: ASK_AGAIN.least,
            factor: 1,
            randomize: true,
          },
          onCompromised: () => {
            isLost = true
          },
        }).catch((error: unknown) => {
          throw error instanceof Error && 'code' in error && error.code === 'ELOCKED' ? new LockNotFree() : error
        })
        try {
          await body({
            check() {
              if (isLost) throw new LockLost()
            },
          })
        } finally {
          await release()
        }
        return 0
      },
      async () => {},
    )
  },
} satisfies Contender
