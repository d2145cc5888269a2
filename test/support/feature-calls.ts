import { randomInt, randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import { type AllDb, modelsOf, outboxOf } from './all-features.js'
import { rows } from './engines.js'
import { isOnCitus } from './on-citus.js'

export type Query = (sql: string, values?: unknown[]) => Promise<object[]>

/** The records that the calls of one test are about. */
export interface Subject {
  readonly key: string
  readonly productId: number
  readonly item: { readonly productId: number; readonly warehouse: string }
  /** Of `Product`: one for all callers, and then one for each. */
  readonly ids: readonly number[]
  readonly parcel: number
}

/** A feature by a call of it, and how to count what its calls have left. */
export interface Feature {
  /** @param caller 0, 1, 2, …, at most 19 */
  call(db: AllDb, subject: Subject, caller: number): PromiseLike<unknown>
  /** The effect of `each` call, or `once` for all of them. */
  readonly effect: 'each' | 'once'
  counted(query: Query, subject: Subject): Promise<number>
}

const ON_HAND = 100
/** How many callers a subject has records for. */
const MOST_CALLERS = 20
const PATIENT = { timeout: 60_000, bodyTimeout: 60_000 }
/** A caller that does not wait for a lease fails after two seconds without an answer. */
const LEASE = { ttl: 60_000, wait: 60_000 }

/** Makes the records, past this package. */
export async function newSubject(query: Query): Promise<Subject> {
  const [key, productId, warehouse] = [randomUUID(), randomInt(1, 2 ** 31), 'main']
  await query(`INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, $2, $3)`, [
    productId,
    warehouse,
    ON_HAND,
  ])
  await query(
    `INSERT INTO "StockMovement" ("transactionId", line, "productId", warehouse, quantity) VALUES ($1, 0, $2, $3, $4)`,
    [`opening ${key}`, productId, warehouse, ON_HAND],
  )
  await query(`INSERT INTO "Serial" ("productId", number) SELECT $1, 'S-' || n FROM generate_series(1, $2) AS n`, [
    productId,
    MOST_CALLERS,
  ])
  const products = await query(
    `INSERT INTO "Product" (name, "updatedAt") SELECT 'every feature', now() FROM generate_series(0, $1) RETURNING id`,
    [MOST_CALLERS],
  )
  const [parcel] = await query(`INSERT INTO "Parcel" (code) VALUES ($1) RETURNING id`, [key])
  const idOf = (row: object | undefined) => Number((row as { id: number } | undefined)?.id)
  return { key, productId, item: { productId, warehouse }, ids: products.map(idOf), parcel: idOf(parcel) }
}

const note = (tx: object, { key }: Subject) => rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', key)

async function countOf(query: Query, text: string, values: unknown[]): Promise<number> {
  const [row] = await query(`SELECT (${text})::int AS n`, values)
  return (row as { n: number }).n
}

const notes = (query: Query, { key }: Subject) => countOf(query, 'SELECT count(*) FROM "Note" WHERE text = $1', [key])
const taken = (query: Query, { productId }: Subject) =>
  countOf(query, `SELECT ${ON_HAND} - "onHand" FROM "Stock" WHERE "productId" = $1`, [productId])
const added = async (query: Query, subject: Subject) => 0 - (await taken(query, subject))
const stockOf = (query: Query, { ids }: Subject) =>
  countOf(query, 'SELECT stock FROM "Product" WHERE id = $1', [ids[0]])
const payments = (query: Query, { key }: Subject) =>
  countOf(query, 'SELECT count(*) FROM "Payment" WHERE starts_with("transactionId", $1)', [key])

/** Reads and writes in two statements: without a lock or a level it loses what others write meanwhile. */
async function addOne(tx: object, { ids }: Subject): Promise<void> {
  const [row] = await rows(tx, 'SELECT stock FROM "Product" WHERE id = $1', ids[0])
  await rows(tx, 'UPDATE "Product" SET stock = $2 WHERE id = $1', ids[0], Number(row?.stock) + 1)
}

/** Every feature that both engines have. */
export const FEATURES: Readonly<Record<string, Feature>> = {
  $transactionWithRetry: {
    call: (db, subject) =>
      db.$transactionWithRetry((tx) => addOne(tx, subject), {
        isolationLevel: 'Serializable',
        retry: { attempts: 1_000 },
      }),
    effect: 'each',
    counted: stockOf,
  },
  $afterCommit: {
    call: (db, subject) =>
      db.$transactionWithRetry(async (tx) => {
        tx.$afterCommit(() => note(db, subject))
        await addOne(tx, subject)
      }),
    effect: 'each',
    counted: notes,
  },
  $withAdvisoryLock: {
    call: (db, subject) => db.$withAdvisoryLock(subject.key, (tx) => addOne(tx, subject), PATIENT),
    effect: 'each',
    counted: stockOf,
  },
  $advisoryXactLock: {
    call: (db, subject) =>
      db.$transactionWithRetry(
        async (tx) => {
          await tx.$advisoryXactLock(subject.key, { timeout: 60_000 })
          await addOne(tx, subject)
        },
        { isolationLevel: 'ReadCommitted' },
      ),
    effect: 'each',
    counted: stockOf,
  },
  $idempotent: {
    call: (db, subject) => db.$idempotent({ key: subject.key, scope: 'features' }, (tx) => note(tx, subject)),
    effect: 'once',
    counted: notes,
  },
  $oncePer: {
    call: (db, subject) =>
      db.$oncePer(
        { job: subject.key, period: isOnCitus ? { every: '1d' } : { atLeast: '1h' } },
        async (tx) => void (await note(tx, subject)),
      ),
    effect: 'once',
    counted: notes,
  },
  '$stock.move': {
    call: (db, { item }) => db.$stock.move({ transactionId: randomUUID(), item, quantity: -1 }),
    effect: 'each',
    counted: taken,
  },
  '$stock.moveAll in a transaction': {
    call: (db, { item }) =>
      db.$transactionWithRetry((tx) =>
        tx.$stock.moveAll({ transactionId: randomUUID(), lines: [{ item, quantity: -1 }] }),
      ),
    effect: 'each',
    counted: taken,
  },
  '$stock.reserve and fulfil': {
    call: async (db, { item }) => {
      const transactionId = randomUUID()
      await db.$stock.reserve({ transactionId, item, quantity: 1, expiresIn: 600_000 })
      await db.$stock.fulfil({ transactionId })
    },
    effect: 'each',
    counted: taken,
  },
  '$stock.defer and project': {
    call: async (db, { item }) => {
      await db.$stock.defer({ transactionId: randomUUID(), item, quantity: 1 })
      await db.$stock.project()
    },
    effect: 'each',
    counted: added,
  },
  '$serials.allocate': {
    call: (db, { productId }) => db.$serials.allocate({ transactionId: randomUUID(), where: { productId }, count: 1 }),
    effect: 'each',
    counted: (query, { productId }) =>
      countOf(query, 'SELECT count("transactionId") FROM "Serial" WHERE "productId" = $1', [productId]),
  },
  '$series.next': {
    call: (db, subject, caller) =>
      db.$transactionWithRetry(async (tx) => {
        await tx.$series.next('invoice', { transactionId: `${subject.key} ${caller}` })
        await note(tx, subject)
      }),
    effect: 'each',
    counted: notes,
  },
  '$series.next in blocks': {
    call: async (db, subject) => {
      await db.$series.next('ticket')
      await note(db, subject)
    },
    effect: 'each',
    counted: notes,
  },
  '$series.create': {
    call: (db, { key }, caller) =>
      db.$series.create('payment', { transactionId: `${key} ${caller}`, record: { amount: '1' } }),
    effect: 'each',
    counted: payments,
  },
  $withLease: {
    call: (db, subject, caller) =>
      db.$withLease(`${subject.key} ${caller}`, LEASE, async () => void (await note(db, subject))),
    effect: 'each',
    counted: notes,
  },
  $job: {
    call: (db, subject, caller) =>
      db.$job(`${subject.key} ${caller}`, { every: '1d', ...LEASE }, async () => void (await note(db, subject))),
    effect: 'each',
    counted: notes,
  },
  $steps: {
    call: (db, subject, caller) =>
      db.$steps({ key: `${subject.key} ${caller}`, scope: 'features' }, async (op) => {
        await op.step('write', async (tx) => void (await note(tx, subject)))
        return op.external('ask', async () => 7)
      }),
    effect: 'each',
    counted: notes,
  },
  $outbox: {
    call: async (db, subject, caller) => {
      await db.$transactionWithRetry((tx) => outboxOf(tx).add(subject.key, { n: caller }))
      await db.$outbox.relay({ [subject.key]: (_, tx) => note(tx, subject) }, { until: 'empty', concurrency: 1 })
    },
    effect: 'each',
    counted: notes,
  },
  $inbox: {
    call: (db, subject) => db.$inbox('features', subject.key, (tx) => note(tx, subject)),
    effect: 'once',
    counted: notes,
  },
}

/** Those of the models, which Prisma alone has. */
export const MODEL_FEATURES: Readonly<Record<string, Feature>> = {
  'updateVersioned with a function': {
    call: (db, { ids }) =>
      modelsOf(db).product.updateVersioned({ where: { id: ids[0] }, data: ({ stock }) => ({ stock: stock + 1 }) }),
    effect: 'each',
    counted: stockOf,
  },
  'updateVersioned with relations': {
    call: (db, { ids, key }) =>
      modelsOf(db).product.updateVersioned({
        where: { id: ids[0] },
        data: ({ stock }) => ({
          stock: stock + 1,
          category: { connectOrCreate: { where: { name: key }, create: { name: key } } },
        }),
      }),
    effect: 'each',
    counted: stockOf,
  },
  tryUpdateVersioned: {
    call: (db, { ids }) =>
      modelsOf(db).product.tryUpdateVersioned({
        where: { id: ids[0] as number, version: 0 },
        data: { stock: { increment: 1 } },
      }),
    effect: 'once',
    counted: stockOf,
  },
  updateManyVersioned: {
    call: (db, { ids }) =>
      modelsOf(db).product.updateManyVersioned(
        [{ where: { id: ids[0] as number, version: 0 }, data: { stock: { increment: 1 } } }],
        { mode: 'each' },
      ),
    effect: 'once',
    counted: stockOf,
  },
  deleteVersioned: {
    call: (db, { ids }, caller) =>
      modelsOf(db).product.deleteVersioned({ where: { id: ids[caller + 1] as number, version: 0 } }),
    effect: 'each',
    counted: (query, { ids }) =>
      countOf(query, `SELECT ${MOST_CALLERS + 1} - count(*) FROM "Product" WHERE id = ANY ($1)`, [ids]),
  },
  createIdempotent: {
    call: (db, { key }) =>
      modelsOf(db).payment.createIdempotent({ where: { transactionId: key }, data: { amount: 1 } }),
    effect: 'once',
    counted: payments,
  },
  'createIdempotent with relations': {
    call: (db, { key }) =>
      modelsOf(db).payment.createIdempotent({
        where: { transactionId: key },
        data: { amount: 1, items: { create: [{ text: key }] } },
      }),
    effect: 'once',
    counted: (query, { key }) => countOf(query, 'SELECT count(*) FROM "PaymentItem" WHERE text = $1', [key]),
  },
  findManyForUpdate: {
    call: (db, subject) =>
      modelsOf(db).$transactionWithRetry(async (tx) => {
        await tx.product.findManyForUpdate({ where: { id: subject.ids[0] } })
        await addOne(tx, subject)
      }),
    effect: 'each',
    counted: stockOf,
  },
  transition: {
    call: (db, { parcel }) => modelsOf(db).parcel.transition({ where: { id: parcel }, to: 'PAID' }),
    effect: 'once',
    counted: (query, { parcel }) => countOf(query, 'SELECT version FROM "Parcel" WHERE id = $1', [parcel]),
  },
}

/** The features of an engine. */
export function featuresOf(engine: 'prisma' | 'pg'): Readonly<Record<string, Feature>> {
  return engine === 'pg' ? FEATURES : { ...FEATURES, ...MODEL_FEATURES }
}

/** A call of a feature, and then so many at once, have left what they are to leave. */
export async function expectCarried(
  { call, effect, counted }: Feature,
  { db, query, callers }: { readonly db: AllDb; readonly query: Query; readonly callers: number },
): Promise<void> {
  const subject = await newSubject(query)
  await call(db, subject, 0)
  expect(await counted(query, subject)).toBe(1)

  await Promise.all(Array.from({ length: callers }, (_, caller) => call(db, subject, caller + 1)))

  expect(await counted(query, subject)).toBe(effect === 'once' ? 1 : 1 + callers)
}
