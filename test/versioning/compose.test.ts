import { AsyncLocalStorage } from 'node:async_hooks'
import { Prisma } from '@prisma/client/extension'
import { beforeEach, describe, expect, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { connectTo } from '../support/connect-to.js'
import { openConnection } from '../support/connection.js'
import { useExtended } from '../support/extended.js'
import { gate } from '../support/gate.js'
import { passingTimers } from '../support/passing-time.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { started } from '../support/started.js'

const { database, connect } = useExtended()
type Db = ReturnType<typeof connect>['db']

let id: number
beforeEach(async () => {
  const rows = await database.query(`INSERT INTO "Product" (name, "updatedAt") VALUES ('Chai', now()) RETURNING id`)
  id = rows[0].id as number
})

const row = async () => (await database.query('SELECT stock, name, version FROM "Product" WHERE id = $1', [id]))[0]
const updates = (statements: readonly string[]) => statements.filter((sql) => sql.startsWith('UPDATE'))
const addOne = ({ stock }: { stock: number }) => ({ stock: stock + 1 })

/** Has the turn, and has read the row, until `open`: a later call waits behind it. */
async function holdTurn(db: Db, meanwhile: () => Promise<unknown> = async () => {}) {
  const entered = gate()
  const { opened, open } = gate()
  let runs = 0
  const first = started(
    db.product.updateVersioned({
      where: { id },
      data: async (current) => {
        entered.open()
        await opened
        if (runs++ === 0) await meanwhile()
        return addOne(current)
      },
    }),
  )
  await entered.opened
  return { first, open }
}

describe('functions that wait for one row', () => {
  test('are one write, each on the record that the one before left, and the version counts them', async () => {
    const { db, statements } = connect()
    const { first, open } = await holdTurn(db)
    const seen: unknown[] = []
    const others = Array.from({ length: 9 }, () =>
      started(
        db.product.updateVersioned({
          where: { id },
          data: (current, attempt) => {
            seen.push([current.stock, current.version, attempt])
            return addOne(current)
          },
        }),
      ),
    )
    statements.length = 0
    open()
    const records = await Promise.all([first, ...others])
    expect(updates(statements)).toHaveLength(1)
    expect(seen).toEqual(Array.from({ length: 9 }, (_, i) => [i + 1, i + 1, 1]))
    expect(records.map(({ stock, version }) => [stock, version])).toEqual(
      Array.from({ length: 10 }, (_, i) => [i + 1, i + 1]),
    )
    expect(await db.product.findUnique({ where: { id } })).toEqual(records[9])
  })

  test('may write different columns: a column that is written later is in the earlier records as it was', async () => {
    const { db, statements } = connect()
    const { first, open } = await holdTurn(db)
    const name = started(db.product.updateVersioned({ where: { id }, data: () => ({ name: 'Chang' }) }))
    const both = started(
      db.product.updateVersioned({
        where: { id },
        data: ({ name }) => ({ name: `${name}!`, stock: { increment: 5 } }),
      }),
    )
    statements.length = 0
    open()
    expect(await Promise.all([first, name, both])).toMatchObject([
      { name: 'Chai', stock: 1, version: 1 },
      { name: 'Chang', stock: 1, version: 2 },
      { name: 'Chang!', stock: 6, version: 3 },
    ])
    expect(updates(statements)).toHaveLength(1)
  })

  test('get what each of them has selected', async () => {
    const { db } = connect()
    const { first, open } = await holdTurn(db)
    const few = started(
      db.product.updateVersioned({ where: { id }, data: addOne, select: { stock: true, name: false } }),
    )
    const less = started(db.product.updateVersioned({ where: { id }, data: addOne, omit: { price: true, name: true } }))
    open()
    await first
    expect(await few).toEqual({ stock: 2 })
    expect(Object.keys(await less).sort()).toEqual(['categoryId', 'id', 'stock', 'updatedAt', 'version'])
  })

  test('that throw or return undefined decide for themselves alone', async () => {
    const { db, statements } = connect()
    const { first, open } = await holdTurn(db)
    const reason = new Error('sold out')
    const fails = started(
      db.product.updateVersioned({
        where: { id },
        data: () => {
          throw reason
        },
      }),
    )
    const unchanged = started(db.product.tryUpdateVersioned({ where: { id }, data: () => undefined }))
    const last = started(db.product.updateVersioned({ where: { id }, data: addOne }))
    statements.length = 0
    open()
    await first
    expect(await rejectionOf(fails)).toBe(reason)
    expect(await unchanged).toMatchObject({ status: 'unchanged', record: { stock: 1, version: 1 } })
    expect(await last).toMatchObject({ stock: 2, version: 2 })
    expect(updates(statements)).toHaveLength(1)
  })

  test.each([
    ['that sets the version', { version: 7 }, { code: 'INVALID_ARGUMENT' }],
    ['of a field that is not there', { stuck: 1 }, { name: 'PrismaClientValidationError' }],
    ['that does not fit the column', { stock: { increment: 2_147_483_647 } }, { code: 'P2020' }],
    ['of another type', { stock: 'many' }, { name: 'PrismaClientValidationError' }],
    ['that connects a record that is not there', { category: { connect: { id: -1 } } }, { code: 'P2025' }],
  ])('with data %s fail alone', async (_, data, error) => {
    const { db } = connect()
    const { first, open } = await holdTurn(db)
    const fails = started(db.product.updateVersioned({ where: { id }, data: () => data as never }))
    const last = started(db.product.updateVersioned({ where: { id }, data: addOne }))
    open()
    await first
    expect(await rejectionOf(fails)).toMatchObject(error)
    expect(await last).toMatchObject({ stock: 2, version: 2 })
  })

  test('keep their order around one that has to go alone', async () => {
    const { db } = connect()
    const { first, open } = await holdTurn(db)
    const append =
      (text: string) =>
      ({ name }: { name: string }) => ({ name: `${name}${text}` })
    const calls = [
      started(db.product.updateVersioned({ where: { id }, data: append('a') })),
      started(db.product.updateVersioned({ where: { id }, data: append('b'), include: { category: true } })),
      started(db.product.updateVersioned({ where: { id }, data: async (current) => append('c')(current) })),
      started(db.product.updateVersioned({ where: { id }, data: (current) => Promise.resolve(append('d')(current)) })),
      started(db.product.updateVersioned({ where: { id }, data: append('e') })),
    ]
    open()
    await Promise.all([first, ...calls])
    expect(await row()).toEqual({ stock: 1, name: 'Chaiabcde', version: 6 })
  })

  test('get records of their own: what one changes in its record, the next does not see', async () => {
    const { db } = connect()
    const { first, open } = await holdTurn(db)
    const spoil = started(
      db.product.updateVersioned({
        where: { id },
        data: (current) => {
          current.updatedAt.setTime(0)
          current.stock += 100
          return { name: 'Chang' }
        },
      }),
    )
    const last = started(
      db.product.updateVersioned({
        where: { id },
        data: ({ stock, updatedAt }) => ({ stock: stock + (updatedAt.getTime() === 0 ? 1000 : 1) }),
      }),
    )
    open()
    await Promise.all([first, spoil])
    expect(await last).toMatchObject({ stock: 2, name: 'Chang' })
  })

  test('run in the async context of their own callers', async () => {
    const { db } = connect()
    const user = new AsyncLocalStorage<string>()
    const { first, open } = await user.run('first', () => holdTurn(db))
    const seen: unknown[] = []
    const others = ['ann', 'bob'].map((name) =>
      user.run(name, () =>
        started(
          db.product.updateVersioned({
            where: { id },
            data: (current) => {
              seen.push(user.getStore())
              return addOne(current)
            },
          }),
        ),
      ),
    )
    open()
    await Promise.all([first, ...others])
    expect(seen).toEqual(['ann', 'bob'])
  })

  test('of a caller whose signal is aborted before do not run', async () => {
    const { db } = connect()
    const { first, open } = await holdTurn(db)
    const abort = new AbortController()
    let runs = 0
    const call = started(
      db.product.updateVersioned({ where: { id }, data: () => ({ stock: ++runs }), signal: abort.signal }),
    )
    const last = started(db.product.updateVersioned({ where: { id }, data: addOne }))
    abort.abort(new Error('changed my mind'))
    open()
    await first
    expect(await rejectionOf(call)).toMatchObject({ message: 'changed my mind' })
    expect(await last).toMatchObject({ stock: 2, version: 2 })
    expect(runs).toBe(0)
  })

  test('of a caller whose signal is aborted while the write is under way are written', async () => {
    const { db } = connect()
    const abort = new AbortController()
    const { first, open } = await holdTurn(db)
    const call = started(
      db.product.updateVersioned({
        where: { id },
        data: (current) => {
          setTimeout(() => abort.abort(), 0)
          return addOne(current)
        },
        signal: abort.signal,
      }),
    )
    open()
    expect(await Promise.all([first, call])).toMatchObject([{ version: 1 }, { stock: 2, version: 2 }])
  })

  test('beyond the highest version are refused, and those before are written', async () => {
    const { db } = connect()
    await database.query('UPDATE "Product" SET version = 2147483645 WHERE id = $1', [id])
    const { first, open } = await holdTurn(db)
    const calls = [1, 2].map(() => started(db.product.updateVersioned({ where: { id }, data: addOne })))
    open()
    expect(await Promise.all([first, calls[0]])).toMatchObject([{ version: 2147483646 }, { version: 2147483647 }])
    expect(await rejectionOf(calls[1])).toMatchObject({ code: 'VERSION_OVERFLOW' })
  })
})

describe('another writer between the read and the write', () => {
  test('makes a conflict of the first alone, and all the functions run again on what it left', async () => {
    const { db } = connect()
    const raise = () =>
      database.query('UPDATE "Product" SET stock = stock + 100, version = version + 1 WHERE id = $1', [id])
    const { first, open } = await holdTurn(db, raise)
    const seen: unknown[] = []
    const others = [1, 2, 3].map(() =>
      started(
        db.product.updateVersioned({
          where: { id },
          data: (current, attempt) => {
            seen.push([current.stock, attempt])
            return addOne(current)
          },
          retry: { attempts: 1 },
        }),
      ),
    )
    open()
    await Promise.all([first, ...others])
    expect(seen).toEqual([1, 2, 3, 101, 102, 103].map((stock) => [stock, 1]))
    expect(await row()).toMatchObject({ stock: 104, version: 5 })
  })

  test('takes back what a function threw about a record that never was', async () => {
    const { db } = connect()
    await database.query('UPDATE "Product" SET stock = -1 WHERE id = $1', [id])
    const raise = () => database.query('UPDATE "Product" SET stock = 50, version = version + 1 WHERE id = $1', [id])
    const { first, open } = await holdTurn(db, raise)
    const seller = started(
      db.product.updateVersioned({
        where: { id },
        data: ({ stock }) => {
          if (stock === 0) throw new Error('sold out')
          return { stock: stock - 1 }
        },
      }),
    )
    const idle = started(
      db.product.updateVersioned({ where: { id }, data: ({ stock }) => (stock === 0 ? undefined : { stock: 7 }) }),
    )
    open()
    await first
    expect([await seller, await idle]).toMatchObject([
      { stock: 50, version: 3 },
      { stock: 7, version: 4 },
    ])
  })

  test('who does not raise the version loses nothing to sums that do not know of it', async () => {
    const { db } = connect()
    const held = gate()
    const entered = gate()
    const leader = started(
      db.product.updateVersioned({
        where: { id },
        data: async () => {
          entered.open()
          await held.opened
          await database.query('UPDATE "Product" SET stock = stock + 100 WHERE id = $1', [id])
          return { stock: { increment: 1 } }
        },
      }),
    )
    await entered.opened
    const others = [1, 2].map(() =>
      started(db.product.updateVersioned({ where: { id }, data: () => ({ stock: { increment: 1 } }) })),
    )
    held.open()
    await Promise.all([leader, ...others])
    expect(await row()).toMatchObject({ stock: 103, version: 3 })
  })

  test('twice, then the row is locked, and those who wait join the write under the lock', async () => {
    const { db } = connect()
    const entered = gate()
    const { opened, open } = gate()
    const leader = started(
      db.product.updateVersioned({
        where: { id },
        data: async (current, attempt) => {
          if (attempt < 3) await database.query('UPDATE "Product" SET version = version + 1 WHERE id = $1', [id])
          else {
            entered.open()
            await opened
          }
          return addOne(current)
        },
      }),
    )
    await entered.opened
    const others = [1, 2, 3].map(() => started(db.product.updateVersioned({ where: { id }, data: addOne })))
    open()
    const records = await Promise.all([leader, ...others])
    expect(records.map(({ version }) => version)).toEqual([3, 4, 5, 6])
    expect(await row()).toMatchObject({ stock: 4, version: 6 })
  })
})

describe('a lost answer', () => {
  const UPDATE = /^UPDATE "public"."Product" AS t/
  async function heldBehindProxy() {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url, { retry: { baseDelay: 1, deadline: 1_000_000 } })
    const { first, open } = await holdTurn(db as Db)
    const others = [1, 2, 3].map(() => started(db.product.updateVersioned({ where: { id }, data: addOne })))
    return { proxy, calls: [first, ...others], open }
  }

  test('of a write that the server has not seen: it is sent again, for all of them, once', async () => {
    const { proxy, calls, open } = await heldBehindProxy()
    proxy.next(UPDATE, 'cut')
    open()
    const records = await Promise.all(calls)
    expect(records.map(({ stock, version }) => [stock, version])).toEqual([1, 2, 3, 4].map((n) => [n, n]))
    expect(await row()).toMatchObject({ stock: 4, version: 4 })
  })

  test('of a write that was done is an unknown outcome for all of them, and nothing is done twice', async () => {
    const { proxy, calls, open } = await heldBehindProxy()
    proxy.next(UPDATE, 'drop')
    open()
    const outcomes = await Promise.allSettled(calls)
    expect(outcomes).toMatchObject(Array(4).fill({ reason: { code: 'OUTCOME_UNKNOWN' } }))
    expect(await row()).toMatchObject({ stock: 4, version: 4 })
  })

  test('ends a passenger’s patience by its own deadline, with the outcome unknown', async () => {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url, { retry: { attempts: 1_000, baseDelay: 5, maxDelay: 20, deadline: 100_000 } })
    const pass = passingTimers()
    const { first, open } = await holdTurn(db as Db)
    const call = started(db.product.updateVersioned({ where: { id }, data: addOne, retry: { deadline: 20_000 } }))
    const lost = proxy.next(UPDATE, 'drop')
    open()
    await lost.happened
    proxy.refuse()
    pass(25_000)
    expect(await rejectionOf(call)).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: { code: 'DEADLINE_EXCEEDED' } })
    proxy.accept()
    expect(await rejectionOf(first)).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    expect(await row()).toMatchObject({ stock: 2, version: 2 })
  })
})

describe('a write that is swallowed', () => {
  const UPDATE = /^UPDATE "public"."Product" AS t/
  async function swallowed(deadlines: { readonly leader: number; readonly other: number }) {
    const proxy = await openProxy(database.url)
    const { db } = connectTo(proxy.url, { retry: { deadline: deadlines.leader } })
    const pass = passingTimers()
    const { first, open } = await holdTurn(db as Db)
    const retry = { deadline: deadlines.other }
    const other = started(db.product.updateVersioned({ where: { id }, data: addOne, retry }))
    const held = proxy.next(UPDATE, 'hold')
    open()
    await held.happened
    pass(25_000)
    return { first, other, held }
  }

  test('ends a call that is in it by its own deadline, though the call that writes has more time', async () => {
    const { first, other, held } = await swallowed({ leader: 1_000_000, other: 20_000 })

    expect(await rejectionOf(other)).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: { deadline: 20_000 } })
    held.release()
    expect(await first).toMatchObject({ stock: 1, version: 1 })
    expect(await row()).toMatchObject({ stock: 2, version: 2 })
  })

  test('is sent again by a call that is in it, and has more time than the one that wrote', async () => {
    const { first, other, held } = await swallowed({ leader: 20_000, other: 1_000_000 })

    expect(await rejectionOf(first)).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: { deadline: 20_000 } })
    expect(await other).toMatchObject({ stock: 2, version: 2 })
    held.release()
    expect(await row()).toMatchObject({ stock: 2, version: 2 })
  })
})

describe('where single states matter, every one of them is written:', () => {
  const orderHeld = async (db: Db, orderId: number) => {
    const entered = gate()
    const { opened, open } = gate()
    const first = started(
      db.order.updateVersioned({
        where: { id: orderId },
        data: async () => {
          entered.open()
          await opened
          return { customer: 'first' }
        },
      }),
    )
    await entered.opened
    return { first, open }
  }
  const set = (db: Db, orderId: number, customer: string) =>
    started(db.order.updateVersioned({ where: { id: orderId }, data: () => ({ customer }) }))
  const newOrder = async (db: Db) => (await db.order.create({ data: { customer: 'none' } })).id

  test('a check refuses the state that breaks it, though a later one would not', async () => {
    await database.query(`ALTER TABLE "Order" ADD CONSTRAINT no_bad CHECK (customer <> 'bad')`)
    const { db } = connect()
    const orderId = await newOrder(db)
    const { first, open } = await orderHeld(db, orderId)
    const [bad, good] = [set(db, orderId, 'bad'), set(db, orderId, 'good')]
    open()
    expect(await first).toMatchObject({ version: 1 })
    expect(await rejectionOf(bad)).toBeInstanceOf(Error)
    expect(await good).toMatchObject({ customer: 'good', version: 2 })
    await database.query('ALTER TABLE "Order" DROP CONSTRAINT no_bad')
  })

  test('a trigger sees each of them', async () => {
    await database.query(`
CREATE FUNCTION note_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO "Note" (text) VALUES (NEW.id || ':' || NEW.version); RETURN NULL; END $$;
CREATE TRIGGER note_order AFTER UPDATE ON "Order" FOR EACH ROW EXECUTE FUNCTION note_order()`)
    const { db } = connect()
    const orderId = await newOrder(db)
    const { first, open } = await orderHeld(db, orderId)
    const others = ['a', 'b'].map((customer) => set(db, orderId, customer))
    open()
    await Promise.all([first, ...others])
    const notes = await database.query('SELECT text FROM "Note" WHERE text LIKE $1 ORDER BY text', [`${orderId}:%`])
    expect(notes.map(({ text }) => text)).toEqual([1, 2, 3].map((version) => `${orderId}:${version}`))
    await database.query('DROP TRIGGER note_order ON "Order"')
  })

  test('a trigger that came later and changes what is written makes them go one by one', async () => {
    const { db } = connect()
    const orderId = await newOrder(db)
    const warmed = await orderHeld(db, orderId)
    const second = set(db, orderId, 'asks the catalogue')
    warmed.open()
    await Promise.all([warmed.first, second])
    await database.query(`
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.customer := upper(NEW.customer); RETURN NEW; END $$;
CREATE TRIGGER shout BEFORE UPDATE ON "Order" FOR EACH ROW EXECUTE FUNCTION shout()`)
    const { first, open } = await orderHeld(db, orderId)
    const others = ['a', 'b'].map((customer) => set(db, orderId, customer))
    open()
    expect(await Promise.all([first, ...others])).toMatchObject([
      { customer: 'FIRST', version: 3 },
      { customer: 'A', version: 4 },
      { customer: 'B', version: 5 },
    ])
    await database.query('DROP TRIGGER shout ON "Order"')
  })

  test('an extension below ours that takes part in updates sees each of them', async () => {
    const { client } = database.connect()
    const seen: unknown[] = []
    const watched = client.$extends({
      query: {
        order: {
          update({ args, query }) {
            seen.push(args.data.customer)
            return query(args)
          },
        },
      },
    })
    const db = watched.$extends(concurrency()) as unknown as Db
    const orderId = await newOrder(db)
    const { first, open } = await orderHeld(db, orderId)
    const others = ['a', 'b'].map((customer) => set(db, orderId, customer))
    open()
    await Promise.all([first, ...others])
    expect(seen).toEqual(['first', 'a', 'b'])
  })

  test('an extension above ours that takes part in updates sees each of them', async () => {
    const seen: unknown[] = []
    const onTop = Prisma.defineExtension({
      query: {
        order: {
          update({ args, query }) {
            seen.push((args.data as { customer: string }).customer)
            return query(args)
          },
        },
      },
    })
    const db = connect().db.$extends(onTop) as unknown as Db
    const orderId = await newOrder(db)
    const { first, open } = await orderHeld(db, orderId)
    const others = ['a', 'b'].map((customer) => set(db, orderId, customer))
    open()
    await Promise.all([first, ...others])
    expect(seen).toEqual(['first', 'a', 'b'])
  })

  test('fields that an extension computes are in every record', async () => {
    const { client } = database.connect()
    const computed = client.$extends({
      result: { order: { title: { needs: { customer: true }, compute: ({ customer }) => `for ${customer}` } } },
    })
    const db = computed.$extends(concurrency()) as unknown as Db
    const orderId = await newOrder(db)
    const { first, open } = await orderHeld(db, orderId)
    const others = ['a', 'b'].map((customer) => set(db, orderId, customer))
    open()
    expect(await Promise.all([first, ...others])).toMatchObject(
      ['for first', 'for a', 'for b'].map((title) => ({ title })),
    )
  })
})

test('a storm of all kinds of calls in several clients loses nothing, and gives every version once', async () => {
  const clients = Array.from({ length: 3 }, () => ({
    db: database
      .connect({ poolSize: 4 })
      .client.$extends(concurrency({ retry: { deadline: 60_000 } })) as unknown as Db,
  }))
  const kinds: ((db: Db) => Promise<{ version: number }>)[] = [
    (db) => db.product.updateVersioned({ where: { id }, data: addOne }),
    (db) => db.product.updateVersioned({ where: { id }, data: () => ({ stock: { increment: 1 } }) }),
    (db) => db.product.updateVersioned({ where: { id }, data: async (current) => addOne(current) }),
    (db) => db.product.updateVersioned({ where: { id }, data: addOne, include: { category: true } }),
    (db) => db.product.updateVersioned({ where: { id }, data: addOne, select: { version: true } }),
  ]
  const records = await Promise.all(
    clients.flatMap(({ db }) => Array.from({ length: 60 }, (_, i) => kinds[(i * 7) % kinds.length](db))),
  )
  expect(records.map(({ version }) => version).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 180 }, (_, i) => i + 1),
  )
  expect(await row()).toMatchObject({ stock: 180, version: 180 })
})

test('a row that nobody writes leaves no trace, and the next caller has its turn at once', async () => {
  const { db, statements } = connect()
  const { first, open } = await holdTurn(db)
  const other = started(db.product.updateVersioned({ where: { id }, data: addOne }))
  open()
  await Promise.all([first, other])
  const connection = await openConnection(database.url)
  await connection.query('UPDATE "Product" SET stock = 70, version = version + 1 WHERE id = $1', [id])
  statements.length = 0
  const seen: number[] = []
  await db.product.updateVersioned({
    where: { id },
    data: ({ stock }) => {
      seen.push(stock)
      return { stock: stock + 1 }
    },
  })
  expect(seen).toEqual([70])
  expect(statements.map((sql) => sql.split(' ')[0])).toEqual(['SELECT', 'UPDATE'])
})
