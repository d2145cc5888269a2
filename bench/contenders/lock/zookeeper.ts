/**
 * ZooKeeper's lock recipe: an ephemeral sequential node per caller. The lowest one holds the lock;
 * each of the others watches the one before it, so that a release wakes only the next.
 */
import { randomUUID } from 'node:crypto'
import type { Client } from 'node-zookeeper-client'
import type { Contender } from '../../contender.js'
import { LEASE, LOCK_OPERATIONS, LockLost, LockNotFree, lockName, lockSession } from '../../support/lock.js'
import { PATIENCE } from '../../support/patience.js'

type ZooKeeper = typeof import('node-zookeeper-client')

export default {
  id: 'lock/zookeeper',
  title: 'ZooKeeper, one server',
  family: 'lock',
  source: 'https://zookeeper.apache.org/doc/current/recipes.html#sc_recipes_Locks',
  choices:
    'One session per process, of 5 s (its default is 30 s), shared by all callers. Waits for 5 s. Before each write ' +
    'the holder looks whether the session is connected: while it is not, it may have ended. Each node has a guid, as the ' +
    'recipe says, so that it is found if the answer was missed. ZooKeeper as it is shipped, which writes to disk before ' +
    'it answers; one server, where an ensemble would take longer. Rows by Prisma, with prepared statements.',
  server: 'zookeeper',
  packages: ['node-zookeeper-client'],
  operations: LOCK_OPERATIONS,

  async open(env) {
    const zookeeper = (await import('node-zookeeper-client')).default as unknown as ZooKeeper
    const client = zookeeper.createClient(env.servers.zookeeper?.[0] ?? '', { sessionTimeout: LEASE })
    await new Promise<void>((resolve) => {
      client.once('connected', resolve)
      client.connect()
    })
    let isConnected = true
    client.on('connected', () => (isConnected = true))
    client.on('disconnected', () => (isConnected = false))
    const expired = new Promise<void>((resolve) => {
      client.once('expired', () => {
        isConnected = false
        resolve()
      })
    })
    const session = client.getSessionId().toString('hex')
    const folders = new Map<string, Promise<string>>()

    /** Of the key. It stays: only its nodes come and go. */
    async function folderOf(key: string): Promise<string> {
      const folder = `/locks/${lockName(env, key)}`
      let made = folders.get(folder)
      if (made === undefined) folders.set(folder, (made = asked<string>((done) => client.mkdirp(folder, done))))
      await made
      return folder
    }

    return lockSession(
      env,
      async (key, body) => {
        const folder = await folderOf(key)
        const node = await createNode(zookeeper, client, folder, expired)
        try {
          await becomeLowest(client, folder, node)
          await body({
            check() {
              const isSame = client.getSessionId().toString('hex') === session
              if (!isConnected || !isSame) throw new LockLost()
            },
          })
        } finally {
          const removed = asked<void>((done) =>
            client.remove(node, (error) => done(isGone(zookeeper, error) ? null : error)),
          )
          // With the session the node is gone, and what the client was to send is never answered.
          await Promise.race([removed, expired])
        }
        return 0
      },
      async () => client.close(),
    )
  },
} satisfies Contender

/** If the answer was missed, as the connection was lost, the node is looked for by its guid. */
async function createNode(
  { CreateMode, Exception }: ZooKeeper,
  client: Client,
  folder: string,
  expired: Promise<void>,
) {
  const name = `${randomUUID()}-lock-`
  try {
    return await asked<string>((done) => client.create(`${folder}/${name}`, CreateMode.EPHEMERAL_SEQUENTIAL, done))
  } catch (error) {
    if (!(error instanceof Exception && error.getCode() === Exception.CONNECTION_LOSS)) throw error
    const children = asked<string[]>((done) => client.getChildren(folder, done))
    // With the session the node is gone, and the question is never answered.
    const names = await Promise.race([children, expired.then(() => [])])
    const made = names.find((other) => other.startsWith(name))
    if (made === undefined) throw error
    return `${folder}/${made}`
  }
}

async function becomeLowest(client: Client, folder: string, node: string): Promise<void> {
  const deadline = performance.now() + PATIENCE
  for (;;) {
    const names = await asked<string[]>((done) => client.getChildren(folder, done))
    names.sort((one, other) => sequenceOf(one) - sequenceOf(other))
    const before = names[names.indexOf(node.slice(folder.length + 1)) - 1]
    if (before === undefined) return
    await gone(client, `${folder}/${before}`, deadline)
    if (performance.now() >= deadline) throw new LockNotFree()
  }
}

function sequenceOf(name: string): number {
  return Number(name.slice(name.lastIndexOf('-') + 1))
}

/** Resolves when the node is gone, or when time is up. */
function gone(client: Client, node: string, deadline: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, deadline - performance.now())
    const end = () => {
      clearTimeout(timer)
      resolve()
    }
    client.exists(node, end, (error, stat) => {
      if (error) {
        clearTimeout(timer)
        reject(error)
      } else if (!stat) end()
    })
  })
}

/** Its session has ended, and the node with it. */
function isGone({ Exception }: ZooKeeper, error: unknown): boolean {
  return error instanceof Exception && error.getCode() === Exception.NO_NODE
}

/** A call with a callback, as a promise. */
function asked<T>(call: (done: (error: unknown, result?: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, result) => (error ? reject(error) : resolve(result as T)))
  })
}
