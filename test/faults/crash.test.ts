import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { isConnectionLost, isUnreachable, sqlState } from '../../src/engine/error-facts.js'
import { connectTo } from '../support/connect-to.js'
import { openConnection } from '../support/connection.js'
import { createDatabase, type Database } from '../support/database.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { type Server, startEmbedded } from '../support/server.js'

let server: Server
let database: Database
let text = ''

beforeAll(async () => {
  server = await startEmbedded({
    // Only the WAL writer, which a test can stop, brings a commit to the disk.
    settings: {
      synchronous_commit: 'off',
      autovacuum: 'off',
      wal_writer_delay: '10s',
      bgwriter_lru_maxpages: '0',
      checkpoint_timeout: '1d',
    },
  })
  database = await createDatabase(server.url)
})

afterAll(() => server?.stop())

beforeEach((context) => {
  text = context.task.id
})

const RETRY = { attempts: 1_000, deadline: 60_000 }
const notes = async () => (await database.query(`SELECT 1 FROM "Note" WHERE text = $1`, [text])).length

/** Makes sure that what is committed from now on is not on the disk, until the server crashes. */
async function holdBackTheLog(): Promise<number> {
  await database.query('CHECKPOINT')
  const [row] = await database.query(`SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'`)
  process.kill(row?.pid as number, 'SIGSTOP')
  return row?.pid as number
}

/** Kills a process of the server so that it ends all others and goes through crash recovery. */
async function crash(pid: number): Promise<void> {
  const started = async () => (await database.query(`SELECT stats_reset::text AS at FROM pg_stat_bgwriter`))[0]?.at
  const before = await started()
  process.kill(pid, 'SIGKILL')
  for (;;) {
    const now = await started().catch(() => undefined)
    if (now !== undefined && now !== before) return
    await sleep(20)
  }
}

test('a commit that a crash took back is unknown, also once another transaction has got the same id', async () => {
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)
  const logWriter = await holdBackTheLog()
  const dropped = proxy.next(/^COMMIT/, 'drop')
  let xid = ''
  const body = vi.fn(async (tx: Pick<typeof db, 'note' | '$queryRaw'>) => {
    await tx.note.create({ data: { text } })
    const [row] = await tx.$queryRaw<{ xid: string }[]>`SELECT pg_current_xact_id()::text AS xid`
    xid = row?.xid ?? ''
  })
  const failing = rejectionOf(db.$transactionWithRetry(body, { retry: RETRY }))
  await dropped.happened
  proxy.refuse()
  expect(await notes()).toBe(1)

  await crash(logWriter)
  const other = await openConnection(database.url)
  let reached = ''
  while (BigInt(reached || 0) < BigInt(xid)) {
    const { rows } = await other.query('SELECT pg_current_xact_id()::text AS xid')
    reached = rows[0].xid
  }
  const { rows } = await other.query('SELECT pg_xact_status($1::text::xid8) AS status', [xid])
  proxy.accept()

  // The trap: the server says that the id is committed, and it is, by somebody else.
  expect([reached, rows[0].status, await notes()]).toEqual([xid, 'committed', 0])
  expect(await failing).toHaveProperty('code', 'OUTCOME_UNKNOWN')
  expect(body).toHaveBeenCalledTimes(1)
})

test('a commit that survived a crash is unknown as well, for the server cannot tell the difference', async () => {
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)
  const dropped = proxy.next(/^COMMIT/, 'drop')
  const body = vi.fn(async (tx: Pick<typeof db, 'note' | '$executeRaw'>) => {
    await tx.$executeRaw`SELECT set_config('synchronous_commit', 'on', true)`
    await tx.note.create({ data: { text } })
  })
  const failing = rejectionOf(db.$transactionWithRetry(body, { retry: RETRY }))
  await dropped.happened
  proxy.refuse()
  const victim = await openConnection(database.url)
  const { rows } = await victim.query('SELECT pg_backend_pid() AS pid')
  await crash(rows[0].pid)
  proxy.accept()

  expect(await failing).toHaveProperty('code', 'OUTCOME_UNKNOWN')
  expect(body).toHaveBeenCalledTimes(1)
  expect(await notes()).toBe(1)
})

test('a transaction that a crash ends before its COMMIT leaves nothing, and is never reported as committed', async () => {
  const { db } = connectTo(database.url)
  const statuses: unknown[] = []
  const body = vi.fn(async (tx: Pick<typeof db, 'note' | '$queryRaw'>, { attempt }: { attempt: number }) => {
    await tx.note.create({ data: { text } })
    const [row] = await tx.$queryRaw<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`
    if (attempt === 1) await crash(row?.pid ?? 0)
    await tx.note.findMany()
    statuses.push(attempt)
  })
  await db.$transactionWithRetry(body, { retry: RETRY })

  expect(statuses).toEqual([2])
  expect(await notes()).toBe(1)
})

test('a lone versioned write that a crash took back is sent again, and written once', async () => {
  const [row] = await database.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()) RETURNING id`)
  const id = row?.id as number
  const proxy = await openProxy(database.url)
  const { db } = connectTo(proxy.url)
  const logWriter = await holdBackTheLog()
  const dropped = proxy.next(/^UPDATE/, 'drop')
  const update = db.product.updateVersioned({
    where: { id, version: 0 },
    data: { stock: { increment: 7 } },
    retry: RETRY,
  })
  const running = update.then((record) => record)
  await dropped.happened
  proxy.refuse()
  await crash(logWriter)
  proxy.accept()

  expect(await running).toMatchObject({ stock: 7, version: 1 })
  expect(await database.query(`SELECT stock, version FROM "Product" WHERE id = $1`, [id])).toEqual([
    { stock: 7, version: 1 },
  ])
})

// The last one: the server takes no new connections after it.
test('a server that is shutting down (57P03) is unreachable, and not a lost connection', async () => {
  await openConnection(database.url)
  process.kill(server.pid ?? 0, 'SIGTERM')
  for (;;) {
    const { client } = connectTo(database.url)
    const error = await client.$queryRaw`SELECT 1`.then(
      () => undefined,
      (error: unknown) => error,
    )
    if (error === undefined) continue // it has not got the signal yet
    expect([sqlState(error), isUnreachable(error), isConnectionLost(error)]).toEqual(['57P03', true, false])
    return
  }
})
