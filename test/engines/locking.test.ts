import { beforeEach, describe, expect, test } from 'vitest'
import { isFree, lockElsewhere } from '../support/advisory.js'
import { describeEngines, rows, type Tx } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

describeEngines(({ connect, database, other }) => {
  let key = ''
  let encoded = ''
  beforeEach((context) => {
    key = context.task.id
    encoded = JSON.stringify([key])
  })
  const write = (tx: object) => rows(tx, `INSERT INTO "Note" (text) VALUES ($1)`, key)
  const notes = async () => (await database.query(`SELECT 1 FROM "Note" WHERE text = $1`, [key])).length

  describe('$withAdvisoryLock', () => {
    test('holds the lock while its body runs, and gives it back with the commit', async () => {
      const { db } = await connect()
      const seen = await db.$withAdvisoryLock(key, async (tx) => {
        await write(tx)
        return isFree(database, encoded)
      })
      expect([seen, await isFree(database, encoded), await notes()]).toEqual([false, true, 1])
    })

    test('lets one caller of the process after the other in', async () => {
      const { db } = await connect()
      let inside = 0
      let most = 0
      const once = () =>
        db.$withAdvisoryLock(key, async (tx) => {
          most = Math.max(most, ++inside)
          await write(tx)
          inside--
        })
      await Promise.all(Array.from({ length: 12 }, once))
      expect([most, await notes()]).toEqual([1, 12])
    })

    test('lets shared holders in together', async () => {
      const { db } = await connect()
      const both = gate()
      let inside = 0
      const once = () =>
        db.$withAdvisoryLock(
          key,
          async () => {
            if (++inside === 2) both.open()
            await both.opened
          },
          { mode: 'shared' },
        )
      await Promise.all([once(), once()])
      expect(inside).toBe(2)
    })

    test('excludes a program on the other engine, which waits for it', async () => {
      const { db } = await connect()
      const { db: their } = await connect(other)
      const order: string[] = []
      const held = gate()
      const { opened, open } = gate()
      const ours = db.$withAdvisoryLock({ keys: [key, [key, 2]] }, async () => {
        held.open()
        await opened
        order.push('ours')
      })
      await held.opened
      const theirs = their.$withAdvisoryLock([key, 2], async () => void order.push('theirs'))
      await untilBlocked(database.url)
      open()
      await Promise.all([ours, theirs])
      expect(order).toEqual(['ours', 'theirs'])
    })

    test('tells that the lock was not free in time, by its key, and writes nothing', async () => {
      const { db } = await connect()
      await lockElsewhere(database.url, encoded)
      const work = db.$withAdvisoryLock(key, (tx) => write(tx), { timeout: 100 })
      expect(await rejectionOf(work)).toMatchObject({ code: 'LOCK_TIMEOUT', keys: [encoded] })
      expect(await notes()).toBe(0)
    })

    test('ends a body that takes longer than its time, and writes nothing', async () => {
      const { db } = await connect()
      let isAborted = false
      const work = db.$withAdvisoryLock(
        key,
        async (tx, signal) => {
          signal.addEventListener('abort', () => {
            isAborted = true
          })
          await write(tx)
          await new Promise(() => {})
        },
        { bodyTimeout: 100 },
      )
      expect(await rejectionOf(work)).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
      // The server may need a moment to end the session.
      await expect.poll(() => isFree(database, encoded)).toBe(true)
      expect([isAborted, await notes()]).toEqual([true, 0])
    })

    test('runs in a savepoint of a transaction, which goes on when the body fails', async () => {
      const { db } = await connect()
      await db.$transaction(async (tx) => {
        const failing = tx.$withAdvisoryLock(key, async (inner) => {
          await write(inner)
          throw new Error('no')
        })
        expect(await rejectionOf(failing)).toMatchObject({ message: 'no' })
        await tx.$withAdvisoryLock(key, (inner) => write(inner))
      })
      expect(await notes()).toBe(1)
    })

    test('runs at READ COMMITTED where the default is another level', async () => {
      const { db, pool } = await connect(undefined, { poolSize: 1 })
      await pool.query(`SET default_transaction_isolation TO 'serializable'`)
      const level = await db.$withAdvisoryLock(key, (tx) =>
        rows(tx, `SELECT current_setting('transaction_isolation') AS l`),
      )
      expect(level).toEqual([{ l: 'read committed' }])
    })
  })

  describe('$advisoryXactLock', () => {
    test('holds the lock until the transaction ends', async () => {
      const { db } = await connect()
      await db.$transaction(async (tx) => {
        await tx.$advisoryXactLock(key)
        expect(await isFree(database, encoded)).toBe(false)
      })
      expect(await isFree(database, encoded)).toBe(true)
    })

    test('leaves the transaction usable when the lock is not free in time', async () => {
      const { db } = await connect()
      await lockElsewhere(database.url, encoded)
      await db.$transaction(async (tx) => {
        expect(await rejectionOf(tx.$advisoryXactLock(key, { timeout: 50 }))).toMatchObject({ code: 'LOCK_TIMEOUT' })
        await write(tx)
      })
      expect(await notes()).toBe(1)
    })

    test('is refused outside a transaction, and above READ COMMITTED', async () => {
      const { db } = await connect()
      expect(await rejectionOf(db.$advisoryXactLock(key))).toMatchObject({ code: 'TRANSACTION_REQUIRED' })
      const work = db.$transaction((tx) => tx.$advisoryXactLock(key), { isolationLevel: 'RepeatableRead' })
      expect(await rejectionOf(work)).toMatchObject({ code: 'INVALID_ARGUMENT' })
    })
  })

  describe('$tryAdvisoryXactLock', () => {
    test('tells whether the lock was free, and takes all of its keys or none', async () => {
      const { db } = await connect()
      await lockElsewhere(database.url, JSON.stringify([key, 2]))
      const tried = (tx: Tx) => Promise.all([tx.$tryAdvisoryXactLock({ keys: [key, [key, 2]] })])
      await db.$transaction(async (tx) => {
        expect(await tried(tx)).toEqual([false])
        expect(await isFree(database, encoded)).toBe(true)
        expect(await tx.$tryAdvisoryXactLock(key)).toBe(true)
        expect(await isFree(database, encoded)).toBe(false)
      })
    })
  })
})
