import { describe, expect, test, vi } from 'vitest'
import { openConnection } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { type DeadlockOutcome, type DeadlockWork, writeInOpposition } from '../support/opposition.js'
import { startProcess } from '../support/process.js'
import { BODY_GATE, STARTING_LINE } from '../support/starting-line.js'
import { untilBlocked } from '../support/until-blocked.js'
import { warm } from '../support/warm.js'

const { database, connect } = useExtended()

type Client = ReturnType<typeof connect>

const LEVELS = ['ReadCommitted', 'RepeatableRead', 'Serializable'] as const
const ORDERS = Array.from({ length: 12 }, (_, index) => (index % 2 ? 'forwards' : 'backwards'))

async function newRows(): Promise<[number, number]> {
  const rows = await database.query(
    `INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()), ('Chang', now()) RETURNING id`,
  )
  return rows.map(({ id }) => id) as [number, number]
}

async function stocksOf(ids: readonly number[]) {
  return (await database.query('SELECT stock FROM "Product" WHERE id = ANY($1) ORDER BY id', [ids])).map(
    ({ stock }) => stock,
  )
}

/** Waits until so many sessions wait for an advisory lock. */
async function untilWaiting(lock: number, sessions: number) {
  const waiting = `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted`
  await vi.waitFor(async () => expect(await database.query(waiting, [lock])).toHaveLength(sessions), {
    timeout: 60_000,
  })
}

const places = {
  'in one client': async (works: readonly DeadlockWork[]) => {
    const { db, pool } = connect()
    await warm(pool, 10)
    return Promise.all(works.map((work) => writeInOpposition(db, work)))
  },
  'of two clients': async (works: readonly DeadlockWork[]) => {
    const clients = works.map(() => connect())
    for (const { pool } of clients) await warm(pool, 10)
    return Promise.all(works.map((work, index) => writeInOpposition((clients[index] as Client).db, work)))
  },
  'of two processes': async (works: readonly DeadlockWork[]) => {
    const referee = await openConnection(database.url)
    await referee.query('SELECT pg_advisory_lock($1)', [STARTING_LINE])
    const processes = works.map((work) => startProcess('deadlock-worker.ts', { url: database.url, ...work }))
    await untilBlocked(database.url, works.length)
    await referee.query('SELECT pg_advisory_unlock($1)', [STARTING_LINE])
    return Promise.all(processes.map((child) => child.answer<DeadlockOutcome>()))
  },
}

describe.each(LEVELS)('at %s', (isolationLevel) => {
  test.each(Object.entries(places))('two transactions %s that deadlock both get through', async (_, run) => {
    const rows = await newRows()
    const gatekeeper = await openConnection(database.url)
    await gatekeeper.query('SELECT pg_advisory_lock($1)', [BODY_GATE])
    const work = { isolationLevel, rows, writers: 0, waitsAtGate: true } as const
    const outcomes = run([
      { ...work, orders: ['forwards'] },
      { ...work, orders: ['backwards'] },
    ])
    await untilWaiting(BODY_GATE, 2)
    await gatekeeper.query('SELECT pg_advisory_unlock($1)', [BODY_GATE])

    expect((await outcomes).flatMap(({ failures }) => failures)).toEqual([])
    expect(await stocksOf(rows)).toEqual([2, 2])
  })

  test('a storm of deadlocks gets through with the defaults', async () => {
    const rows = await newRows()
    const work = { isolationLevel, rows, orders: ORDERS, writers: 6, waitsAtGate: false } as const
    const outcomes = await places['in one client']([work])

    expect(outcomes.flatMap(({ failures }) => failures)).toEqual([])
    expect(await stocksOf(rows)).toEqual([15, 15])
  })

  // With time enough for a busy machine: the test is that the attempts suffice.
  test.each(Object.entries(places))('a storm of twice as many %s gets through', async (_, run) => {
    const rows = await newRows()
    const work = { isolationLevel, rows, orders: ORDERS, writers: 6, deadline: 60_000, waitsAtGate: false } as const
    const outcomes = await run([work, work])

    expect(outcomes.flatMap(({ failures }) => failures)).toEqual([])
    expect(await stocksOf(rows)).toEqual([30, 30])
  })
})
