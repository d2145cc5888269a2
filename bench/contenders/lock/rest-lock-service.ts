/** A lock service of one's own, over HTTP: a lease with a token, renewed by a heartbeat. The service is `servers/rest`. */
import { setInterval } from 'node:timers'
import type { Contender } from '../../contender.js'
import { LEASE, LOCK_OPERATIONS, LockLost, LockNotFree, lockName, lockSession } from '../../support/lock.js'
import { PATIENCE } from '../../support/patience.js'

export default {
  id: 'lock/rest-lock-service',
  title: 'REST lock service (Fastify)',
  family: 'lock',
  source: 'https://developer.hashicorp.com/consul/docs/automate/session',
  choices:
    'One instance, which keeps its locks in a PostgreSQL database of its own, with half of the connections, and answers who waits as soon as a lock ' +
    'is given back. A lease of 5 s, renewed every third of it; before each write the holder looks whether a renewal ' +
    'was refused, and at its own clock. Waits for 5 s. Without the lock-delay of Consul, in which nobody gets a lock ' +
    'that was lost. fetch with its own keep-alive. Rows by Prisma, with prepared statements.',
  server: 'rest',
  packages: ['fastify'],
  operations: LOCK_OPERATIONS,

  async open(env) {
    const service = env.servers.rest?.[0] ?? ''
    const half = { ...env, poolSize: Math.max(1, Math.floor(env.poolSize / 2)) } // the service has the others
    return lockSession(
      half,
      async (key, body) => {
        const lock = `${service}/locks/${encodeURIComponent(lockName(env, key))}`
        const askedAt = performance.now()
        const answer = await call('POST', lock, { ttl: LEASE, wait: PATIENCE })
        if (answer.status === 423) throw new LockNotFree()
        if (!answer.ok) throw new Error(`The lock service answered ${answer.status}.`)
        const { token, waited } = JSON.parse(answer.text) as { token: string; waited: number }
        let heldUntil = askedAt + waited + LEASE
        const heartbeat = setInterval(async () => {
          const askedAt = performance.now()
          const renewed = await call('PUT', `${lock}/${token}`, { ttl: LEASE }).catch(() => undefined)
          if (renewed?.ok) heldUntil = askedAt + LEASE
          else if (renewed) heldUntil = 0
        }, LEASE / 3)
        try {
          await body({
            check() {
              if (performance.now() >= heldUntil) throw new LockLost()
            },
          })
        } finally {
          clearInterval(heartbeat)
          await call('DELETE', `${lock}/${token}`)
        }
        return 0
      },
      async () => {},
    )
  },
} satisfies Contender

/** Reads the answer to its end, also where nobody asks for it: until then its connection serves no other call. */
async function call(method: string, url: string, body?: object) {
  const response = await fetch(url, {
    method,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  return { ok: response.ok, status: response.status, text: await response.text() }
}
