import { AsyncLocalStorage } from 'node:async_hooks'
import { randomInt, randomUUID } from 'node:crypto'
import { expect, onTestFinished, test, vi } from 'vitest'
import { series, stock } from '../../src/erp.js'
import { type ConcurrencyOptions, concurrency, type ObservedWork } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { rejectionOf } from '../support/rejection.js'
import { STOCK } from '../support/stock-models.js'
import { watchUnhandled } from '../support/unhandled.js'

const database = useDatabase()
const connect = (options: ConcurrencyOptions) => database.connect().client.$extends(concurrency(options))
const failure = new Error('the listener failed')

/** A call that tells of a lock, and one that tells of a replay. */
async function eventfulCalls(db: ReturnType<typeof connect>) {
  const call = { key: randomUUID(), scope: 'test' }
  const first = await db.$idempotent(call, () => db.$withAdvisoryLock(call.key, async () => 'done'))
  const second = await db.$idempotent(call, async () => 'again')
  return [first, second]
}
const ANSWERS = [
  { result: 'done', replayed: false },
  { result: 'done', replayed: true },
]

test('a listener that throws changes nothing, and is reported once', async () => {
  const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  const onEvent = vi.fn(() => {
    throw failure
  })
  expect(await eventfulCalls(connect({ onEvent }))).toEqual(ANSWERS)
  expect(onEvent.mock.calls.length).toBeGreaterThan(1)
  expect(warning.mock.calls).toEqual([[expect.stringContaining('the listener failed')]])
  warning.mockRestore()
})

test('a listener whose promise is rejected changes nothing, and is reported once', async () => {
  const unhandled = watchUnhandled()
  const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  expect(await eventfulCalls(connect({ onEvent: async () => Promise.reject(failure) }))).toEqual(ANSWERS)
  expect(await unhandled.collected()).toEqual([])
  expect(warning).toHaveBeenCalledTimes(1)
  warning.mockRestore()
})

test('a listener that throws changes nothing where there is no process to warn', async () => {
  const db = connect({
    onEvent() {
      throw failure
    },
  })
  const { emitWarning } = process
  Object.assign(process, { emitWarning: undefined })
  try {
    expect(await eventfulCalls(db)).toEqual(ANSWERS)
  } finally {
    Object.assign(process, { emitWarning })
  }
})

test('a listener may make calls of its own', async () => {
  const inner: Promise<unknown>[] = []
  const db: ReturnType<typeof connect> = connect({
    onEvent: ({ type }) => {
      if (type === 'replay') inner.push(Promise.resolve(db.$withAdvisoryLock(randomUUID(), async () => 'inner')))
    },
  })
  await eventfulCalls(db)
  expect(await Promise.all(inner)).toEqual(['inner'])
})

test('options that are no listener are refused, by their names', () => {
  const options = { onEvent: 1, around: 1, events: { keys: 'all' } } as unknown as ConcurrencyOptions
  expect(() => connect(options)).toThrow(/onEvent: must be a function\nevents.keys: must be 'hash' or 'plain'\naround/)
})

test('around is given every public call and every batch, and runs it', async () => {
  const works: Pick<ObservedWork, 'kind' | 'operation' | 'model'>[] = []
  const around: ConcurrencyOptions['around'] = ({ kind, operation, model }, run) => {
    works.push({ kind, operation, model })
    return run()
  }
  const db = connect({ around }).$extends(stock(STOCK)).$extends(series())
  await rejectionOf(db.product.updateVersioned({ where: { id: -1, version: 0 }, data: { stock: 1 } }))
  await db.$transactionWithRetry((tx) => tx.$series.next(randomUUID()))
  await Promise.all([db.$stock.project(), db.$stock.project()])
  const ids = [randomUUID(), randomUUID()]
  await Promise.all(
    ids.map((transactionId) =>
      db.payment.createIdempotent({ where: { transactionId }, data: { amount: 1, currency: 'EUR' } }),
    ),
  )
  const call = (operation: string, model?: string) => ({ kind: 'call', operation, model })
  expect(works).toEqual([
    call('updateVersioned', 'Product'),
    call('$transactionWithRetry'),
    call('$series.next'),
    call('$stock.project'),
    call('$stock.project'),
    call('createIdempotent', 'Payment'),
    call('createIdempotent', 'Payment'),
    { kind: 'batch', operation: 'createIdempotent', model: 'Payment' },
  ])
})

test('a call runs once, and has its own result and error, whatever around does', async () => {
  const unhandled = watchUnhandled()
  const warning = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
  onTestFinished(() => warning.mockRestore())
  const behaviours: NonNullable<ConcurrencyOptions['around']>[] = [
    () => 'nothing',
    () => {
      throw failure
    },
    async (_, run) => {
      await run()
      await run()
      throw failure
    },
  ]
  for (const around of behaviours) {
    const db = connect({ around })
    const body = vi.fn(async () => 'done')
    expect(await db.$withAdvisoryLock(randomUUID(), body)).toBe('done')
    expect(body).toHaveBeenCalledTimes(1)
    const no = new Error('no')
    expect(await rejectionOf(db.$withAdvisoryLock(randomUUID(), () => Promise.reject(no)))).toBe(no)
  }
  expect(await unhandled.collected()).toEqual([])
})

test('a call that has waited for others, and then goes alone, is sent in the context that around has given it', async () => {
  const calls = new AsyncLocalStorage<number>()
  const { client, statements } = database.connect()
  const db = client.$extends(concurrency({ around: (work, run) => calls.run(work.id, run) })).$extends(stock(STOCK))
  const item = { productId: randomInt(1, 2 ** 31), warehouse: 'main' }
  await database.query(`INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, 'main', 10)`, [
    item.productId,
  ])
  const move = () => db.$stock.move({ transactionId: randomUUID(), item, quantity: 1 })
  await move() // the columns are known
  const sentIn: (number | undefined)[] = []
  let second: Promise<unknown> | undefined
  statements.push = (sql) => {
    if (sql.includes('INSERT INTO')) sentIn.push(calls.getStore())
    second ??= move().then() // waits for the item
    return 0
  }
  await move()
  await second
  expect(sentIn).toHaveLength(2)
  expect(new Set(sentIn).size).toBe(2)
})

test('a listener costs no statement: the same are sent, in the same batches', async () => {
  const run = async (options: ConcurrencyOptions) => {
    const { client, statements } = database.connect()
    const db = client.$extends(concurrency(options)).$extends(stock(STOCK))
    const key = randomUUID()
    await db.$idempotent({ key, scope: 'test' }, async (tx) => tx.note.create({ data: { text: key } }))
    await db.$withAdvisoryLock(key, async (tx) => tx.note.create({ data: { text: key } }))
    const ids = [randomUUID(), randomUUID(), randomUUID()]
    await Promise.all(
      ids.map((transactionId) =>
        db.payment.createIdempotent({ where: { transactionId }, data: { amount: 1, currency: 'EUR' } }),
      ),
    )
    return statements
  }
  expect(await run({ onEvent: () => {}, around: (_, run) => run() })).toEqual(await run({}))
})
