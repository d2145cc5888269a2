/** etcd's queue for a lock, as `etcd3` has it under the name of election: the oldest key holds it, the others wait for the one before. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Contender } from '../../contender.js'
import {
  LEASE,
  LOCK_OPERATIONS,
  LONGEST_WAIT,
  LockLost,
  LockNotFree,
  lockName,
  lockSession,
} from '../../support/lock.js'

export default {
  id: 'lock/etcd',
  title: 'etcd, one server (etcd3)',
  family: 'lock',
  source: 'https://microsoft.github.io/etcd3/classes/election.html',
  choices:
    'election().campaign(), with a lease of 5 s that is kept alive; waits for 5 s. Not lock(): it fails when the lock ' +
    'is held, so that its users have to ask again, where each attempt costs three writes (half as many operations ' +
    'here, among 64 callers), and it does not tell its holder that the lease was lost, which is asked before each ' +
    'write here. etcd as it is shipped, which writes to disk before it answers; one server, where a cluster would ' +
    'take longer. Rows by Prisma.',
  server: 'etcd',
  packages: ['etcd3'],
  operations: LOCK_OPERATIONS,

  async open(env) {
    const { Etcd3 } = await import('etcd3')
    const client = new Etcd3({ hosts: [...(env.servers.etcd ?? [])] })
    return lockSession(
      env,
      async (key, body) => {
        const campaign = client.election(lockName(env, key), LEASE / 1_000).campaign('')
        let isLost = false
        campaign.on('error', () => (isLost = true))
        try {
          const timer = new AbortController()
          const elected = campaign.wait().finally(() => timer.abort())
          const late = sleep(LONGEST_WAIT, 'late', { signal: timer.signal }).catch(() => undefined)
          if ((await Promise.race([elected, late])) === 'late') {
            elected.catch(() => {}) // it is given up
            throw new LockNotFree()
          }
          await body({
            check() {
              if (isLost) throw new LockLost()
            },
          })
        } finally {
          await campaign.resign()
        }
        return 0
      },
      async () => client.close(),
    )
  },
} satisfies Contender
