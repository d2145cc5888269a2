import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { sqlState } from '../../src/engine/error-facts.js'
import { AT_COMMIT_TRIGGER, atCommit } from '../support/at-commit.js'
import { openTransaction } from '../support/connection.js'
import { describeEngines, rows, type Tx } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

const nextRound = () => new Promise((resolve) => setImmediate(resolve))

describeEngines(({ connect, database }) => {
  let text = ''
  beforeAll(async () => {
    await database.query(AT_COMMIT_TRIGGER)
  })
  beforeEach((context) => {
    text = context.task.id
  })
  const write = (tx: object, note = text) => rows(tx, `INSERT INTO "Note" (text) VALUES ($1)`, note)
  const notes = async () => (await database.query(`SELECT 1 FROM "Note" WHERE text = $1`, [text])).length
  const product = async (stock = 0) => {
    const [row] = await database.query(
      `INSERT INTO "Product" (name, stock, "updatedAt") VALUES ('Chai', $1, now()) RETURNING id`,
      [stock],
    )
    return row?.id as number
  }
  const stockOf = async (id: number) =>
    (await database.query('SELECT stock FROM "Product" WHERE id = $1', [id]))[0]?.stock
  const read = async (tx: object, id: number) =>
    (await rows(tx, 'SELECT stock FROM "Product" WHERE id = $1', id))[0]?.stock
  const set = (tx: object, id: number, stock: number) =>
    rows(tx, 'UPDATE "Product" SET stock = $2::int WHERE id = $1::int', id, stock)
  const level = async (tx: object) =>
    (await rows(tx, `SELECT current_setting('transaction_isolation') AS level`))[0]?.level

  describe('$transaction', () => {
    test('commits what its body has written, and resolves to what that returns', async () => {
      const { db } = await connect()
      const result = await db.$transaction(async (tx) => {
        await write(tx)
        return 'done'
      })
      expect([result, await notes()]).toEqual(['done', 1])
    })

    test('leaves nothing behind when its body rejects, and rejects with the same error', async () => {
      const { db } = await connect()
      const failure = new Error('no')
      const work = db.$transaction(async (tx) => {
        await write(tx)
        throw failure
      })
      expect(await rejectionOf(work)).toBe(failure)
      expect(await notes()).toBe(0)
    })

    // Each moment: before the nested body begins, between its statements, when it has returned, and after it.
    const moments = Array.from({ length: 120 }, (_, n) => n)

    test.each(['$transaction', '$transactionWithRetry'] as const)(
      'leaves nothing behind when its body rejects at any moment of a nested %s',
      async (method) => {
        const { db } = await connect()
        const body = (inner: object) => write(inner)
        const nested = (tx: Tx) => (method === '$transaction' ? tx.$transaction(body) : tx.$transactionWithRetry(body))
        const reject = async (turns: number) => {
          // A microtask and a round of the event loop are moments of different statements.
          for (let turn = 0; turn < turns; turn++) await (turn % 10 === 9 ? nextRound() : undefined)
          throw new Error('no')
        }
        for (const turns of moments) {
          const work = db.$transaction(async (tx) => {
            await write(tx)
            await Promise.all([nested(tx), reject(turns)])
          })
          await rejectionOf(work)
        }
        expect(await notes()).toBe(0)
      },
    )

    test('runs at the isolation level that is asked for', async () => {
      const { db } = await connect()
      expect(await db.$transaction(level, { isolationLevel: 'Serializable' })).toBe('serializable')
      expect(await db.$transaction(level, { isolationLevel: 'RepeatableRead' })).toBe('repeatable read')
    })

    test('rolls a nested body back alone', async () => {
      const { db } = await connect()
      await db.$transaction(async (tx) => {
        await write(tx)
        const nested = tx.$transaction(async (inner) => {
          await write(inner)
          await rows(inner, 'SELECT 1 / 0')
        })
        expect(sqlState(await rejectionOf(nested))).toBe('22012')
        await tx.$transaction((inner) => write(inner))
      })
      expect(await notes()).toBe(2)
    })

    test('rejects when a statement has failed whose error the body caught', async () => {
      const { db } = await connect()
      const work = db.$transaction(async (tx) => {
        await write(tx)
        await rows(tx, 'SELECT 1 / 0').catch(() => {})
      })
      expect(await rejectionOf(work)).toMatchObject({ code: 'TRANSACTION_ABORTED' })
      expect(await notes()).toBe(0)
    })

    test('refuses a call on its tx when it is over', async () => {
      const { db } = await connect()
      let kept: Tx | undefined
      await db.$transaction(async (tx) => {
        kept = tx
        await write(tx)
      })
      expect(await rejectionOf(write(kept as Tx))).toBeInstanceOf(Error)
      expect(await rejectionOf((kept as Tx).$tryAdvisoryXactLock('late'))).toMatchObject({ code: 'TRANSACTION_SCOPE' })
      expect(await notes()).toBe(1)
    })

    test('ends a body that takes longer than its timeout, and writes nothing', async () => {
      const { db, pool } = await connect()
      const { opened, open } = gate()
      const work = db.$transaction(
        async (tx) => {
          // Prisma tells it when the body ends.
          setTimeout(open, 500)
          await write(tx)
          await opened
        },
        { timeout: 50 },
      )
      expect(await rejectionOf(work)).toBeInstanceOf(Error)
      expect(await notes()).toBe(0)
      expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
    })
  })

  describe('$transactionWithRetry', () => {
    test('runs again on a fresh snapshot after a serialization failure', async () => {
      const { db } = await connect()
      const id = await product(10)
      const attempts: number[] = []
      await db.$transactionWithRetry(
        async (tx, { attempt }) => {
          attempts.push(attempt)
          const stock = (await read(tx, id)) as number
          if (attempt === 1) await database.query('UPDATE "Product" SET stock = 100 WHERE id = $1', [id])
          await set(tx, id, stock - 1)
        },
        { isolationLevel: 'RepeatableRead' },
      )
      expect([attempts, await stockOf(id)]).toEqual([[1, 2], 99])
    })

    test('carries both out when two deadlock', async () => {
      const { db } = await connect()
      const [a, b] = [await product(), await product()]
      const both = gate()
      let begun = 0
      const add = (first: number, second: number) =>
        db.$transactionWithRetry(async (tx) => {
          await rows(tx, 'UPDATE "Product" SET stock = stock + 1 WHERE id = $1::int', first)
          if (++begun === 2) both.open()
          await both.opened
          await rows(tx, 'UPDATE "Product" SET stock = stock + 1 WHERE id = $1::int', second)
        })
      await Promise.all([add(a, b), add(b, a)])
      expect([await stockOf(a), await stockOf(b)]).toEqual([2, 2])
    })

    test('gives up with the last conflict when its attempts are used up', async () => {
      const { db } = await connect()
      const id = await product()
      const work = db.$transactionWithRetry(
        async (tx) => {
          await read(tx, id)
          await database.query('UPDATE "Product" SET stock = stock + 1 WHERE id = $1', [id])
          await set(tx, id, -1)
        },
        { isolationLevel: 'RepeatableRead', retry: { attempts: 2, baseDelay: 0 } },
      )
      const error = await rejectionOf(work)
      expect([sqlState(error), (error as { attempts?: number }).attempts, await stockOf(id)]).toEqual(['40001', 2, 2])
    })

    test('runs once in a transaction, and its conflict makes the outer one run again', async () => {
      const { db } = await connect()
      const id = await product(10)
      const attempts: string[] = []
      await db.$transactionWithRetry(
        async (tx, outer) =>
          tx.$transactionWithRetry(async (inner, { attempt }) => {
            attempts.push(`${outer.attempt}.${attempt}`)
            const stock = (await read(inner, id)) as number
            if (outer.attempt === 1) await database.query('UPDATE "Product" SET stock = 100 WHERE id = $1', [id])
            await set(inner, id, stock - 1)
          }),
        { isolationLevel: 'RepeatableRead' },
      )
      expect([attempts, await stockOf(id)]).toEqual([['1.1', '2.1'], 99])
    })

    test('is ended by its signal at once, and writes nothing', async () => {
      const { db } = await connect()
      const control = new AbortController()
      const work = db.$transactionWithRetry(
        async (tx) => {
          await write(tx)
          control.abort(new Error('enough'))
          await new Promise(() => {})
        },
        { signal: control.signal },
      )
      expect(await rejectionOf(work)).toMatchObject({ message: 'enough' })
      expect(await notes()).toBe(0)
    })

    test('tells that its deadline has passed while it waited for a lock', async () => {
      const { db } = await connect()
      const id = await product()
      await openTransaction(database.url, 'SELECT 1 FROM "Product" WHERE id = $1 FOR UPDATE', [id])
      const work = db.$transactionWithRetry((tx) => set(tx, id, 1), { retry: { deadline: 300 } })
      const error = await rejectionOf(work)
      expect(['55P03', '57014', undefined]).toContain(sqlState(error))
      expect(await stockOf(id)).toBe(0)
    })

    test('tells that its deadline has passed while it waited for a connection', async () => {
      const { db } = await connect(undefined, { poolSize: 1 })
      const end = gate()
      const holder = db.$transaction(() => end.wait(), { timeout: 60_000 })
      await Promise.race([end.arrived(), holder])
      const error = await rejectionOf(db.$transactionWithRetry(async () => {}, { retry: { deadline: 200 } }))
      end.open()
      await holder
      expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    })

    test('refuses writes in a body that only reads', async () => {
      const { db } = await connect()
      const error = await rejectionOf(db.$transactionWithRetry((tx) => write(tx), { readOnly: true }))
      expect(sqlState(error)).toBe('25006')
    })

    test('rejects with what COMMIT runs into', async () => {
      const { db } = await connect()
      const error = await rejectionOf(db.$transactionWithRetry((tx) => write(tx, atCommit('SELECT 1 / 0').text)))
      expect(sqlState(error)).toBe('22012')
    })

    test('finds out that a COMMIT went through whose answer was lost, and runs once', async () => {
      const proxy = await openProxy(database.url)
      const { db } = await connect(undefined, { url: proxy.url })
      proxy.next(/^COMMIT/, 'drop')
      let runs = 0
      const result = await db.$transactionWithRetry(async (tx) => {
        runs++
        await write(tx)
        return 'written'
      })
      expect([result, runs, await notes()]).toEqual(['written', 1, 1])
    })

    test('runs again when the connection is lost before COMMIT is sent, and writes once', async () => {
      const proxy = await openProxy(database.url)
      const { db } = await connect(undefined, { url: proxy.url })
      proxy.next(/^INSERT INTO "Note"/, 'cut')
      let runs = 0
      await db.$transactionWithRetry(async (tx) => {
        runs++
        await write(tx)
      })
      expect([runs, await notes()]).toEqual([2, 1])
    })

    test('waits for a row that somebody holds, and goes on from what that has left', async () => {
      const { db } = await connect()
      const id = await product(5)
      const holder = await openTransaction(database.url, 'UPDATE "Product" SET stock = 8 WHERE id = $1', [id])
      const work = db.$transactionWithRetry((tx) =>
        rows(tx, 'UPDATE "Product" SET stock = stock + 1 WHERE id = $1::int', id),
      )
      await Promise.all([work, untilBlocked(database.url).then(() => holder.query('COMMIT'))])
      expect(await stockOf(id)).toBe(9)
    })
  })
})
