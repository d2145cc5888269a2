import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { LeaseFence } from '../../src/leases/types.js'
import { createDatabase, type Database } from '../support/database.js'
import { rows } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { connectLeases, type LeaseDb, leaseRow, until } from '../support/leases.js'
import { rejectionOf } from '../support/rejection.js'
import { type Server, startEmbedded } from '../support/server.js'
import { type Standby, startStandby } from '../support/standby.js'
import { started } from '../support/started.js'
import { type FaultyProxy, openFaultyProxy } from './campaign/faulty-proxy.js'
import { query } from './campaign/server.js'

const LONG = 600_000
const ASK = { token: true, timeout: 100_000, bodyTimeout: 100_000 } as const

interface Pair {
  readonly server: Server
  readonly database: Database
  readonly standby: Standby
  /** The way from the standby to the server. */
  readonly link: FaultyProxy
  /** The way of clients, to the one that is the primary. */
  readonly way: FaultyProxy
  /** The same database on the standby. */
  readonly there: string
}

/** A server and its standby, which a COMMIT waits for, or does not. */
function usePair(isSynchronous: boolean): Pair {
  const pair = {} as { -readonly [K in keyof Pair]: Pair[K] }
  beforeAll(async () => {
    pair.server = await startEmbedded({ settings: { synchronous_commit: 'on' } })
    pair.database = await createDatabase(pair.server.url)
    pair.link = await openFaultyProxy(pair.server.url, { seed: 0 })
    pair.standby = await startStandby(pair.link)
    pair.way = await openFaultyProxy(pair.database.url, { seed: 0 })
    const there = new URL(pair.standby.url)
    there.pathname = new URL(pair.database.url).pathname
    pair.there = there.href
    if (!isSynchronous) return
    await pair.database.query(`ALTER SYSTEM SET synchronous_standby_names = '*'`)
    await pair.database.query('SELECT pg_reload_conf()')
    await until(
      async () => (await pair.database.query(`SELECT FROM pg_stat_replication WHERE sync_state = 'sync'`)).length > 0,
    )
  })
  afterAll(async () => {
    await pair.way?.close()
    await pair.link?.close()
    await pair.standby?.stop()
    await pair.server?.stop()
  })
  return pair
}

const WAITING = `SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'`
const untilWaiting = (url: string) => until(async () => (await query(url, WAITING)).length > 0)

const isSuccess = (call: Promise<unknown>) =>
  call.then(
    () => true,
    () => false,
  )

const codeOf = (error: unknown) => (error as { readonly code?: string }).code

/** A write under the fence of a lease. `limit`: how long its transaction may stand still. */
function fencedNote(db: LeaseDb, lease: LeaseFence, text: string, { deadline = 60_000, limit = 30_000 } = {}) {
  const body = async (tx: Parameters<Parameters<LeaseDb['$transactionWithRetry']>[0]>[0]) => {
    await tx.$assertLease(lease, { limit })
    await rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', text)
  }
  return db.$transactionWithRetry(body, { retry: { deadline } })
}

const tokenOf = (db: LeaseDb, key: string) => db.$withAdvisoryLock(key, async (_tx, _signal, token) => token, ASK)

/** Takes the lease again and again, and writes under its fence. Tells what was acknowledged. */
async function leaseStorm(db: LeaseDb, done: AbortSignal): Promise<string[]> {
  const acknowledged: string[] = []
  while (!done.aborted) {
    const call = db.$withLease('storm', { ttl: 2_000, wait: 5_000 }, async (lease) => {
      for (let write = 0; write < 3 && !lease.signal.aborted; write++) {
        const text = `storm ${lease.token} ${lease.holder} ${write}`
        await fencedNote(db, lease, text, { deadline: 2_000, limit: 1_500 })
        acknowledged.push(text)
      }
    })
    await call.catch(() => sleep(20)) // it is lost, or nobody answers
  }
  return acknowledged
}

/** Takes the lock again and again, and writes twice under it. Tells what was acknowledged. */
async function lockStorm(db: LeaseDb, done: AbortSignal): Promise<string[]> {
  const acknowledged: string[] = []
  while (!done.aborted) {
    const holder = randomUUID()
    const options = { ...ASK, timeout: 500 }
    const call = db.$withAdvisoryLock('storm', (tx, _signal, token) => lockedNotes(tx, token, holder), options)
    await call.then((texts) => acknowledged.push(...texts)).catch(() => sleep(20))
  }
  return acknowledged
}

/** Two notes: those of two holders at once would come in turn. */
async function lockedNotes(tx: object, token: bigint, holder: string): Promise<string[]> {
  const texts = [0, 1].map((write) => `lock ${token} ${holder} ${write}`)
  for (const text of texts) await rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', text)
  return texts
}

const writesIn = async (url: string, storm: 'storm' | 'lock' = 'storm') => {
  const written = await query(url, `SELECT text FROM "Note" WHERE text LIKE '${storm} %' ORDER BY id`)
  return written.map(({ text }) => String(text))
}

/** Of what is in the table, in its order: nothing acknowledged is missing, tokens grow, and each is of one holder. */
function expectOneHolder(written: readonly string[], acknowledged: readonly string[]) {
  const tokens = written.map((text) => Number(text.split(' ')[1]))
  const holders = new Set(written.map((text) => text.split(' ').slice(1, 3).join(' ')))
  expect(acknowledged.filter((text) => !written.includes(text))).toEqual([])
  expect(tokens).toEqual([...tokens].sort((one, other) => one - other))
  expect(holders.size).toBe(new Set(tokens).size)
}

describe('under a synchronous standby', () => {
  const pair = usePair(true)

  test('the COMMIT of a lock with a token waits for the standby, though its body has written nothing', async () => {
    const { db } = await connectLeases('pg', pair.way.url)
    pair.link.refuse(LONG)
    const call = started(tokenOf(db, 'outside'))
    await untilWaiting(pair.database.url)
    pair.link.refuse(0)
    expect(await call).toBeGreaterThan(0n)
  })

  test('the primary is killed in mid-storm: tokens grow, no fenced write comes late, none that was acknowledged is lost, holders go on or are told', async () => {
    const { server, standby, link, way, database, there } = pair
    const clients = await Promise.all((['prisma', 'pg'] as const).map((name) => connectLeases(name, way.url)))
    const [{ db }] = clients
    const done = new AbortController()
    const { opened, open } = gate() // there is a primary again
    const held = gate()
    const patient = started(
      db.$withLease('patient', { ttl: 60_000 }, async (lease) => {
        held.open()
        await opened
        await until(() => isSuccess(lease.progress('goes on')))
        await fencedNote(db, lease, 'patient')
        return lease.token
      }),
    )
    await held.opened
    const told = gate()
    const hasty = started(
      db.$withLease('hasty', { ttl: 400 }, async (lease) => {
        await until(() => lease.signal.aborted)
        told.open()
      }),
    )
    const leases = clients.map((client) => leaseStorm(client.db, done.signal))
    const locks = clients.map((client) => lockStorm(client.db, done.signal))
    await until(async () => (await writesIn(database.url)).length > 8)
    link.refuse(LONG) // from now on nothing is acknowledged
    const { db: left } = await connectLeases('pg', database.url)
    const begun = gate()
    let interrupted = 0n
    const body = async (_tx: object, _signal: AbortSignal, token: bigint) => {
      interrupted = token
      begun.open()
      await opened
    }
    const cut = started(left.$withAdvisoryLock('interrupted', body, ASK))
    await begun.opened
    let again = 0n
    await server.restart('SIGQUIT', async () => {
      await told.opened
      await standby.promote()
      again = await tokenOf((await connectLeases('pg', there)).db, 'interrupted')
      const before = [await writesIn(there), await writesIn(there, 'lock')].map(({ length }) => length)
      const isFarther = async () =>
        (await writesIn(there)).length > Number(before[0]) + 8 &&
        (await writesIn(there, 'lock')).length > Number(before[1]) + 8
      way.goTo(there)
      open()
      await until(isFarther)
    })
    done.abort()

    const [leased, locked] = await Promise.all([Promise.all(leases), Promise.all(locks)])
    expectOneHolder(await writesIn(there), leased.flat())
    expectOneHolder(await writesIn(there, 'lock'), locked.flat())
    expect([await patient, await query(there, `SELECT FROM "Note" WHERE text = 'patient'`)]).toEqual([1n, [{}]])
    expect(await rejectionOf(hasty)).toMatchObject({ code: 'LEASE_LOST', reason: 'expired' })
    // The id of a transaction that is still open is known to nobody but the server that was lost.
    await expect(cut).rejects.toThrow()
    expect(again).toBeLessThanOrEqual(interrupted)
  })

  test('the old primary comes back: it gives a lock that is held on the new one, and acknowledges no write and no lease', async () => {
    const { database, there } = pair
    const { db } = await connectLeases('pg', database.url)
    const { db: led } = await connectLeases('pg', there)
    onTestFinished(() => pair.server.end('SIGQUIT')) // what waits there would wait for ever
    const { token, holder } = (await leaseRow(database, 'patient')) ?? {}
    const fence = { name: 'patient', token: BigInt(token ?? 0), holder: String(holder) }
    const ran: string[] = []
    const body = (name: string) => async () => void ran.push(name)
    await led.$withAdvisoryLock('split', () => db.$withAdvisoryLock('split', body('both')))
    const calls = [
      db.$withLease('split', { ttl: 5_000 }, body('lease')),
      fencedNote(db, fence, 'left behind', { deadline: 2_000 }).then(body('fenced')),
      db.$withAdvisoryLock('split', body('lock'), { token: true, bodyTimeout: 2_000 }),
    ]
    const errors = await Promise.all(calls.map(rejectionOf))
    expect(errors.map(codeOf)).toEqual(['DEADLINE_EXCEEDED', 'OUTCOME_UNKNOWN', 'OUTCOME_UNKNOWN'])
    expect(ran).toEqual(['both', 'lock'])
    expect(await query(there, `SELECT FROM "Note" WHERE text = 'left behind'`)).toEqual([])
  })
})

describe('under an asynchronous standby', () => {
  const pair = usePair(false)

  test('tokens come again after what was not replicated, both primaries take writes, and the fence tells two holders of one token apart', async () => {
    const { database, link, standby, way, there } = pair
    const { db } = await connectLeases('prisma', way.url)
    link.refuse(LONG)
    const locked = await tokenOf(db, 'job')
    const first = db.$withLease('job', { ttl: 60_000 }, async (lease) => {
      await standby.promote()
      const { db: other } = await connectLeases('pg', there)
      expect(await tokenOf(other, 'job')).toBeLessThanOrEqual(locked)
      await other.$withLease('job', { ttl: 60_000 }, async (second) => {
        expect([second.token, second.holder === lease.holder]).toEqual([lease.token, false])
        await fencedNote(other, second, 'new')
        await fencedNote(db, lease, 'old') // nobody can tell that this server is not the primary any more
        way.goTo(there)
        way.refuse(0)
        await until(async () => codeOf(await rejectionOf(fencedNote(db, lease, 'late'))) === 'LEASE_LOST')
      })
    })
    expect(await rejectionOf(first)).toMatchObject({ code: 'LEASE_LOST', reason: 'taken' })
    const notes = 'SELECT text FROM "Note"'
    expect([await database.query(notes), await query(there, notes)]).toEqual([[{ text: 'old' }], [{ text: 'new' }]])
  })
})
