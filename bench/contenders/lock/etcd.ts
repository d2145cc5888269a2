/**
 * etcd's own recipe for a mutex, with `etcd3`: a key per caller under the lease of the process. The
 * oldest one holds the lock; each of the others watches the one before it.
 */
import type { Etcd3, Lease } from 'etcd3'
import type { Contender } from '../../contender.js'
import { LEASE, LOCK_OPERATIONS, LockLost, LockNotFree, lockName, lockSession } from '../../support/lock.js'
import { PATIENCE } from '../../support/patience.js'

export default {
  id: 'lock/etcd',
  title: 'etcd, one server (etcd3)',
  family: 'lock',
  source: 'https://pkg.go.dev/go.etcd.io/etcd/client/v3/concurrency#Mutex',
  choices:
    'One lease of 5 s per process, kept alive, as in the recipe; waits for 5 s; whether the lease was lost is asked ' +
    'before each write. Not etcd3’s lock(): it fails when the lock is held, so that it is asked for again and again ' +
    'at three writes each, and it does not tell that the lease was lost. Not its election(): it opens a watch for ' +
    'each wait, whose end the client takes for a failure of the server, and soon refuses to call it. The put and the ' +
    'first look are one transaction in the recipe, and two calls here, since only by a put of its own does etcd3’s ' +
    'lease learn at once that it is lost. etcd as it is shipped, which writes to disk before it answers; one server, ' +
    'where a cluster would take longer. Rows by Prisma, with prepared statements.',
  server: 'etcd',
  packages: ['etcd3'],
  operations: LOCK_OPERATIONS,

  async open(env) {
    const { Etcd3 } = await import('etcd3')
    const client = new Etcd3({ hosts: [...(env.servers.etcd ?? [])] })
    // All watches share a stream, which ends with the last one: this one stays.
    const staying = await client.watch().key(lockName(env, 'staying')).create()
    let lease: Lease | undefined
    let callers = 0

    /** The lease of this process; a new one if it was lost. */
    function currentLease(): Lease {
      if (lease) return lease
      const granted = client.lease(LEASE / 1_000)
      granted.on('lost', () => {
        if (lease === granted) lease = undefined
      })
      lease = granted
      return granted
    }

    return lockSession(
      env,
      async (key, body) => {
        const own = currentLease()
        const folder = `${lockName(env, key)}/`
        const name = `${folder}${await own.grant()}-${callers++}`
        const { header } = await own.put(name).value('').exec()
        try {
          await becomeOldest(client, folder, header.revision)
          await body({
            check() {
              if (own.revoked()) throw new LockLost()
            },
          })
        } finally {
          await client.delete().key(name)
        }
        return 0
      },
      async () => {
        await staying.cancel()
        await lease?.revoke()
        client.close()
      },
    )
  },
} satisfies Contender

async function becomeOldest(client: Etcd3, folder: string, revision: string): Promise<void> {
  const deadline = performance.now() + PATIENCE
  const before = String(BigInt(revision) - 1n)
  for (;;) {
    const { header, kvs } = await client
      .getAll()
      .prefix(folder)
      .maxCreateRevision(before)
      .sort('Create', 'Descend')
      .limit(1)
      .exec()
    const predecessor = kvs[0]
    if (predecessor === undefined) return
    await deleted(client, predecessor.key, header.revision, deadline)
    if (performance.now() >= deadline) throw new LockNotFree()
  }
}

/** Resolves when the key is gone, or when time is up. */
async function deleted(client: Etcd3, key: Buffer, revision: string, deadline: number): Promise<void> {
  const watcher = await client.watch().key(key).startRevision(revision).only('delete').create()
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, deadline - performance.now())
      const end = () => {
        clearTimeout(timer)
        resolve()
      }
      watcher.once('delete', end)
      watcher.once('error', (error) => {
        clearTimeout(timer)
        reject(error)
      })
    })
  } finally {
    await watcher.cancel()
  }
}
