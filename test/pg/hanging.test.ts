import { randomUUID } from 'node:crypto'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { endingStatement, type NotedTransaction } from '../../src/pg/hanging.js'
import { systemClock } from '../../src/sync/clock.js'
import { NOTE } from '../../src/transactions/verify-commit.js'
import { openBlackHole } from '../support/black-hole.js'
import { useDatabase } from '../support/clients.js'
import { openConnection, openTransaction } from '../support/connection.js'
import { openEngine, rows } from '../support/engines.js'
import { passingTime } from '../support/passing-time.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'
import { watchUnhandled } from '../support/unhandled.js'
import { untilBlocked } from '../support/until-blocked.js'

/** The transaction's own limits: they would end it by the clock of the server. */
const DEADLINE = 600_000

describe('a transaction whose connection swallows', () => {
  const database = useDatabase()
  /** Timers of more than a second fire when the time passes. */
  function timePasses() {
    const pass = passingTime()
    const { timer } = systemClock
    const due: (() => void)[] = []
    const spy = vi.spyOn(systemClock, 'timer').mockImplementation((ms, fire) => {
      if (ms < 1_000) return timer(ms, fire)
      due.push(fire)
      return () => {}
    })
    onTestFinished(() => spy.mockRestore())
    return () => {
      pass(2 * DEADLINE)
      for (const fire of due) fire()
    }
  }

  /** A body has taken a lock, and the next statement is swallowed. Resolves when its caller has been told. */
  async function swallowed() {
    const hole = await openBlackHole(database.url)
    const { db, close } = await openEngine('pg', { url: hole.url })
    onTestFinished(close)
    const pass = timePasses()
    const text = randomUUID()
    const told = await rejectionOf(
      db.$transactionWithRetry(
        async (tx) => {
          await rows(tx, `INSERT INTO "IdempotencyKey" (scope, key, request) VALUES ('${text}', '1', '{}')`)
          hole.swallow()
          const lost = rows(tx, 'SELECT 1')
          pass()
          await lost
        },
        { retry: { deadline: DEADLINE } },
      ),
    )
    return { told, text }
  }

  test('is ended from another connection, so that its locks are free at once', async () => {
    const unhandled = watchUnhandled()
    const { told, text } = await swallowed()

    expect(told).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    // Waits for the lock of the transaction, which has ten minutes.
    const other = await openConnection(database.url)
    await other.query(`INSERT INTO "IdempotencyKey" (scope, key, request) VALUES ($1, '1', '{}')`, [text])
    expect(await unhandled.collected()).toEqual([])
  })
})

describe('the statement that ends a session', () => {
  const database = useDatabase()

  async function hanging() {
    const [session, other] = [await openConnection(database.url), await openConnection(database.url)]
    await session.query('BEGIN')
    const { rows } = await session.query(`SELECT ${NOTE}`)
    const noted = { note: rows[0], pid: Reflect.get(session, 'processID') }
    const ownPid = Reflect.get(other, 'processID')
    const end = async (changed: Partial<NotedTransaction> = {}, own = ownPid) => {
      const { text, values } = endingStatement({ ...noted, ...changed }, own)
      return (await other.query(text, [...values])).rows.length
    }
    return { session, noted, ownPid, end }
  }

  test('ends the one session whose transaction it is', async () => {
    const { end } = await hanging()

    expect(await end()).toBe(1)
  })

  test('ends none where a pooler has told its driver an id of its own', async () => {
    const { end, ownPid } = await hanging()

    expect(await end({}, ownPid + 1)).toBe(0)
  })

  test('ends none of another transaction, server or process id', async () => {
    const { end, noted, ownPid } = await hanging()
    const { note } = noted

    expect(await end({ note: { ...note, xid: String(BigInt(note.xid) - 1n) } })).toBe(0)
    expect(await end({ note: { ...note, server: 'before the promotion' } })).toBe(0)
    expect(await end({ pid: ownPid })).toBe(0)
  })

  test('ends none that is at work: its COMMIT may wait for a standby', async () => {
    const { end, session } = await hanging()
    const holder = await openTransaction(database.url, 'SELECT pg_advisory_xact_lock(1)')
    void started(session.query('SELECT pg_advisory_xact_lock(1)'))
    await untilBlocked(database.url)

    expect(await end()).toBe(0)
    await holder.query('ROLLBACK')
  })
})
