import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/bench/client.js'
import { statementNameGenerator } from '../support/statement-names.js'
import { ITEMS, SECTION_MS, type Side } from './cells.js'

type Core = typeof import('../../dist/index.js')
type Erp = typeof import('../../dist/erp.js')

/** This library, as the README sets it up: the package in that folder, which may be an earlier version. */
export async function openOurs(url: string, folder: string): Promise<Side> {
  const { exports } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
  const { concurrency }: Core = await import(join(folder, exports['.'].default))
  const { serials, series, stock }: Erp = await import(join(folder, exports['./erp'].default))
  const adapter = new PrismaPg({ connectionString: url, max: 10 }, { statementNameGenerator })
  const db = new PrismaClient({ adapter, transactionOptions: { maxWait: 60_000 } })
    .$extends(concurrency())
    .$extends(stock({ item: { model: 'Stock', key: 'itemId' }, movement: { model: 'StockMovement' } }))
    .$extends(serials())
    .$extends(numbers())
  function numbers() {
    const options = {
      counter: { model: 'SeriesCounter' },
      series: { invoice: { document: { model: 'Document' } } },
    } as const
    try {
      return series(options)
    } catch {
      return series({ counter: options.counter }) as never // before 0.2 a series had no document
    }
  }
  const slots = inSlots()
  function inSlots() {
    try {
      return db.$extends(
        stock({
          name: 'slots',
          item: { model: 'SlotStock', key: 'itemId', slots: { field: 'slot', adapt: false } },
          movement: { model: 'SlotStockMovement' },
        }),
      ).$slots
    } catch {
      return db.$stock // before 0.2 there were no slots
    }
  }
  const versions: number[] = []
  const amount = 1
  return {
    async updateObject(caller) {
      const where = { id: ITEMS - caller, version: versions[caller] ?? 0 }
      const { version } = await db.item.updateVersioned({ where, data: { name: 'Chai' } })
      versions[caller] = version
    },
    updateFunction: (id) => db.item.updateVersioned({ where: { id }, data: ({ stock }) => ({ stock: stock + 1 }) }),
    insert: (transactionId) => db.payment.createIdempotent({ where: { transactionId }, data: { amount } }),
    insertOnce: (transactionId) => db.payment.createIdempotent({ where: { transactionId }, data: { amount } }),
    operation: (key) =>
      db.$idempotent({ key, scope: 'pay', request: { amount } }, async (tx) => {
        const { id } = await tx.payment.create({ data: { transactionId: key, amount } })
        return { id: String(id) }
      }),
    transaction: (transactionId) =>
      db.$transactionWithRetry((tx) => tx.payment.create({ data: { transactionId, amount } })),
    lock: (key, transactionId) =>
      db.$withAdvisoryLock(key, (tx) => tx.payment.create({ data: { transactionId, amount } }), { timeout: 60_000 }),
    section: (id) =>
      db.$withAdvisoryLock(
        ['item', id],
        async (tx) => {
          const { version } = await tx.item.findUniqueOrThrow({ where: { id } })
          await sleep(SECTION_MS)
          await tx.item.update({ where: { id }, data: { version: version + 1 } })
        },
        { timeout: 60_000 },
      ),
    move: (transactionId, item, quantity) => db.$stock.move({ transactionId, item, quantity }),
    moveInSlots: (transactionId, item, quantity) => slots.move({ transactionId, item, quantity }),
    moveInTransaction: (transactionId, item, quantity) =>
      db.$transaction((tx) => tx.$stock.move({ transactionId, item, quantity })),
    moveAll: (transactionId, items) =>
      db.$stock.moveAll({ transactionId, lines: items.map((item) => ({ item, quantity: -1 })) }),
    serials: (transactionId) => db.$serials.allocate({ transactionId, where: { itemId: 1 }, count: 3 }),
    // By hand, too, nothing but the document's own key keeps a transaction id from a second number.
    number: (transactionId) =>
      db.$transactionWithRetry(async (tx) => {
        const { value } = await tx.$series.next('invoice')
        await tx.document.create({ data: { series: 'invoice', number: Number(value), transactionId } })
      }),
    numberById: (transactionId) =>
      db.$transactionWithRetry(async (tx) => {
        const { value } = await tx.$series.next('invoice', { transactionId })
        await tx.document.create({ data: { series: 'invoice', number: Number(value), transactionId } })
      }),
    numberTogether: (transactionId) => db.$series.create('invoice', { transactionId, record: { series: 'invoice' } }),
    close: () => db.$disconnect(),
  }
}
