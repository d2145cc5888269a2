import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { lockElsewhere } from '../support/advisory.js'
import { connectTo } from '../support/connect-to.js'
import { createDatabase, databaseName } from '../support/database.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { openProxy } from '../support/proxy.js'
import { openRole } from '../support/role.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

const PATIENT = { timeout: 100_000, bodyTimeout: 100_000 }

/** A client that has seen that the locks of this engine work. */
async function connectProven() {
  const made = connect()
  await made.db.$withAdvisoryLock('proof', async () => {})
  made.statements.length = 0
  return made
}

describe('the statements', () => {
  test.each([
    ['a free key', 'sent'],
    ['several free keys', { keys: ['sent 1', 'sent 2', 'sent 3'] }],
  ])('for %s are three besides those of the body', async (_, keys) => {
    const { db, statements } = await connectProven()
    await db.$withAdvisoryLock(keys, (tx) => tx.$queryRaw`SELECT 'body'`)
    expect(statements).toEqual([
      'BEGIN',
      expect.stringMatching(/pg_current_xact_id\(\)[\s\S]*pg_try_advisory_xact_lock/),
      `SELECT 'body'`,
      'COMMIT',
    ])
  })

  test('with a token are as many', async () => {
    const { db, statements } = await connectProven()
    await db.$withAdvisoryLock('token', (tx) => tx.$queryRaw`SELECT 'body'`, { token: true })
    expect(statements).toEqual(['BEGIN', expect.stringContaining('pg_logical_emit_message'), `SELECT 'body'`, 'COMMIT'])
  })

  test('for a key that has to be waited for are three besides those of the body, after three for the free try', async () => {
    const { db, statements } = await connectProven()
    const holder = await lockElsewhere(database.url, '["waited"]')
    const call = db.$withAdvisoryLock('waited', (tx) => tx.$queryRaw`SELECT 'body'`, PATIENT)
    await untilBlocked(database.url)
    await holder.query('COMMIT')
    await call
    expect(statements).toEqual([
      'BEGIN',
      expect.stringContaining('pg_try_advisory_xact_lock'),
      'ROLLBACK',
      'BEGIN',
      expect.stringMatching(/wait.*pg_current_xact_id\(\).*pg_advisory_xact_lock/s),
      `SELECT 'body'`,
      'COMMIT',
    ])
  })

  test('for a key that this process holds are three besides those of the body, with no free try', async () => {
    const { db, statements } = await connectProven()
    const { opened, open } = gate()
    const { opened: begun, open: begin } = gate()
    const holder = db.$withAdvisoryLock('held', () => {
      begin()
      return opened
    })
    await begun
    const call = db.$withAdvisoryLock('held', (tx) => tx.$queryRaw`SELECT 'body'`, PATIENT)
    await untilBlocked(database.url)
    open()
    await Promise.all([holder, call])
    expect(statements.filter((text) => text !== 'COMMIT')).toEqual([
      'BEGIN',
      expect.stringContaining('pg_try_advisory_xact_lock'),
      'BEGIN',
      expect.stringMatching(/wait.*pg_current_xact_id\(\).*pg_advisory_xact_lock/s),
      `SELECT 'body'`,
    ])
  })
})

describe('the limits of the body', () => {
  interface Limits {
    readonly lock: string
    readonly statement: string
    readonly idle: string
  }
  type Client = ReturnType<typeof connect>['db']

  const limitsIn = async (tx: Pick<Client, '$queryRaw'>) => {
    const [limits] = await tx.$queryRaw<[Limits]>`
SELECT current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement,
  current_setting('idle_in_transaction_session_timeout') AS idle`
    return limits
  }

  /** The body's limits when the key is free at once, with a client that is new and one that is not, and after a wait. */
  async function limitsOf(db: Client, key: string, options: { timeout: number; bodyTimeout: number }) {
    const first = await db.$withAdvisoryLock(`${key} 1`, limitsIn, options)
    const free = await db.$withAdvisoryLock({ keys: [`${key} 2`, `${key} 3`] }, limitsIn, options)
    const holder = await lockElsewhere(database.url, JSON.stringify([key]))
    const waiting = db.$withAdvisoryLock(key, limitsIn, options)
    await untilBlocked(database.url)
    await holder.query('COMMIT')
    return [first, free, await waiting]
  }

  test('are in force from its first statement on, and end with the transaction', async () => {
    const { db, pool } = connect({ poolSize: 1 })
    const limits = await limitsOf(db, 'limits', { timeout: 60_000, bodyTimeout: 90_000 })
    expect(limits).toEqual(limits.map(() => ({ lock: expect.any(String), statement: '90s', idle: '91s' })))
    expect((await pool.query('SHOW statement_timeout')).rows).toEqual([{ statement_timeout: '0' }])
  })

  test('leave those that are shorter by default', async () => {
    const url = await openRole(database)
    for (const limit of [
      'lock_timeout = 61000',
      'statement_timeout = 62000',
      'idle_in_transaction_session_timeout = 63000',
    ])
      await database.query(`ALTER ROLE ${new URL(url).username} SET ${limit}`)
    const limits = await limitsOf(connectTo(url).db, 'shorter', PATIENT)
    expect(limits).toEqual(limits.map(() => ({ lock: '61s', statement: '62s', idle: '63s' })))
  })

  test('can be as long as a timer can be', async () => {
    const longest = 2_147_483_647
    const limits = await limitsOf(connect().db, 'longest', { timeout: longest, bodyTimeout: longest })
    expect(limits).toEqual(limits.map(() => expect.objectContaining({ idle: `${longest}ms` })))
  })

  test('are in force also for a call whose lock comes while another call finds out that locks work here', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url)
    const lock = proxy.next(/pg_try_advisory_xact_lock/, 'hold')
    const limits = db.$withAdvisoryLock('meanwhile', limitsIn, { timeout: 100_000, bodyTimeout: 90_000 })
    await lock.happened
    await db.$withAdvisoryLock('finds out', async () => {})
    lock.release()
    expect(await limits).toMatchObject({ statement: '90s', idle: '91s' })
  })

  test('do not cut off the look at whether locks do something here', async () => {
    const own = await createDatabase(inject('serverUrl'), inject('template'))
    onTestFinished(() => own.drop())
    await own.query(`
CREATE SCHEMA slow;
CREATE VIEW slow.pg_locks AS SELECT locks.* FROM pg_catalog.pg_locks AS locks, pg_sleep(1.5)`)
    await own.query(`ALTER DATABASE ${databaseName(own.url)} SET search_path = slow, pg_catalog, public`)
    const call = connectTo(own.url).db.$withAdvisoryLock('slow', async () => 'ran', {
      timeout: 60_000,
      bodyTimeout: 1_000,
    })
    expect(await call).toBe('ran')
  })
})
