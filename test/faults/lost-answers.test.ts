import { beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { sqlState } from '../../src/engine/error-facts.js'
import { AT_COMMIT_TRIGGER, atCommit } from '../support/at-commit.js'
import { useDatabase } from '../support/clients.js'
import { connectTo } from '../support/connect-to.js'
import { openTransaction } from '../support/connection.js'
import { passingTimers } from '../support/passing-time.js'
import { openProxy, type PostgresProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { openRole } from '../support/role.js'
import { untilBlocked } from '../support/until-blocked.js'

const database = useDatabase()
const QUICK = { baseDelay: 0, deadline: 60_000 }
const PATIENT = { timeout: 60_000, interval: 5 }
/** So long that a delay drawn from it outlasts every test. */
const LONG_DELAY = { baseDelay: 1e9, maxDelay: 1e9, deadline: 2e9 }
const NOTE = /^SELECT pg_current_xact_id\(\)::text AS xid/
const QUESTION = /^SELECT pg_xact_status/
const COMMIT = /^COMMIT/
const UPDATE = /^UPDATE/
const DELETE = /^DELETE/
const BATCH = /^WITH item/

let proxy: PostgresProxy
let db: ReturnType<typeof connectTo>['db']
let text = ''
let id = 0

beforeAll(async () => {
  await database.query(AT_COMMIT_TRIGGER)
})

beforeEach(async (context) => {
  proxy = await openProxy(database.url)
  db = connectTo(proxy.url, { retry: QUICK }).db
  text = context.task.id
  const [row] = await database.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()) RETURNING id`)
  id = row?.id as number
})

const notes = async () => (await database.query(`SELECT 1 FROM "Note" WHERE text = $1`, [text])).length
const product = async () => (await database.query(`SELECT stock, version FROM "Product" WHERE id = $1`, [id]))[0]
const intrude = () => database.query(`UPDATE "Product" SET version = version + 1 WHERE id = $1`, [id])
const sent = (statement: RegExp) => proxy.statements.filter((each) => statement.test(each)).length
const untilSent = (statement: RegExp, times = 1) => vi.waitUntil(() => sent(statement) >= times, PATIENT)
const untilRefused = (times = 1) => vi.waitUntil(() => proxy.refusals() >= times, PATIENT)

/** A body that writes one note, and counts its runs. */
const writing = () => vi.fn((tx: Pick<typeof db, 'note'>) => tx.note.create({ data: { text } }))

/** Waits for the lock that `holdCommit` holds, in COMMIT. */
const slowCommit = () => atCommit(`SELECT 1 FROM "Product" WHERE id = ${id} FOR UPDATE`)
const holdCommit = () => openTransaction(database.url, `SELECT 1 FROM "Product" WHERE id = $1 FOR UPDATE`, [id])

describe('a COMMIT whose answer is lost', () => {
  test('though the server has carried it out: no second run, one effect, success', async () => {
    proxy.next(COMMIT, 'drop')
    const body = writing()

    expect(await db.$transactionWithRetry(body)).toHaveProperty('text', text)
    expect(body).toHaveBeenCalledTimes(1)
    expect(await notes()).toBe(1)
  })

  test('before it reached the server: a second run, one effect, success', async () => {
    proxy.next(COMMIT, 'cut')
    const body = writing()

    expect(await db.$transactionWithRetry(body)).toHaveProperty('text', text)
    expect(body).toHaveBeenCalledTimes(2)
    expect(await notes()).toBe(1)
  })

  test('after the server refused it: a second run, one effect, success', async () => {
    proxy.next(COMMIT, 'drop')
    const conflict = atCommit(`DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$`)
    await db.$transactionWithRetry(async (tx, { attempt }) => {
      await tx.note.create({ data: { text } })
      if (attempt === 1) await tx.note.create({ data: conflict })
    })

    expect(sent(NOTE)).toBe(2)
    expect(await notes()).toBe(1)
  })

  test('again and again: each time it is settled anew, and there is one effect', async () => {
    for (const fate of ['cut', 'abandon', 'cut', 'drop'] as const) proxy.next(COMMIT, fate)
    await db.$transactionWithRetry(writing())

    expect(await notes()).toBe(1)
  })

  test('while the server is still at it: it is asked until it is through, then success without a second run', async () => {
    const holder = await holdCommit()
    proxy.next(COMMIT, 'abandon')
    const body = vi.fn((tx: Pick<typeof db, 'note'>) => tx.note.createMany({ data: [{ text }, slowCommit()] }))
    const running = db.$transactionWithRetry(body)
    await untilBlocked(database.url)
    await untilSent(QUESTION, 3)
    await holder.query('COMMIT')

    expect(await running).toEqual({ count: 2 })
    expect(body).toHaveBeenCalledTimes(1)
    expect(await notes()).toBe(1)
  })

  test('while the server is still at it, and then gives up: a second run, one effect', async () => {
    const holder = await holdCommit()
    proxy.next(COMMIT, 'abandon')
    const running = db.$transactionWithRetry(async (tx, { attempt }) => {
      await tx.note.create({ data: { text } })
      if (attempt === 1) await tx.note.create({ data: slowCommit() })
      return attempt
    })
    await untilBlocked(database.url)
    await untilSent(QUESTION)
    await database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`,
    )

    expect(await running).toBe(2)
    expect(await notes()).toBe(1)
    await holder.query('COMMIT')
  })

  test('while the server is still at it at the deadline: unknown', async () => {
    await holdCommit()
    proxy.next(COMMIT, 'abandon')
    const pass = passingTimers()
    const body = vi.fn((tx: Pick<typeof db, 'note'>) => tx.note.create({ data: slowCommit() }))
    const failing = rejectionOf(db.$transactionWithRetry(body))
    await untilSent(QUESTION)
    pass(QUICK.deadline + 1)

    expect(await failing).toMatchObject({
      code: 'OUTCOME_UNKNOWN',
      cause: { message: 'Connection terminated unexpectedly' },
    })
    expect(body).toHaveBeenCalledTimes(1)
  })

  test('when the server is away for a while: it is asked once it is back, then success without a second run', async () => {
    proxy.next(COMMIT, 'drop')
    const asking = proxy.next(QUESTION, 'hold')
    const body = writing()
    const running = db.$transactionWithRetry(body)
    await asking.happened
    proxy.refuse()
    await untilRefused(3)
    proxy.accept()
    await running

    expect(body).toHaveBeenCalledTimes(1)
    expect(await notes()).toBe(1)
  })

  test('when the questions get lost as well: it is asked again', async () => {
    proxy.next(COMMIT, 'drop')
    proxy.next(QUESTION, 'cut')
    proxy.next(QUESTION, 'drop')
    proxy.next(QUESTION, 'abandon')
    const body = writing()
    await db.$transactionWithRetry(body)

    expect(body).toHaveBeenCalledTimes(1)
    expect(await notes()).toBe(1)
  })

  test('when the server stays away until the deadline: unknown', async () => {
    const dropped = proxy.next(COMMIT, 'drop')
    const body = writing()
    const pass = passingTimers()
    const failing = rejectionOf(db.$transactionWithRetry(body))
    await dropped.happened
    proxy.refuse()
    await untilRefused()
    pass(QUICK.deadline + 1)

    expect(await failing).toHaveProperty('code', 'OUTCOME_UNKNOWN')
    expect(body).toHaveBeenCalledTimes(1)
    expect(await notes()).toBe(1)
  })

  test('when the caller gives up while it is asked: unknown, and never a plain abort', async () => {
    const aborter = new AbortController()
    proxy.next(COMMIT, 'drop')
    const asking = proxy.next(QUESTION, 'hold')
    const failing = rejectionOf(db.$transactionWithRetry(writing(), { signal: aborter.signal }))
    await asking.happened
    aborter.abort(new Error('gone'))

    expect(await failing).toHaveProperty('code', 'OUTCOME_UNKNOWN')
    expect(await notes()).toBe(1)
  })

  test('when the caller gives up between two questions: unknown, too', async () => {
    const aborter = new AbortController()
    await holdCommit()
    proxy.next(COMMIT, 'abandon')
    const failing = rejectionOf(
      db.$transactionWithRetry((tx) => tx.note.create({ data: slowCommit() }), { signal: aborter.signal }),
    )
    await untilSent(QUESTION, 3)
    aborter.abort(new Error('gone'))

    expect(await failing).toHaveProperty('code', 'OUTCOME_UNKNOWN')
  })

  test('when the server shows the sign of a crash in between: unknown, though it says committed', async () => {
    // Of this database alone: the true one is that of the server, which other tests ask for the same.
    await database.query(
      `CREATE SCHEMA pretended; CREATE TABLE pretended.pg_stat_bgwriter AS SELECT now() AS stats_reset`,
    )
    const url = new URL(database.url)
    url.searchParams.set('options', '-c search_path=pretended,pg_catalog,public')
    const own = await openProxy(url.href)
    const { db } = connectTo(own.url, { retry: QUICK })
    own.next(COMMIT, 'drop')
    const asking = own.next(QUESTION, 'hold')
    const body = writing()
    const failing = rejectionOf(db.$transactionWithRetry(body))
    await asking.happened
    await database.query(`UPDATE pretended.pg_stat_bgwriter SET stats_reset = now() + interval '1 s'`)
    asking.release()

    expect(await failing).toHaveProperty('code', 'OUTCOME_UNKNOWN')
    expect(body).toHaveBeenCalledTimes(1)
  })

  test('of a readOnly transaction loses nothing: success, and nobody is asked', async () => {
    for (const fate of ['cut', 'drop'] as const) proxy.next(COMMIT, fate)
    const body = vi.fn((tx: Pick<typeof db, 'note'>) => tx.note.count())

    expect(await db.$transactionWithRetry(body, { readOnly: true })).toBeTypeOf('number')
    expect(body).toHaveBeenCalledTimes(1)
    expect(sent(QUESTION)).toBe(0)
  })

  test('is unknown to retryOn as well: what may have been done is not done again', async () => {
    const aborter = new AbortController()
    proxy.next(COMMIT, 'drop')
    const asking = proxy.next(QUESTION, 'hold')
    const body = writing()
    const retryOn = vi.fn(() => true)
    const failing = rejectionOf(db.$transactionWithRetry(body, { signal: aborter.signal, retry: { retryOn } }))
    await asking.happened
    aborter.abort()
    await failing

    expect(body).toHaveBeenCalledTimes(1)
    expect(retryOn).not.toHaveBeenCalled()
  })

  test('of a user who may not ask for the note is unknown', async () => {
    const own = await openRole(database)
    await database.query('REVOKE EXECUTE ON FUNCTION pg_current_wal_lsn() FROM PUBLIC')
    const barred = await openProxy(own)
    const { db } = connectTo(barred.url, { retry: QUICK })
    await db.$transactionWithRetry((tx) => tx.note.findMany())
    barred.next(COMMIT, 'drop')
    const body = writing()
    const error = await rejectionOf(db.$transactionWithRetry(body))
    await database.query('GRANT EXECUTE ON FUNCTION pg_current_wal_lsn() TO PUBLIC')

    expect(error).toHaveProperty('code', 'OUTCOME_UNKNOWN')
    expect(body).toHaveBeenCalledTimes(1)
    expect(await notes()).toBe(1)
  })

  test('of many transactions, of every fourth in each way: each has one effect', async () => {
    for (let i = 0; i < 10; i++) for (const fate of ['cut', 'drop', 'abandon'] as const) proxy.next(COMMIT, fate)
    const texts = Array.from({ length: 40 }, (_, i) => `${text} ${i}`)
    const write = (each: string) => db.$transactionWithRetry((tx) => tx.note.create({ data: { text: each } }))
    for (let i = 0; i < texts.length; i += 8) await Promise.all(texts.slice(i, i + 8).map(write))
    const written = await database.query(`SELECT text FROM "Note" WHERE text LIKE $1`, [`${text} %`])

    expect(written.map((row) => row.text).sort()).toEqual([...texts].sort())
  })
})

describe.each(['cut', 'drop', 'abandon'] as const)('a connection that breaks (%s) before COMMIT was sent', (fate) => {
  test.each([
    ['in BEGIN', /^BEGIN/, 1],
    ['in SET TRANSACTION', /^SET TRANSACTION/, 1],
    ['in the statement that notes it', NOTE, 1],
    ['in a read', /^SELECT "public"."Product"/, 2],
    ['in a write', /^INSERT/, 2],
    ['in a nested transaction', /^RELEASE/, 2],
  ])('%s leads to another run and one effect', async (_, statement, runs) => {
    proxy.next(statement, fate)
    const body = vi.fn(async (tx: typeof db | Parameters<Parameters<typeof db.$transaction>[0]>[0]) => {
      await tx.product.findMany()
      await tx.$transaction((inner) => inner.note.create({ data: { text } }))
    })
    await db.$transactionWithRetry(body as never, { isolationLevel: 'ReadCommitted' })

    expect(body).toHaveBeenCalledTimes(runs)
    expect(await notes()).toBe(1)
  })
})

describe('a lone versioned update whose answer is lost', () => {
  const stock = 7
  const FORMS: Record<string, () => PromiseLike<Record<string, unknown>>> = {
    'with an object': () => db.product.updateVersioned({ where: { id, version: 0 }, data: { stock } }),
    'with an object and include': () =>
      db.product.updateVersioned({ where: { id, version: 0 }, data: { stock }, include: { lines: true } }),
    'with an object and a nested write': () =>
      db.product.updateVersioned({ where: { id, version: 0 }, data: { stock, category: { create: { name: text } } } }),
    'with a function': () => db.product.updateVersioned({ where: { id }, data: () => ({ stock }) }),
    'with a function and include': () =>
      db.product.updateVersioned({ where: { id }, data: () => ({ stock }), include: { lines: true } }),
  }

  describe.each(Object.entries(FORMS))('%s', (form, update) => {
    test('is written once and a success, if the server has not seen it', async () => {
      proxy.next(UPDATE, 'cut')

      expect(await update()).toMatchObject({ stock, version: 1 })
      expect(await product()).toEqual({ stock, version: 1 })
    })

    test('is written once, and unknown, if the server has carried it out', async () => {
      proxy.next(/include|nested/.test(form) ? COMMIT : UPDATE, 'drop')
      const error = await rejectionOf(update())

      expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', message: expect.stringContaining('went on to version 1') })
      expect(await product()).toEqual({ stock, version: 1 })
    })

    test('is written once, and unknown, if the server is still at it when it is sent again', async () => {
      const holder = await holdCommit()
      proxy.next(UPDATE, 'abandon')
      const outcome = update().then(
        () => 'success',
        (error) => error.code,
      )
      await untilBlocked(database.url, 2)
      await holder.query('COMMIT')

      // A write of several statements is cut off in the first of them, and never commits.
      expect(await outcome).toBe(/include|nested/.test(form) ? 'success' : 'OUTCOME_UNKNOWN')
      expect(await product()).toEqual({ stock, version: 1 })
    })

    test('is unknown if somebody else wrote the row before it was sent again', async () => {
      proxy.next(UPDATE, 'cut')
      const again = proxy.next(UPDATE, 'hold')
      const failing = rejectionOf(update())
      await again.happened
      await intrude()
      again.release()

      expect(await failing).toHaveProperty('code', 'OUTCOME_UNKNOWN')
      expect(await product()).toEqual({ stock: 0, version: 1 })
    })

    test('is unknown, and not missing, if the row is gone when it is sent again', async () => {
      proxy.next(UPDATE, 'cut')
      const again = proxy.next(UPDATE, 'hold')
      const failing = rejectionOf(update())
      await again.happened
      await database.query(`DELETE FROM "Product" WHERE id = $1`, [id])
      again.release()

      expect(await failing).toMatchObject({
        code: 'OUTCOME_UNKNOWN',
        message: expect.stringContaining('the row is gone'),
      })
    })
  })

  test('leaves tryUpdateVersioned no status to give: unknown is thrown', async () => {
    proxy.next(UPDATE, 'drop')

    expect(
      await rejectionOf(db.product.tryUpdateVersioned({ where: { id, version: 0 }, data: { stock } })),
    ).toHaveProperty('code', 'OUTCOME_UNKNOWN')
  })

  test('does not run the function again: what it decided is sent again', async () => {
    proxy.next(UPDATE, 'cut')
    const change = vi.fn(() => ({ stock }))
    await db.product.updateVersioned({ where: { id }, data: change })

    expect(change).toHaveBeenCalledTimes(1)
  })

  test('is unknown when the caller gives up in the delay before it is sent again', async () => {
    const aborter = new AbortController()
    const dropped = proxy.next(UPDATE, 'drop')
    const failing = rejectionOf(
      db.product.updateVersioned({
        where: { id, version: 0 },
        data: { stock },
        retry: LONG_DELAY,
        signal: aborter.signal,
      }),
    )
    await dropped.happened
    aborter.abort(new Error('gone'))

    expect(await failing).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: { message: 'gone' } })
  })

  test('is unknown when there are no attempts left to settle it', async () => {
    proxy.next(UPDATE, 'drop')
    const update = db.product.updateVersioned({ where: { id, version: 0 }, data: { stock }, retry: { attempts: 1 } })

    expect(await rejectionOf(update)).toHaveProperty('code', 'OUTCOME_UNKNOWN')
  })

  test('is unknown when the server stays away, and tried again until then', async () => {
    const dropped = proxy.next(UPDATE, 'drop')
    const pass = passingTimers()
    const failing = rejectionOf(db.product.updateVersioned({ where: { id, version: 0 }, data: { stock } }))
    await dropped.happened
    proxy.refuse()
    await untilRefused()
    pass(QUICK.deadline + 1)

    expect(await failing).toHaveProperty('code', 'OUTCOME_UNKNOWN')
    expect(await product()).toEqual({ stock, version: 1 })
  })

  test('is not asked of retryOn once it is unknown', async () => {
    const retryOn = vi.fn(() => true)
    proxy.next(UPDATE, 'drop')
    const update = db.product.updateVersioned({ where: { id, version: 0 }, data: { stock }, retry: { retryOn } })
    await rejectionOf(update)

    expect(retryOn).not.toHaveBeenCalled()
  })

  test('is unknown also when it cannot be sent again for another reason, but the row has moved on', async () => {
    proxy.next(COMMIT, 'drop')
    const update = db.product.updateVersioned({
      where: { id, version: 0 },
      data: { category: { create: { name: text } } },
    })

    // The second time the category is there already: a P2002, which alone would say that nothing was written.
    expect(await rejectionOf(update)).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    expect(await product()).toEqual({ stock: 0, version: 1 })
  })

  test('is settled by another error that shows the row as it was', async () => {
    const taken = await db.category.create({ data: { name: `${text} taken` } })
    const mine = await db.category.create({ data: { name: `${text} mine` } })
    proxy.next(UPDATE, 'cut')
    const update = db.category.updateVersioned({ where: { id: mine.id, version: 0 }, data: { name: taken.name } })

    expect(await rejectionOf(update)).toHaveProperty('code', 'P2002')
  })

  test('is not what happened when only the look at a stale row was lost: that stays a conflict', async () => {
    await intrude()
    proxy.next(/^SELECT/, 'drop')
    const update = db.product.updateVersioned({ where: { id, version: 0 }, data: { stock } })

    expect(await rejectionOf(update)).toMatchObject({ code: 'VERSION_CONFLICT', expected: 0, actual: 1 })
  })

  test('is not what happened when only the read was lost: the function form simply reads again', async () => {
    proxy.next(/^SELECT/, 'drop')
    await db.product.updateVersioned({ where: { id }, data: () => ({ stock }) })

    expect(await product()).toEqual({ stock, version: 1 })
  })

  describe('in the third attempt, which locks the row in a transaction', () => {
    /** Loses two races for certain, so that the third attempt locks; `lose` is called in it. */
    const third = (lose: () => void) =>
      db.product.updateVersioned({
        where: { id },
        data: async ({ stock }, attempt) => {
          if (attempt < 3) await intrude()
          if (attempt === 3) lose()
          return { stock: stock + 1 }
        },
      })

    test('is written once and a success, if COMMIT did not reach the server', async () => {
      expect(await third(() => proxy.next(COMMIT, 'cut'))).toMatchObject({ stock: 1, version: 3 })
      expect(await product()).toEqual({ stock: 1, version: 3 })
    })

    test('is written once, and unknown, if COMMIT was carried out', async () => {
      expect(await rejectionOf(third(() => proxy.next(COMMIT, 'drop')))).toHaveProperty('code', 'OUTCOME_UNKNOWN')
      expect(await product()).toEqual({ stock: 1, version: 3 })
    })

    test.each(['cut', 'drop', 'abandon'] as const)('is a success if it was only the UPDATE (%s)', async (fate) => {
      expect(await third(() => proxy.next(UPDATE, fate))).toMatchObject({ stock: 1, version: 3 })
      expect(await product()).toEqual({ stock: 1, version: 3 })
    })
  })
})

describe('a lone versioned delete whose answer is lost', () => {
  const FORMS: Record<string, () => PromiseLike<Record<string, unknown>>> = {
    'of the record alone': () => db.product.deleteVersioned({ where: { id, version: 0 } }),
    'with include': () => db.product.deleteVersioned({ where: { id, version: 0 }, include: { lines: true } }),
  }

  describe.each(Object.entries(FORMS))('%s', (form, remove) => {
    const isLone = !/include/.test(form)

    test('is a success with the whole record, if the server has not seen it', async () => {
      proxy.next(isLone ? DELETE : COMMIT, 'cut')

      expect(await remove()).toMatchObject(isLone ? { id, version: 0 } : { id, version: 0, lines: [] })
      expect(await product()).toBeUndefined()
    })

    test('is unknown if the row is gone when it is sent again', async () => {
      proxy.next(isLone ? DELETE : COMMIT, 'drop')

      expect(await rejectionOf(remove())).toMatchObject({
        code: 'OUTCOME_UNKNOWN',
        message: expect.stringContaining('the row is gone'),
      })
      expect(await product()).toBeUndefined()
    })

    test('is unknown if somebody else wrote the row before it was sent again', async () => {
      proxy.next(isLone ? DELETE : COMMIT, 'cut')
      const again = proxy.next(isLone ? DELETE : /^BEGIN/, 'hold')
      const failing = rejectionOf(remove())
      if (!isLone) {
        await again.happened
        again.release()
        const second = proxy.next(/^BEGIN/, 'hold')
        await second.happened
        await intrude()
        second.release()
      } else {
        await again.happened
        await intrude()
        again.release()
      }

      expect(await failing).toHaveProperty('code', 'OUTCOME_UNKNOWN')
      expect(await product()).toEqual({ stock: 0, version: 1 })
    })
  })
})

describe('a batch whose answer is lost', () => {
  const MODES = ['all', 'each'] as const
  const batch = (mode: 'all' | 'each', more: object = {}) =>
    db.product.updateManyVersioned([{ where: { id, version: 0 }, data: { stock: { increment: 7 } } }], {
      mode,
      ...more,
    })

  test.each(MODES)('is written once and a success, if the server has not seen it (%s)', async (mode) => {
    proxy.next(BATCH, 'cut')

    expect(await batch(mode)).toEqual([{ status: 'updated', version: 1 }])
    expect(await product()).toEqual({ stock: 7, version: 1 })
  })

  test.each(MODES)('is written once, and unknown, if the server has carried it out (%s)', async (mode) => {
    proxy.next(BATCH, 'drop')

    expect(await rejectionOf(batch(mode))).toHaveProperty('code', 'OUTCOME_UNKNOWN')
    expect(await product()).toEqual({ stock: 7, version: 1 })
  })

  test.each(MODES)('is unknown when there are no attempts left to settle it (%s)', async (mode) => {
    proxy.next(BATCH, 'drop')

    expect(await rejectionOf(batch(mode, { retry: { attempts: 1 } }))).toHaveProperty('code', 'OUTCOME_UNKNOWN')
  })

  test('is unknown when the caller gives up in the delay before it is sent again', async () => {
    const aborter = new AbortController()
    const dropped = proxy.next(BATCH, 'drop')
    const failing = rejectionOf(batch('all', { retry: LONG_DELAY, signal: aborter.signal }))
    await dropped.happened
    aborter.abort(new Error('gone'))

    expect(await failing).toHaveProperty('code', 'OUTCOME_UNKNOWN')
  })

  test('is not what happened when only the question for the primary key was lost', async () => {
    await intrude()
    proxy.next(/pg_index/, 'cut')

    expect(await rejectionOf(batch('all'))).toHaveProperty('code', 'BATCH_VERSION_CONFLICT')
  })
})

test('a versioned write that loses its connection inside a transaction leaves it to the transaction to run again', async () => {
  proxy.next(UPDATE, 'drop')
  const body = vi.fn((tx: Pick<typeof db, 'product'>) =>
    tx.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 7 } }),
  )
  await db.$transactionWithRetry(body)

  expect(body).toHaveBeenCalledTimes(2)
  expect(await product()).toEqual({ stock: 7, version: 1 })
})

test('a version conflict found in a run after a lost COMMIT that failed is a conflict like any other', async () => {
  proxy.next(COMMIT, 'cut')
  const error = await rejectionOf(
    db.$transactionWithRetry(async (tx, { attempt }) => {
      if (attempt === 2) await intrude()
      await tx.product.updateVersioned({ where: { id, version: 0 }, data: { stock: 7 } })
    }),
  )

  expect([sqlState(error), (error as { code: string }).code]).toEqual([undefined, 'VERSION_CONFLICT'])
  expect(await product()).toEqual({ stock: 0, version: 1 })
})
