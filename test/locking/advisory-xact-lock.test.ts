import { describe, expect, test, vi } from 'vitest'
import { sqlState } from '../../src/engine/error-facts.js'
import { isFree, lockElsewhere } from '../support/advisory.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

const { database, connect } = useExtended()

const notes = async (text: string) => (await database.query('SELECT 1 FROM "Note" WHERE text = $1', [text])).length
const PATIENT = { maxWait: 100_000, timeout: 100_000 }

describe('outside a transaction', () => {
  test('$advisoryXactLock is refused, and sends nothing', async () => {
    const { db, statements } = connect()
    const error = await rejectionOf(db.$advisoryXactLock('outside'))
    expect({ error, statements }).toEqual({
      error: expect.objectContaining({ code: 'TRANSACTION_REQUIRED', method: '$advisoryXactLock' }),
      statements: [],
    })
  })

  test('$tryAdvisoryXactLock is refused, and sends nothing', async () => {
    const { db, statements } = connect()
    const error = await rejectionOf(db.$tryAdvisoryXactLock('outside'))
    expect({ error, statements }).toEqual({
      error: expect.objectContaining({ code: 'TRANSACTION_REQUIRED', method: '$tryAdvisoryXactLock' }),
      statements: [],
    })
  })

  test('both are refused also when the root client is used while a transaction is open', async () => {
    const { db } = connect()
    const errors = await db.$transaction(async () => [
      await rejectionOf(db.$advisoryXactLock('root')),
      await rejectionOf(db.$tryAdvisoryXactLock('root')),
    ])
    expect(errors).toEqual(errors.map(() => expect.objectContaining({ code: 'TRANSACTION_REQUIRED' })))
  })
})

describe('$advisoryXactLock', () => {
  test('is held until the transaction commits', async () => {
    const { db } = connect()
    const during = await db.$transaction(async (tx) => {
      await tx.$advisoryXactLock(['commits', 1])
      return isFree(database, '["commits",1]')
    })
    expect({ during, after: await isFree(database, '["commits",1]') }).toEqual({ during: false, after: true })
  })

  test('is free when the transaction is rolled back', async () => {
    const { db } = connect()
    await rejectionOf(
      db.$transaction(async (tx) => {
        await tx.$advisoryXactLock('rolled back')
        throw new Error('no')
      }),
    )
    expect(await isFree(database, '["rolled back"]')).toBe(true)
  })

  test('waits for the holder, and the next statement reads what that one wrote', async () => {
    const { db } = connect()
    const { id } = await db.product.create({ data: { name: 'waits' } })
    const holder = await lockElsewhere(database.url, '["waits"]')
    const stock = db.$transaction(async (tx) => {
      await tx.product.findUniqueOrThrow({ where: { id } })
      await tx.$advisoryXactLock('waits')
      return (await tx.product.findUniqueOrThrow({ where: { id } })).stock
    }, PATIENT)
    await untilBlocked(database.url)
    await holder.query('UPDATE "Product" SET stock = 7 WHERE id = $1', [id])
    await holder.query('COMMIT')
    expect(await stock).toBe(7)
  })

  test('can be taken twice in one transaction', async () => {
    const { db } = connect()
    const twice = db.$transaction(async (tx) => {
      await tx.$advisoryXactLock('twice')
      await tx.$advisoryXactLock({ keys: ['twice', 'twice'] })
    })
    await expect(twice).resolves.toBeUndefined()
  })

  test('shared is held by several, and excludes an exclusive one', async () => {
    const { db } = connect()
    const free = await db.$transaction(async (tx) => {
      await tx.$advisoryXactLock('shared', { mode: 'shared' })
      return [await isFree(database, '["shared"]', 'shared'), await isFree(database, '["shared"]')]
    })
    expect(free).toEqual([true, false])
  })

  test('works on the transaction of $transactionWithRetry', async () => {
    const { db } = connect()
    const free = await db.$transactionWithRetry(async (tx) => {
      await tx.$advisoryXactLock('with retry')
      return isFree(database, '["with retry"]')
    })
    expect(free).toBe(false)
  })

  test.each<[string, object, string]>([
    ['timeout of 0', { timeout: 0 }, 'timeout'],
    ['timeout longer than a timer', { timeout: 2 ** 31 }, 'timeout'],
    ['unknown mode', { mode: 'exclusiv' }, 'mode'],
    ['unknown snapshot rule', { snapshot: true }, 'snapshot'],
    ['option that it does not have', { signal: new AbortController().signal }, 'signal'],
  ])('with a %s is refused', async (_, options, field) => {
    const { db } = connect()
    const error = await db.$transaction((tx) => rejectionOf(tx.$advisoryXactLock('options', options)))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', field })
  })
})

describe('a timeout of $advisoryXactLock', () => {
  test('is a LockTimeoutError with the keys; what was written before it, and after it, is committed', async () => {
    const { db } = connect()
    await lockElsewhere(database.url, '["timeout"]')
    const error = await db.$transaction(async (tx) => {
      await tx.note.create({ data: { text: 'timeout' } })
      const error = await rejectionOf(tx.$advisoryXactLock({ keys: ['timeout', 'free'] }, { timeout: 50 }))
      await tx.note.create({ data: { text: 'timeout' } })
      return error
    }, PATIENT)
    expect(error).toMatchObject({ code: 'LOCK_TIMEOUT', keys: ['["free"]', '["timeout"]'], timeout: 50 })
    expect(await notes('timeout')).toBe(2)
  })

  test('gives back those of its keys that were free, and keeps the locks from before', async () => {
    const { db } = connect()
    await lockElsewhere(database.url, '["partly"]')
    const free = await db.$transaction(async (tx) => {
      await tx.$advisoryXactLock('before')
      await rejectionOf(tx.$advisoryXactLock({ keys: ['partly', 'partly a', 'partly b'] }, { timeout: 50 }))
      return {
        before: await isFree(database, '["before"]'),
        a: await isFree(database, '["partly a"]'),
        b: await isFree(database, '["partly b"]'),
      }
    }, PATIENT)
    expect(free).toEqual({ before: false, a: true, b: true })
  })

  test.each([
    ['is taken', async () => {}],
    ['times out', () => lockElsewhere(database.url, '["restored"]')],
  ])('leaves lock_timeout and statement_timeout as they were when the lock %s', async (_, arrange) => {
    const { db } = connect()
    await arrange()
    const settings = await db.$transaction(async (tx) => {
      await tx.$executeRaw`SET LOCAL lock_timeout = '77s'`
      await tx.$executeRaw`SET LOCAL statement_timeout = '88s'`
      await tx.$advisoryXactLock('restored', { timeout: 50 }).catch(() => {})
      return tx.$queryRaw`SELECT current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement`
    }, PATIENT)
    expect(settings).toEqual([{ lock: '77s', statement: '88s' }])
  })

  test('does not last longer than the statement_timeout that the transaction has', async () => {
    const { db } = connect()
    await lockElsewhere(database.url, '["statement"]')
    const error = await db.$transaction(async (tx) => {
      await tx.$executeRaw`SET LOCAL statement_timeout = '50ms'`
      return rejectionOf(tx.$advisoryXactLock('statement', { timeout: 90_000 }))
    }, PATIENT)
    expect(error).toMatchObject({ code: 'LOCK_TIMEOUT', keys: ['["statement"]'] })
  })

  test('that comes after the timeout of the transaction itself leaves nothing of it', async () => {
    const { db } = connect()
    await lockElsewhere(database.url, '["outlived"]')
    const error = await rejectionOf(
      db.$transaction(
        async (tx) => {
          await tx.note.create({ data: { text: 'outlived' } })
          await tx.$advisoryXactLock('outlived', { timeout: 1_000 }).catch(() => {})
          await tx.note.create({ data: { text: 'outlived' } })
        },
        { maxWait: 100_000, timeout: 300 },
      ),
    )
    expect(error).toMatchObject({ code: 'P2028' })
    expect(await notes('outlived')).toBe(0)
  })
})

describe('at REPEATABLE READ and above', () => {
  test.each(['RepeatableRead', 'Serializable'] as const)(
    '(%s) both are refused, nothing is locked, and the transaction stays usable',
    async (isolationLevel) => {
      const { db } = connect()
      const seen = await db.$transaction(
        async (tx) => {
          const errors = [
            await rejectionOf(tx.$advisoryXactLock(isolationLevel)),
            await rejectionOf(tx.$tryAdvisoryXactLock(isolationLevel)),
          ]
          await tx.note.create({ data: { text: isolationLevel } })
          return { errors, free: await isFree(database, JSON.stringify([isolationLevel])) }
        },
        { isolationLevel },
      )
      const refused = expect.objectContaining({ code: 'INVALID_ARGUMENT', field: 'isolationLevel' })
      expect({ ...seen, notes: await notes(isolationLevel) }).toEqual({
        errors: [refused, refused],
        free: true,
        notes: 1,
      })
    },
  )

  test("both lock all the same with snapshot: 'accept'", async () => {
    const { db } = connect()
    const seen = await db.$transaction(
      async (tx) => {
        await tx.$advisoryXactLock('accepted 1', { snapshot: 'accept' })
        const isTaken = await tx.$tryAdvisoryXactLock('accepted 2', { snapshot: 'accept' })
        return [isTaken, await isFree(database, '["accepted 1"]'), await isFree(database, '["accepted 2"]')]
      },
      { isolationLevel: 'Serializable' },
    )
    expect(seen).toEqual([true, false, false])
  })
})

describe('$tryAdvisoryXactLock', () => {
  test('is true and holds the lock where it is free', async () => {
    const { db } = connect()
    const seen = await db.$transaction(async (tx) => [
      await tx.$tryAdvisoryXactLock('try free'),
      await isFree(database, '["try free"]'),
    ])
    expect(seen).toEqual([true, false])
  })

  test('is false, without a wait, where it is not, and the transaction goes on', async () => {
    const { db } = connect()
    await lockElsewhere(database.url, '["try taken"]')
    const isTaken = await db.$transaction(async (tx) => {
      const isTaken = await tx.$tryAdvisoryXactLock('try taken')
      await tx.note.create({ data: { text: 'try taken' } })
      return isTaken
    })
    expect({ isTaken, notes: await notes('try taken') }).toEqual({ isTaken: false, notes: 1 })
  })

  test('holds all of several keys, or none of them', async () => {
    const { db } = connect()
    const holder = await lockElsewhere(database.url, '["try b"]')
    const keys = { keys: ['try a', 'try b', 'try c'] }
    const attempt = () =>
      db.$transaction(async (tx) => [
        await tx.$tryAdvisoryXactLock(keys),
        await isFree(database, '["try a"]'),
        await isFree(database, '["try c"]'),
      ])
    const whileTaken = await attempt()
    await holder.query('COMMIT')
    expect({ whileTaken, whenFree: await attempt() }).toEqual({
      whileTaken: [false, true, true],
      whenFree: [true, false, false],
    })
  })

  test('shared is true beside a shared holder, and false beside an exclusive one', async () => {
    const { db } = connect()
    await lockElsewhere(database.url, '["try shared"]', 'shared')
    await lockElsewhere(database.url, '["try exclusive"]')
    const taken = await db.$transaction(async (tx) => [
      await tx.$tryAdvisoryXactLock('try shared', { mode: 'shared' }),
      await tx.$tryAdvisoryXactLock('try exclusive', { mode: 'shared' }),
      await tx.$tryAdvisoryXactLock('try shared'),
    ])
    expect(taken).toEqual([true, false, false])
  })
})

describe('locks taken one after the other, in opposite orders, by two transactions,', () => {
  /** Two transactions that have one key each, and now want the other's. */
  function cross(name: string, timeouts: readonly [number, number]) {
    const { db } = connect()
    const keys = [`${name} a`, `${name} b`]
    const held = [gate(), gate()]
    const one = (index: 0 | 1) =>
      db.$transaction(async (tx) => {
        await tx.$advisoryXactLock(keys[index])
        held[index].open()
        await held[1 - index].opened
        await tx.$advisoryXactLock(keys[1 - index], { timeout: timeouts[index] })
        await tx.note.create({ data: { text: name } })
        return 'through'
      }, PATIENT)
    return Promise.allSettled([one(0), one(1)])
  }

  test('end in a LockTimeoutError for the less patient one, and the other gets through', async () => {
    const outcomes = await cross('crossed', [100, 90_000])
    expect(outcomes).toEqual([
      { status: 'rejected', reason: expect.objectContaining({ code: 'LOCK_TIMEOUT', keys: ['["crossed b"]'] }) },
      { status: 'fulfilled', value: 'through' },
    ])
  })

  test('end in a deadlock that the database finds, which is 40P01 for one, and the other gets through', async () => {
    const outcomes = await cross('deadlock', [90_000, 90_000])
    const rejected = outcomes.filter((outcome) => outcome.status === 'rejected')
    expect(rejected.map(({ reason }) => sqlState(reason))).toEqual(['40P01'])
    expect(await notes('deadlock')).toBe(1)
  })

  test('both get through in $transactionWithRetry, since a deadlock is tried again', async () => {
    const { db } = connect()
    const held = [gate(), gate()]
    const keys = ['retried a', 'retried b']
    const one = (index: 0 | 1) =>
      db.$transactionWithRetry(
        async (tx, { attempt }) => {
          await tx.$advisoryXactLock(keys[index])
          held[index].open()
          if (attempt === 1) await held[1 - index].opened
          await tx.$advisoryXactLock(keys[1 - index], { timeout: 90_000 })
          return 'through'
        },
        { retry: { deadline: 100_000 } },
      )
    expect(await Promise.all([one(0), one(1)])).toEqual(['through', 'through'])
  })
})

test('pairs of keys in any order, from eight transactions at once, never deadlock', async () => {
  const { db } = connect({ poolSize: 8 })
  const failures: unknown[] = []
  const inside = new Set<number>()
  const overlap = vi.fn()
  const caller = async () => {
    for (let round = 0; round < 100; round++) {
      const pair = [Math.floor(Math.random() * 5), Math.floor(Math.random() * 5)]
      try {
        await db.$transaction(async (tx) => {
          await tx.$advisoryXactLock({ keys: pair.map((number) => ['pair', number]) }, { timeout: 90_000 })
          if (pair.some((number) => inside.has(number))) overlap()
          for (const number of pair) inside.add(number)
          await tx.$queryRaw`SELECT 1`
          for (const number of pair) inside.delete(number)
        }, PATIENT)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: 8 }, caller))
  expect({ failures, overlaps: overlap.mock.calls.length }).toEqual({ failures: [], overlaps: 0 })
})
