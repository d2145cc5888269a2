/** The curves of growth: each is one call of this library, at several sizes of one thing. */
import type pg from 'pg'
import type { GrowthCurve } from '../result.js'
import { fillItems } from '../workloads/items.js'
import type { openOurs } from './client.js'

type Db = ReturnType<typeof openOurs>
/** The number of the call among those of its process, and of its caller. */
interface Place {
  readonly n: number
  readonly at: number
}

export interface Curve extends Pick<GrowthCurve, 'id' | 'title' | 'axis'> {
  readonly at: readonly number[]
  /** The database in which a point is measured; points with the same one share it. */
  readonly database: (at: number) => { readonly id: string; fill(database: pg.ClientBase): Promise<void> }
  readonly callers: (at: number) => number
  readonly processes: (at: number) => number
  /** Before each call, and not part of it. Only with one caller. */
  readonly before?: (db: Db, at: number) => Promise<unknown>
  readonly call: (db: Db, place: Place) => Promise<unknown>
}

const ITEMS = 1_000
const THOUSANDS = [1_000, 10_000, 100_000, 1_000_000]
const CALLERS = [1, 16, 256, 1_000, 5_000]

const one = () => 1
const id = () => crypto.randomUUID()
const anItem = () => 1 + Math.floor(Math.random() * ITEMS)
const change = (n: number) => (n % 2 ? -1 : 1)
const amount = 1

const plain = () => ({
  id: 'growth',
  async fill(database: pg.ClientBase) {
    await fillItems(database, ITEMS, 0)
    await database.query(`INSERT INTO stock (item_id, "onHand") SELECT id, 1000000 FROM item`)
  },
})

/** So many movements, over 1,000 items or more, all of them in the balances, and the indexes that the library prints. */
const ledger = (rows: number, items = ITEMS) => ({
  id: `growth-ledger-${rows}-${items}`,
  async fill(database: pg.ClientBase) {
    await fillItems(database, items, 0)
    await database.query(`
INSERT INTO stock (item_id, "onHand") SELECT id, ${rows / items} FROM item;
INSERT INTO stock_movement (transaction_id, line, item_id, quantity, applied)
SELECT 'fill-' || n, 0, 1 + n % ${items}, 1, true FROM generate_series(1, ${rows}) AS n;
CREATE INDEX ON stock_movement (item_id);
CREATE INDEX ON stock_movement (applied)`)
  },
})

/** One item that has moved so often. */
const history = (rows: number) => ({
  id: `growth-history-${rows}`,
  async fill(database: pg.ClientBase) {
    await database.query(`
INSERT INTO history_stock (item_id, "onHand", sequence) VALUES (1, ${rows}, ${rows});
INSERT INTO history_stock_movement (transaction_id, line, item_id, quantity, applied, sequence, balance, at)
SELECT 'fill-' || n, 0, 1, 1, true, n, n, now() FROM generate_series(1, ${rows}) AS n;
ANALYZE history_stock_movement`)
  },
})

const keys = (rows: number) => ({
  id: `growth-keys-${rows}`,
  async fill(database: pg.ClientBase) {
    await database.query(`
INSERT INTO idempotency_key (scope, key, request, answer)
SELECT 'growth', md5(n::text), 'null', '1' FROM generate_series(1, ${rows}) AS n`)
  },
})

const deferMany = (db: Db, count: number) =>
  db.$executeRawUnsafe(`
INSERT INTO stock_movement (transaction_id, line, item_id, quantity, applied)
SELECT gen_random_uuid()::text, 0, 1 + n % ${ITEMS}, 1, false FROM generate_series(1, ${count}) AS n`)

const operation = (db: Db) =>
  db.$idempotent({ scope: 'growth', key: id() }, async (tx) => {
    await tx.payment.create({ data: { transactionId: id(), amount } })
  })
const oneRow = (db: Db) => db.item.updateVersioned({ where: { id: 1 }, data: ({ stock }) => ({ stock: stock + 1 }) })
const move = (db: Db, item: number, quantity: number) => db.$stock.move({ transactionId: id(), item, quantity })

export const CURVES: readonly Curve[] = [
  ...overLedger('move', '$stock.move', { call: (db, { n }) => move(db, 1, change(n)) }),
  ...overLedger('audit', '$stock.audit', { call: (db) => db.$stock.audit() }),
  ...overLedger('project', '$stock.project of 1,000 deferred movements', {
    before: (db) => deferMany(db, ITEMS),
    call: (db) => db.$stock.project(),
  }),
  {
    ...{
      id: 'history',
      title: '$stock.history, 100 movements from any place on',
      axis: 'movements of an item',
      at: THOUSANDS,
    },
    ...{ database: history, callers: one, processes: one },
    call: (db, { at }) =>
      db.$past.history({ item: 1, limit: 100, after: { sequence: Math.floor(Math.random() * at) } }),
  },
  {
    ...{ id: 'deferred', title: '$stock.project', axis: 'deferred movements', at: [1_000, 10_000, 100_000] },
    ...{ database: () => ledger(ITEMS), callers: one, processes: one },
    before: deferMany,
    call: (db) => db.$stock.project(),
  },
  {
    ...{ id: 'items', title: '$stock.audit', axis: 'items', at: [1_000, 10_000, 100_000, 1_000_000] },
    ...{ database: (at) => ledger(at, at), callers: one, processes: one },
    call: (db) => db.$stock.audit(),
  },
  {
    ...{ id: 'lines', title: '$stock.moveAll', axis: 'lines of an order', at: [1, 10, 100, 1_000] },
    ...{ database: plain, callers: one, processes: one },
    call: (db, { n, at }) => {
      const lines = Array.from({ length: at }, (_, line) => ({ item: 1 + line, quantity: change(n) }))
      return db.$stock.moveAll({ transactionId: id(), lines })
    },
  },
  {
    ...{ id: 'keys', title: '$idempotent', axis: 'keys in the table', at: THOUSANDS },
    ...{ database: keys, callers: one, processes: one, call: operation },
  },
  ...overCallers('row', 'updateVersioned by a function, one row', oneRow),
  ...overCallers('rows', 'updateVersioned by a function, 1,000 rows', (db) =>
    db.item.updateVersioned({ where: { id: anItem() }, data: ({ stock }) => ({ stock: stock + 1 }) }),
  ),
  ...overCallers('insert', 'createIdempotent', (db) =>
    db.payment.createIdempotent({ where: { transactionId: id() }, data: { amount } }),
  ),
  ...overCallers('move', '$stock.move, one item', (db, { n }) => move(db, 1, change(n))),
  ...overCallers('operation', '$idempotent', operation),
  ...overCallers('lock', '$withAdvisoryLock, one key', (db) =>
    db.$withAdvisoryLock('growth', (tx) => tx.payment.create({ data: { transactionId: id(), amount } }), {
      timeout: 60_000,
    }),
  ),
  ...overProcesses('row', 'updateVersioned by a function, one row', oneRow),
  ...overProcesses('move', '$stock.move, one item', (db, { n }) => move(db, 1, change(n))),
]

function overLedger(name: string, title: string, work: Pick<Curve, 'before' | 'call'>): Curve[] {
  const [axis, at] = ['rows in the ledger', THOUSANDS]
  return [{ id: `ledger-${name}`, title, axis, at, database: ledger, callers: one, processes: one, ...work }]
}

function overCallers(name: string, title: string, call: Curve['call']): Curve[] {
  const [axis, at] = ['callers', CALLERS]
  return [{ id: `callers-${name}`, title, axis, at, database: plain, callers: (n) => n, processes: one, call }]
}

function overProcesses(name: string, title: string, call: Curve['call']): Curve[] {
  const [axis, at] = ['processes', [1, 2, 4, 8]]
  const callers = () => 8
  return [
    {
      id: `processes-${name}`,
      title: `${title}, 8 callers each`,
      axis,
      at,
      database: plain,
      callers,
      processes: (n) => n,
      call,
    },
  ]
}
