import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { BoardPage } from '../../examples/erp/board-page.js'
import { connect } from '../../examples/erp/database.js'
import { LiveStock } from '../../examples/erp/live-stock.js'
import { type ErpOptions, startErp } from '../../examples/erp/server.js'
import { openBlackHole } from '../support/black-hole.js'
import { BoardReader } from '../support/board-reader.js'
import { useDatabase } from '../support/clients.js'
import { openTransaction } from '../support/connection.js'
import { openProxy } from '../support/proxy.js'
import { startScript } from '../support/script.js'
import { untilBlocked } from '../support/until-blocked.js'

const database = useDatabase()
const bare = useDatabase() // without the triggers
const itemOf = (productId: number) => ({ productId, warehouse: 'main' })
let transactions = 0
const newId = () => `t${++transactions}`

beforeAll(async () => {
  await database.query(await readFile(new URL('../../examples/erp/board.sql', import.meta.url), 'utf8'))
})

/** An item that no other test has, with 10 on hand. */
async function newItem() {
  const [{ id }] = await database.query(
    `INSERT INTO "Stock" ("productId", warehouse, "onHand")
SELECT coalesce(max("productId"), 0) + 1, 'main', 10 FROM "Stock" RETURNING "productId" AS id`,
  )
  return itemOf(id as number)
}

/** A machine for one test, which folds once, when it starts. */
async function startMachine(options: ErpOptions = {}) {
  const server = await startErp(database.url, { foldEvery: 2 ** 31 - 1, ...options })
  onTestFinished(() => server.close())
  return server
}

function connectClient() {
  const db = connect(database.url)
  onTestFinished(() => db.$disconnect())
  return db
}

const silently = () => {
  const log = vi.spyOn(console, 'error').mockImplementation(() => {})
  onTestFinished(() => log.mockRestore())
  return log
}

/** The figures of the tables, as a board shows them. */
async function inTheTables() {
  const rows = await database.query(
    `SELECT "productId", warehouse, "onHand", reserved, (
  SELECT coalesce(sum(quantity), 0)::int FROM "StockMovement" AS m
  WHERE NOT applied AND m."productId" = s."productId" AND m.warehouse = s.warehouse
) AS arriving
FROM "Stock" AS s ORDER BY "productId", warehouse`,
  )
  return rows
}

const of = (board: BoardReader, { productId }: { productId: number }) =>
  board.items.find((item) => item.productId === productId)

describe('the stock board', () => {
  test('shows what moves, is reserved, arrives and is folded, on whichever machine, once it is committed', async () => {
    const [item, one, two, db] = [await newItem(), await startMachine(), await startMachine(), connectClient()]
    const boards = await Promise.all([one, two].map(({ url }) => BoardReader.connect(url)))
    const shows = (figures: object) =>
      Promise.all(
        boards.map((board) =>
          board.until(() => JSON.stringify(of(board, item)) === JSON.stringify({ ...item, ...figures })),
        ),
      )
    await shows({ onHand: 10, reserved: 0, arriving: 0 })

    await db.$stock.move({ transactionId: newId(), item, quantity: -3 })
    await shows({ onHand: 7, reserved: 0, arriving: 0 })
    const basket = newId()
    await db.$stock.reserve({ transactionId: basket, lines: [{ item, quantity: 2 }], expiresIn: 60_000 })
    await shows({ onHand: 7, reserved: 2, arriving: 0 })
    await db.$stock.defer({ transactionId: newId(), item, quantity: 5 })
    await shows({ onHand: 7, reserved: 2, arriving: 5 })
    await db.$stock.project()
    await shows({ onHand: 12, reserved: 2, arriving: 0 })
    await db.$stock.fulfil({ transactionId: basket })
    await shows({ onHand: 10, reserved: 0, arriving: 0 })

    for (const board of boards) expect(board.items).toEqual(await inTheTables())
    expect(boards[0].movements).toEqual(boards[1].movements)
    expect(boards[0].movements[0]).toMatchObject({ ...item, transactionId: basket, quantity: -2, applied: true })
  })

  test('shows a stocktake without a difference among the last movements, and an item that is gone no longer', async () => {
    const [item, { url }, db] = [await newItem(), await startMachine(), connectClient()]
    const board = await BoardReader.connect(url)
    await board.until(() => of(board, item) !== undefined)
    const transactionId = newId()

    await db.$stock.count({ transactionId, item, counted: 10 })
    await board.until(() => board.movements[0]?.transactionId === transactionId)
    await database.query('DELETE FROM "Stock" WHERE "productId" = $1', [item.productId])
    await board.until(() => of(board, item) === undefined)

    expect(board.items).toEqual(await inTheTables())
  })

  test('does not show what is not committed, and says of a change when that was, by the clock of the database', async () => {
    const [item, { url }] = [await newItem(), await startMachine({ beat: 20 })]
    const writer = await openTransaction(database.url, 'UPDATE "Stock" SET "onHand" = 4 WHERE "productId" = $1', [
      item.productId,
    ])
    const board = await BoardReader.connect(url)
    await board.next()
    await board.next() // there is news each beat, and it is not of this
    expect(of(board, item)).toMatchObject({ onHand: 10 })
    const clock = async () =>
      Number((await writer.query('SELECT extract(epoch FROM clock_timestamp()) * 1000 AS at')).rows[0].at)

    const before = await clock()
    await writer.query('COMMIT')
    const after = await clock()
    await board.until(() => of(board, item)?.onHand === 4)

    const { committed = 0, at } = board.events.at(-1) ?? {}
    expect([before <= committed, committed <= after, committed <= (at ?? 0)]).toEqual([true, true, true])
  })

  test('never shows what was rolled back, and takes no harm by a notification of somebody else', async () => {
    const [item, { url }, db] = [await newItem(), await startMachine(), connectClient()]
    const board = await BoardReader.connect(url)
    await board.until(() => of(board, item) !== undefined)
    const failed = db.$transactionWithRetry(async (tx) => {
      await tx.$stock.move({ transactionId: newId(), item, quantity: -9 })
      throw new Error('no')
    })
    await expect(failed).rejects.toThrow('no')
    const log = silently()
    const warehouses = [String.raw`\u0000`, String.raw`\ud800`].map(
      (text) => `{"productId":1,"warehouse":"${text}","at":1}`,
    )
    const strange = ['{"productId":4294967296,"warehouse":"main","at":1}', ...warehouses]
    for (const payload of ['', 'no JSON', '{"productId":"1"}', ...strange]) {
      await database.query(`SELECT pg_notify('stock_board', $1)`, [payload])
    }

    await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
    await board.until(() => of(board, item)?.onHand !== 10)

    expect(of(board, item)).toMatchObject({ onHand: 9 })
    expect(log).not.toHaveBeenCalled() // nor has it begun again
  })

  test('misses nothing that is committed after it listens and before it reads its first picture', async () => {
    const [item, db, proxy] = [await newItem(), connectClient(), await openProxy(database.url)]
    const read = proxy.next(/^WITH item AS/, 'hold')
    const { url } = await startMachine({ listenUrl: proxy.url })
    const board = await BoardReader.connect(url)
    await read.happened

    await db.$stock.move({ transactionId: newId(), item, quantity: -3 })
    read.release()
    await board.until(() => of(board, item)?.onHand === 7)

    expect(board.items).toEqual(await inTheTables())
  })

  test('misses nothing that is committed while it reads a picture that does not have it', async () => {
    const [item, db] = [await newItem(), connectClient()]
    // The read stops in the middle, with its snapshot taken: the names of the products wait for an advisory lock.
    await database.query(
      `ALTER TABLE "Product" RENAME TO "Named";
CREATE FUNCTION wait_there() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN true; END $$;
CREATE VIEW "Product" AS SELECT n.* FROM "Named" AS n, (SELECT wait_there() AS is_there OFFSET 0) AS w WHERE w.is_there;
INSERT INTO "Named" (id, name, price, "updatedAt") VALUES (${item.productId}, 'Chai', 18, now())`,
    )
    onTestFinished(async () => {
      await database.query('DROP VIEW "Product"; DROP FUNCTION wait_there; ALTER TABLE "Named" RENAME TO "Product"')
    })
    const holder = await openTransaction(database.url, 'SELECT pg_advisory_xact_lock(4711)')
    const { url } = await startMachine()
    const board = await BoardReader.connect(url)
    await untilBlocked(database.url)

    await db.$stock.move({ transactionId: newId(), item, quantity: -3 })
    await holder.query('COMMIT')
    await board.next()
    expect(of(board, item)).toMatchObject({ onHand: 10 })
    await board.until(() => of(board, item)?.onHand === 7)

    expect(board.items).toEqual(await inTheTables())
  })

  test('whose connection is lost listens again, and shows what was committed meanwhile', async () => {
    const log = silently()
    const [item, db, proxy] = [await newItem(), connectClient(), await openProxy(database.url)]
    const { url } = await startMachine({ listenUrl: proxy.url, beat: 20 })
    const board = await BoardReader.connect(url)
    await board.until(() => of(board, item)?.onHand === 10)

    proxy.refuse()
    await vi.waitUntil(() => proxy.refusals() > 0, { timeout: 60_000 }) // so nobody listens
    await db.$stock.move({ transactionId: newId(), item, quantity: -3 })
    proxy.accept()
    await board.until(() => of(board, item)?.onHand === 7)

    expect(board.events.at(-1)?.event).toBe('picture')
    expect(log).toHaveBeenCalled()
  })

  test('whose connection is dead without a sign finds that out by its silence, and listens again', async () => {
    silently()
    const [item, db, hole] = [await newItem(), connectClient(), await openBlackHole(database.url)]
    const live = new LiveStock(hole.url, { beat: 20, patience: 2_000 })
    onTestFinished(() => live.stop())
    const board = new BoardReader(live.events())
    await board.until(() => of(board, item)?.onHand === 10)

    hole.swallow()
    await db.$stock.move({ transactionId: newId(), item, quantity: -3 })
    await board.until(() => of(board, item)?.onHand === 7)

    expect(board.events.at(-1)?.event).toBe('picture')
  })

  test('keeps nothing for a page that does not read: it is sent a full picture in the end', async () => {
    const [item, db, live] = [await newItem(), connectClient(), new LiveStock(database.url, { beat: 2 ** 31 - 1 })]
    onTestFinished(() => live.stop())
    const [slow, quick] = [new BoardReader(live.events()), new BoardReader(live.events())]
    await quick.next()
    for (let onHand = 9; onHand >= 0; onHand--) {
      await db.$stock.move({ transactionId: newId(), item, quantity: -1 })
      await quick.until(() => of(quick, item)?.onHand === onHand)
    }

    await slow.until(() => of(slow, item)?.onHand === 0)

    expect(slow.events.at(-1)?.event).toBe('picture')
    expect(slow.events.length).toBeLessThan(5)
    expect(quick.events.filter(({ event }) => event === 'change').length).toBeGreaterThanOrEqual(10)
  })

  test('says what is wrong where its triggers are not there, instead of showing the first picture for ever', async () => {
    const log = silently()
    const empty = await startMachine({ listenUrl: bare.url, beat: 20 })

    await BoardReader.connect(empty.url)
    await vi.waitUntil(() => log.mock.calls.length > 0, { timeout: 60_000 })

    expect(String(log.mock.calls[0][0])).toContain('Run examples/erp/board.sql')
  })

  test('has a connection only while a page is open, and a machine that is closed ends its events', async () => {
    const connections = () =>
      database.query(
        `SELECT FROM pg_stat_activity WHERE application_name = 'stock board' AND datname = current_database()`,
      )
    const until = (count: number) =>
      vi.waitUntil(async () => (await connections()).length === count, { timeout: 60_000, interval: 5 })
    await until(0)
    const server = await startErp(database.url)
    const [first, second] = [await BoardReader.connect(server.url), await BoardReader.connect(server.url)]
    await Promise.all([first.next(), second.next()])
    expect(await connections()).toHaveLength(1)

    await Promise.all([first.close(), second.close()])
    await until(0)
    const third = await BoardReader.connect(server.url)
    await third.next()
    await server.close()

    await expect(third.until(() => false)).rejects.toThrow('The events have ended.') // behind one that tells the time
    await until(0)
  })
})

test('a page that has missed an event asks for a picture when it has taken the one before', async () => {
  const missed = vi.fn()
  const page = new BoardPage(missed)
  page.needsPicture = false
  for (const event of ['a', 'b', 'c']) page.tell(event)
  expect(missed).not.toHaveBeenCalled()

  expect(await page.next()).toBe('a')
  expect([missed.mock.calls.length, page.needsPicture]).toEqual([1, true])
  const next = page.next()
  page.tell('d')
  page.end()

  expect([await next, await page.next()]).toEqual(['d', undefined])
})

test('a page that comes while its machine stops is not kept waiting: it looks for another one', async () => {
  const live = new LiveStock(database.url)
  const stopping = live.stop()
  const [early, late] = [live.events().getReader(), stopping.then(() => live.events().getReader())]
  expect(await early.read()).toEqual({ done: true, value: undefined })
  expect(await (await late).read()).toEqual({ done: true, value: undefined })
})

test('live.ts serves two boards with something to see, until Ctrl-C', async () => {
  const script = startScript('examples/erp/live.ts', { DATABASE_URL: database.url })
  await script.printed('/board\nhttp')
  script.pressCtrlC()

  expect(await script.ended).toMatchObject({ exitCode: 130, stderr: '\nEnded by SIGINT.\n' })
})
