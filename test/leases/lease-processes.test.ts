import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { openBlackHole } from '../support/black-hole.js'
import { useDatabase } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import { createDatabase } from '../support/database.js'
import type { EngineName } from '../support/engines.js'
import type { LeaseNews, LeaseWork } from '../support/lease-worker.js'
import { connectLeases, expire, leaseRow, until, untilBeaten } from '../support/leases.js'
import { type PgBouncer, startPgBouncer, whyNoPgBouncer } from '../support/pgbouncer.js'
import { bundleOf } from '../support/process.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { startEmbedded } from '../support/server.js'

const WORKER = fileURLToPath(new URL('../support/lease-worker.ts', import.meta.url))
const HOUR = 3_600_000
const database = useDatabase()
let name = ''
beforeEach((context) => {
  name = context.task.id
})

/** Starts a worker, which is killed at the end of the test. */
function start(work: Partial<LeaseWork> = {}) {
  const child = fork(bundleOf(WORKER))
  const news: LeaseNews[] = []
  child.on('message', (message) => news.push(message as LeaseNews))
  const exited = once(child, 'exit')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
  })
  child.send({ engine: 'prisma', url: database.url, name, ttl: 30_000, task: 'hold', ...work })
  return {
    news,
    /** The news of this type, as soon as there are any. */
    async next<T extends LeaseNews['type']>(type: T): Promise<Extract<LeaseNews, { type: T }>> {
      const find = () => news.find((one) => one.type === type)
      await until(() => find() !== undefined)
      return find() as Extract<LeaseNews, { type: T }>
    },
    send: (text: string) => void child.send(text),
    signal: (signal: NodeJS.Signals) => void child.kill(signal),
  }
}

const notes = async () => {
  const found = await database.query('SELECT text FROM "Note" WHERE text LIKE $1 ORDER BY id', [`${name} %`])
  return found.map(({ text }) => String(text).slice(name.length + 1))
}
const lapsed = () => until(async () => ((await leaseRow(database, name))?.left ?? 1) < 0)
const connect = (engine: EngineName = 'prisma') => connectLeases(engine, database.url)

describe.each(['prisma', 'pg'] as const)('on %s', (engine) => {
  test('a holder that was stopped past its ttl is told, and its fenced write cannot commit', async () => {
    const { db } = await connect()
    const holder = start({ engine, ttl: 2_500 })
    await holder.next('held')
    holder.send('fenced')
    await holder.next('written')
    holder.signal('SIGSTOP')
    await lapsed()
    const token = await db.$withLease(name, { ttl: 30_000 }, async ({ token }) => {
      holder.send('fenced')
      holder.signal('SIGCONT')
      await holder.next('refused')
      return token
    })
    expect([token, await holder.next('told'), await holder.next('refused')]).toEqual([
      2n,
      { type: 'told', code: 'LEASE_LOST' },
      { type: 'refused', code: 'LEASE_LOST' },
    ])
    expect(await notes()).toEqual(['1'])
  })

  test('the next one takes over, when its time is up, from a process that was killed, with a higher token and its progress', async () => {
    const { db } = await connect(engine)
    const holder = start({ engine })
    await holder.next('held')
    holder.signal('SIGKILL')
    expect(await rejectionOf(db.$withLease(name, { ttl: 700 }, async () => {}))).toMatchObject({ code: 'LEASE_HELD' })
    const next = db.$withLease(name, { ttl: 30_000, wait: 100_000 }, async ({ token, lastProgress }) => [
      token,
      lastProgress,
    ])
    await until(async () => (await leaseRow(database, name))?.waiting.length === 1)
    await expire(database, name)
    expect(await next).toEqual([2n, { token: '1' }])
  })
})

test('clocks of processes that are an hour off, in both directions, play no part', async () => {
  const early = start({ clockOff: -HOUR })
  await early.next('held')
  const late = start({ clockOff: HOUR, engine: 'pg' })
  await until(async () => (await leaseRow(database, name))?.waiting.length === 1)
  const { db } = await connect()
  // One of the right time is refused, and stands behind the one that waits.
  expect(await rejectionOf(db.$withLease(name, { ttl: 700 }, async () => {}))).toMatchObject({ code: 'LEASE_HELD' })
  early.send('fenced')
  await early.next('written')
  early.send('end')
  expect(await late.next('held')).toMatchObject({ token: '2' })
  late.send('fenced')
  await late.next('written')
  expect([early.news.map(({ type }) => type), await notes()]).toEqual([
    ['held', 'written', 'told'],
    ['1', '2'],
  ])
})

test('a body is told in time when its heartbeats are held up on their way, and a late one does not give the lease back', async () => {
  const proxy = await openProxy(database.url)
  const { db, pool } = await connectLeases('prisma', proxy.url)
  const { db: their } = await connect()
  const held = Array.from({ length: 4 }, () => proxy.next(/SET "expiresAt"/, 'hold'))
  const work = db.$withLease(name, { ttl: 700 }, async (lease) => {
    await until(() => lease.signal.aborted)
    await their.$withLease(name, { ttl: 30_000, wait: 100_000 }, async ({ holder }) => {
      for (const one of held) one.release()
      await until(() => pool.idleCount === pool.totalCount)
      expect(await leaseRow(database, name)).toMatchObject({ token: '2', holder })
    })
  })
  expect(await rejectionOf(work)).toMatchObject({ code: 'LEASE_LOST', reason: 'expired', token: 1n })
})

test('a holder counts from before it sent its heartbeat, and not from the answer', async () => {
  const proxy = await openProxy(database.url)
  const { db } = await connectLeases('prisma', proxy.url)
  // Those that come by themselves do not arrive.
  for (let i = 0; i < 20; i++) proxy.next(/SET "expiresAt"(?!.*"progress")/s, 'hold')
  let lasted = 0
  const work = db.$withLease(name, { ttl: 2_000 }, async (lease) => {
    // The database counts from before the wait for the row.
    const other = await openTransaction(database.url, 'SELECT 1 FROM "Lease" WHERE name = $1 FOR NO KEY UPDATE', [name])
    const began = performance.now()
    const noted = lease.progress(1)
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    await other.query('COMMIT')
    await noted
    for (;;) {
      const now = performance.now()
      if (!lease.isHeld) return
      lasted = now - began
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })
  expect(await rejectionOf(work)).toMatchObject({ code: 'LEASE_LOST', reason: 'expired' })
  expect(lasted).toBeLessThan(2_100)
})

test('a holder whose connections swallow everything goes on by new ones, if it gets them in time', async () => {
  const way = await openBlackHole(database.url)
  const { db } = await connectLeases('pg', way.url)
  const result = await db.$withLease(name, { ttl: 6_000 }, async (lease) => {
    way.swallow()
    await untilBeaten(database, name)
    await lease.progress('on')
    return lease.isHeld
  })
  expect(result).toBe(true)
})

test('a holder goes on when its server was away for less than the ttl, and else is told', async () => {
  const server = await startEmbedded({ durable: true })
  onTestFinished(server.stop)
  const own = await createDatabase(server.url)
  const { db } = await connectLeases('prisma', own.url)
  const kept = await db.$withLease(name, { ttl: 60_000 }, async (lease) => {
    await server.restart('SIGINT')
    await until(() =>
      lease.progress('after the restart').then(
        () => true,
        () => false,
      ),
    )
    return lease.isHeld
  })
  expect(kept).toBe(true)
  const lost = db.$withLease(name, { ttl: 700 }, async (lease) => {
    await server.end('SIGQUIT')
    await until(() => lease.signal.aborted)
  })
  expect(await rejectionOf(lost)).toMatchObject({ code: 'LEASE_LOST', reason: 'expired' })
})

describe.skipIf(whyNoPgBouncer)('behind PgBouncer in transaction pooling', () => {
  test('leases wait, last and fence, since they use no state of a session', async () => {
    const bouncer: PgBouncer = await startPgBouncer(database.url, 2)
    onTestFinished(() => bouncer.stop())
    const clients = await Promise.all([connectLeases('prisma', bouncer.url), connectLeases('pg', bouncer.url)])
    const seen: string[] = []
    const work = clients.map(({ db }) =>
      db.$withLease(name, { ttl: 6_000, wait: 100_000 }, async (lease) => {
        await untilBeaten(database, name)
        await db.$transactionWithRetry((tx) => tx.$assertLease(lease))
        seen.push(String(lease.token))
      }),
    )
    await Promise.all(work)
    expect(seen).toEqual(['1', '2'])
  })
})

test('four processes that are stopped and killed at random never write under an older token after a newer one', async () => {
  const workers: ReturnType<typeof start>[] = []
  const begin = (i: number) => {
    workers[i] = start({ engine: i % 2 ? 'pg' : 'prisma', task: 'storm', ttl: 300 })
  }
  for (let i = 0; i < 4; i++) begin(i)
  let kills = 0
  for (let round = 0; (await notes()).length < 40 || round < 12; round++) {
    const i = Math.floor(Math.random() * 4)
    if (round % 4 === 3) {
      workers[i].signal('SIGKILL')
      begin(i)
      kills++
      continue
    }
    workers[i].signal('SIGSTOP')
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 700))
    workers[i].signal('SIGCONT')
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 200))
  }
  const written = (await notes()).map((text) => text.split(' '))
  const tokens = written.map(([token]) => Number(token))
  const holders = new Map(written.map(([token, holder]) => [token, holder]))
  expect(tokens).toEqual([...tokens].sort((one, other) => one - other))
  expect(written.filter(([token, holder]) => holders.get(token) !== holder)).toEqual([])
  expect(holders.size).toBeGreaterThan(4)
  expect(kills).toBeGreaterThan(1)
})
