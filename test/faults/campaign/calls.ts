import type { Chance } from '../../support/fuzz/chance.js'
import { DEADLINE, type EngineName, type PrismaDb, rows, type Tx } from './connect.js'
import { type Facts, type Kind, key, num, ours, ReadFailed, Refused, withoutDeadline } from './kind.js'
import { LEDGER_KINDS } from './ledger-calls.js'
import { ORDER_KINDS } from './order-calls.js'
import * as sizes from './sizes.js'

export const ON_PURPOSE = 'on purpose'

const MAIN = 'main'
const item = (productId: number) => ({ productId, warehouse: MAIN })
const note = (tx: object, text: string) => rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', text)
const reading = <T>(read: PromiseLike<T>): Promise<T> =>
  Promise.resolve(read).catch((error: unknown) => {
    throw new ReadFailed(`reading: ${String(error)}`)
  })

type PrismaRun = (db: PrismaDb, id: string, facts: Facts, hasRead: () => void) => Promise<unknown>
const onPrisma =
  (run: PrismaRun): Kind['run'] =>
  ({ prisma }, id, facts, hasRead) =>
    prisma ? run(prisma, id, facts, hasRead) : Promise.reject(new Refused('not on this engine'))

const counter = (chance: Chance) => [1 + chance.below(chance.below(2) === 0 ? sizes.HOT : sizes.COUNTERS)]
const list = (chance: Chance) => [1 + chance.below(sizes.LISTS)]

const FOREIGN = { isOurs: false, hasDeadline: false }
/** The calls that only Prisma has, and its own beside them. */
const PRISMA_KINDS: readonly Kind[] = [
  ours(
    'count',
    12,
    counter,
    onPrisma(async (db, _, [id]) => {
      const data = ({ stock }: { stock: number }) => ({ stock: stock + 1 })
      const { version } = await db.product.updateVersioned({ where: { id: num(id) }, data })
      return [version]
    }),
  ),
  ours(
    'list',
    3,
    list,
    onPrisma(async (db, call, [id]) => {
      const data = ({ tags }: { tags: string[] }) => ({ tags: [...tags, call] })
      return (await db.everything.updateVersioned({ where: { id: num(id) }, data })).version
    }),
  ),
  ours(
    'list at',
    2,
    list,
    onPrisma(async (db, call, [id], hasRead) => {
      const select = { version: true } as const
      const { version } = await reading(db.everything.findUniqueOrThrow({ where: { id: num(id) }, select }))
      hasRead()
      const data = { tags: { push: call } }
      return (await db.everything.updateVersioned({ where: { id: num(id), version }, data })).version
    }),
  ),
  {
    ...ours(
      'list plain',
      1,
      list,
      onPrisma(
        async (db, call, [id]) =>
          (await db.everything.update({ where: { id: num(id) }, data: { tags: { push: call } } })).version,
      ),
    ),
    ...FOREIGN,
  },
  ours(
    'many',
    2,
    (chance) => Array.from({ length: 3 }, (_, i) => 1 + i * 13 + chance.below(13)),
    onPrisma(async (db, _, ids, hasRead) => {
      const read = await reading(
        db.product.findMany({ where: { id: { in: ids.map(num) } }, select: { id: true, version: true } }),
      )
      hasRead()
      const items = read.map(({ id, version }) => ({ where: { id, version }, data: { stock: { increment: 1 } } }))
      return (await db.product.updateManyVersioned(items)).map(({ version }, i) => [read[i]?.id, version])
    }),
  ),
  ours(
    'delete',
    1,
    () => [],
    onPrisma(async (db, call, _, hasRead) => {
      const { id } = await reading(db.category.create({ data: { name: call } }))
      hasRead()
      const where = { id, version: 0 }
      const both = await Promise.allSettled([1, 2].map(() => db.category.deleteVersioned({ where })))
      const codes = both.map((each) => (each.status === 'fulfilled' ? 'ok' : codeOf(each.reason)))
      return [id, ...codes]
    }),
  ),
  ours(
    'insert',
    5,
    key,
    onPrisma(async (db, _, [n]) => {
      const { record, replayed } = await db.payment.createIdempotent({
        where: { transactionId: `insert ${n}` },
        data: { amount: sizes.storyOf(num(n)).quantity },
      })
      return [record.id, replayed]
    }),
  ),
]

/** The calls of both engines that are a transaction. */
const TRANSACTION_KINDS: readonly Kind[] = [
  {
    ...ours('list raw', 1, list, async ({ db }, call, [id]) => {
      await rows(db, 'UPDATE "every thing" SET tags = tags || $1::text WHERE id = $2::int RETURNING 1', call, num(id))
    }),
    ...FOREIGN,
  },
  ours('once', 2, key, async ({ db }, call, [n]) => {
    const { result, replayed } = await db.$idempotent({ key: `once ${n}`, scope: 'campaign' }, async (tx) => {
      await note(tx, `once ${n} ${call}`)
      return call
    })
    return [result, replayed]
  }),
  ours(
    'job',
    1,
    (_, second) => [second],
    async ({ db }, call, [period]) => {
      const outcome = await db.$oncePer({ job: 'campaign', period: `p${period}` }, async (tx) => {
        await note(tx, `job ${period} ${call}`)
      })
      return [outcome.ran]
    },
  ),
  ours(
    'section',
    2,
    (chance) => [chance.below(sizes.SECTIONS.count)],
    ({ db }, call, [n]) => {
      const id = sizes.SECTIONS.first + num(n)
      return db.$withAdvisoryLock(
        ['section', num(n)],
        async (tx) => {
          // Long enough that another one would be in it as well, were there no lock.
          const [row] = await rows(tx, 'SELECT stock, pg_sleep(0.005)::text FROM "Product" WHERE id = $1::int', id)
          const stock = Number(row?.stock) + 1
          await rows(tx, 'UPDATE "Product" SET stock = $2::int WHERE id = $1::int', id, stock)
          await note(tx, `section ${n} ${stock} ${call}`)
          return stock
        },
        { timeout: DEADLINE, bodyTimeout: DEADLINE },
      )
    },
  ),
  ours(
    'transfer',
    2,
    (chance) => {
      const { first, count } = sizes.ACCOUNTS
      const from = chance.below(count)
      return [first + from, first + ((from + 1 + chance.below(count - 1)) % count), 1 + chance.below(9)]
    },
    ({ db }, call, [from, to, quantity]) =>
      db.$transactionWithRetry(async (tx) => {
        await rows(tx, 'UPDATE "Product" SET stock = stock - $2::int WHERE id = $1::int', from, quantity)
        await rows(tx, 'UPDATE "Product" SET stock = stock + $2::int WHERE id = $1::int', to, quantity)
        await note(tx, `transfer ${from} ${to} ${quantity} ${call}`)
      }),
  ),
  ours('mixed', 2, key, ({ db }, call, [n]) => {
    const { productId } = sizes.storyOf(num(n))
    return db.$transactionWithRetry(async (tx) => {
      await Promise.all([
        tx.$stock.move({ transactionId: call, item: item(productId), quantity: 1 }),
        note(tx, `mixed ${call}`),
        takeSerials(tx, call, sizes.SERIAL_POOLS.kept, 1),
        tx.$series.next('invoice', { transactionId: call }),
      ])
      if (num(n) % 4 === 0) throw new Refused(ON_PURPOSE)
    })
  }),
]

const STOCK_KINDS: readonly Kind[] = [
  ours('move', 8, key, async ({ db }, _, [n]) => {
    const { productId, quantity } = sizes.storyOf(num(n))
    const sign = num(n) % 3 === 0 ? 1 : -1
    const moved = await db.$stock.move({
      transactionId: `move ${n}`,
      item: item(productId),
      quantity: sign * quantity,
    })
    return [moved.replayed]
  }),
  ours('order', 3, key, async ({ db }, _, [n]) => {
    const { productId, other, quantity } = sizes.storyOf(num(n))
    const lines = [
      { item: item(productId), quantity: -quantity },
      { item: item(other), quantity: productId === other ? -quantity : quantity },
    ]
    return [(await db.$stock.moveAll({ transactionId: `order ${n}`, lines })).replayed]
  }),
  ours('reserve', 3, key, async ({ db }, _, [n]) => {
    const { productId, quantity } = sizes.storyOf(num(n))
    const expiresIn = num(n) % 7 === 0 ? 200 : 600_000
    const { replayed } = await db.$stock.reserve({
      transactionId: `basket ${n}`,
      item: item(productId),
      quantity,
      expiresIn,
    })
    return [replayed]
  }),
  ours('fulfil', 2, key, async ({ db }, _, [n]) => [
    (await db.$stock.fulfil({ transactionId: `basket ${n}` })).replayed,
  ]),
  ours('release', 1, key, async ({ db }, _, [n]) => {
    const { released, state } = await db.$stock.release({ transactionId: `basket ${n}` })
    return [released, state]
  }),
  ours('defer', 2, key, async ({ db }, _, [n]) => {
    const { productId, quantity } = sizes.storyOf(num(n))
    return [(await db.$stock.defer({ transactionId: `defer ${n}`, item: item(productId), quantity })).replayed]
  }),
  withoutDeadline('project', async ({ db }) => {
    await db.$stock.project({ batchSize: 100 })
  }),
  withoutDeadline('audit', ({ db }) => db.$stock.audit().then((found) => found.length)),
]

const NUMBER_KINDS: readonly Kind[] = [
  ours('serials', 3, key, async ({ db }, _, [n]) => takeSerials(db, `serials ${n}`, sizes.SERIAL_POOLS.kept, 2)),
  ours('lent', 1, key, async ({ db }, _, [n]) => takeSerials(db, `lent ${n}`, sizes.SERIAL_POOLS.released, 1)),
  ours('return', 1, key, async ({ db }, _, [n]) => {
    return (await db.$serials.release({ transactionId: `lent ${n}` })).released
  }),
  ours(
    'ticket',
    6,
    () => [],
    async ({ db }) => String((await db.$series.next('ticket')).value),
  ),
  ours('invoice', 2, key, ({ db }, _, [n]) =>
    db.$transactionWithRetry(async (tx) => {
      const { value, replayed } = await tx.$series.next('invoice', { transactionId: `invoice ${n}` })
      return [String(value), replayed]
    }),
  ),
  ours('document', 4, key, async ({ db }, _, [n]) => {
    const record = { amount: sizes.storyOf(num(n)).quantity }
    const { text, replayed } = await db.$series.create('document', { transactionId: `document ${n}`, record })
    return [text, replayed]
  }),
]

/**
 * A caller makes the calls of one department, so that a row that is held keeps a part of the callers only. That of
 * versioned rows is Prisma's alone.
 */
export const departmentsOf = (engine: EngineName): readonly (readonly Kind[])[] => [
  ...(engine === 'prisma' ? [PRISMA_KINDS, PRISMA_KINDS, PRISMA_KINDS] : []),
  TRANSACTION_KINDS,
  STOCK_KINDS,
  STOCK_KINDS,
  ORDER_KINDS,
  ORDER_KINDS,
  LEDGER_KINDS,
  LEDGER_KINDS,
  NUMBER_KINDS,
  NUMBER_KINDS,
]

export const ALL_KINDS: readonly Kind[] = departmentsOf('prisma').flat()

async function takeSerials(db: Tx, transactionId: string, productId: number, count: number) {
  const { serials, replayed } = await db.$serials.allocate({ transactionId, where: { productId }, count })
  return [serials.map(({ number }) => number).sort(), replayed]
}

export function codeOf(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'code' in error) return String(error.code)
  return String(error)
}
