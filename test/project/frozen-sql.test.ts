import { readdir, readFile } from 'node:fs/promises'
import { expect, onTestFinished, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import { serials } from '../../src/serials/extension.js'
import { series } from '../../src/series/extension.js'
import { stock } from '../../src/stock/extension.js'
import { replicas } from '../../src/work.js'
import { type Client, clientOf, type Tx } from '../support/calls-on-tx.js'
import { createClient, useDatabase } from '../support/clients.js'
import { DEPOT } from '../support/depot.js'
import { DEVICES } from '../support/devices.js'
import { PALLET } from '../support/pallet-models.js'
import { passingTimers } from '../support/passing-time.js'
import { PARALLEL } from '../support/scoped-series.js'

const database = useDatabase()

/** Methods that have no count, and why; the reference says it below its table. */
const UNCOUNTED: Readonly<Record<string, string>> = JSON.parse(
  await readFile(new URL('../frozen/uncounted.json', import.meta.url), 'utf8'),
)

type Db = Client | Tx
type Payment = Parameters<Parameters<Client['$steps']>[1]>[0]

const ITEM = { productId: 1, warehouse: 'main' }
/** A reservation that is open makes the other calls of its item look whether it has ended. */
const RESERVED = { productId: 11, warehouse: 'main' }
const ten = Array.from({ length: 10 }, (_, index) => ({
  item: { productId: index + 1, warehouse: 'main' },
  quantity: 1,
}))

/** One call each, on a client or on a `tx`, under transaction ids of its own. Its data is read elsewhere. */
const CALLS: Readonly<Record<string, (db: Db, id: string) => Promise<unknown>>> = {
  'updateVersioned with an object': async (db) =>
    db.order.updateVersioned({ where: { id: 1, version: await versionOf(1) }, data: { customer: 'a' } }),
  'updateVersioned with a function': (db) =>
    db.order.updateVersioned({ where: { id: 1 }, data: ({ customer }) => ({ customer }) }),
  'updateVersioned with a relation in its answer': (db) =>
    db.order.updateVersioned({ where: { id: 1 }, data: () => ({ customer: 'b' }), include: { lines: true } }),
  'tryUpdateVersioned of a stale version': (db) =>
    db.order.tryUpdateVersioned({ where: { id: 1, version: 2_000_000_000 }, data: { customer: 'a' } }),
  updateManyVersioned: async (db) =>
    db.order.updateManyVersioned([
      { where: { id: 1, version: await versionOf(1) }, data: { customer: 'c' } },
      { where: { id: 2, version: await versionOf(2) }, data: { customer: 'c' } },
    ]),
  deleteVersioned: async (db) => {
    const [row] = await database.query(`INSERT INTO "Order" (customer) VALUES ('d') RETURNING id`)
    return db.order.deleteVersioned({ where: { id: Number(row?.id), version: 0 } })
  },
  transition: async (db) => {
    const [row] = await database.query('INSERT INTO "Errand" DEFAULT VALUES RETURNING id')
    return db.errand.transition({ where: { id: Number(row?.id) }, to: 'done' })
  },
  'transition with a history': async (db, code) => {
    await database.query('INSERT INTO "Parcel" (code) VALUES ($1)', [code])
    return db.parcel.transition({ where: { code }, to: 'PAID' })
  },
  'transition with a message': async (db, key) => {
    const [row] = await database.query('INSERT INTO "Errand" DEFAULT VALUES RETURNING id')
    const outbox = { topic: 'moved', payload: { n: 1 }, key }
    return db.errand.transition({ where: { id: Number(row?.id) }, to: 'done', outbox })
  },
  'createIdempotent, new': (db, transactionId) =>
    db.payment.createIdempotent({ where: { transactionId }, data: { amount: 1 } }),
  'createIdempotent, a duplicate': (db) =>
    db.payment.createIdempotent({ where: { transactionId: 'known' }, data: { amount: 1 }, match: ['amount'] }),
  'createIdempotent with a child': (db, transactionId) =>
    db.payment.createIdempotent({
      where: { transactionId },
      data: { amount: 1, items: { create: { text: 'child' } } },
    }),
  '$idempotent, new': (db, key) => db.$idempotent({ scope: 'frozen', key }, (tx) => tx.order.count()),
  '$idempotent, a duplicate': (db) => db.$idempotent({ scope: 'frozen', key: 'known' }, (tx) => tx.order.count()),
  $transaction: (db) => (db as Tx).$transaction((tx) => tx.order.count()),
  $transactionWithRetry: (db) => db.$transactionWithRetry((tx) => tx.order.count()),
  '$stock.move': (db, transactionId) => db.$stock.move({ transactionId, item: ITEM, quantity: 1 }),
  '$stock.moveAll of ten lines': (db, transactionId) => db.$stock.moveAll({ transactionId, lines: ten }),
  '$stock.defer': (db, transactionId) => db.$stock.defer({ transactionId, item: ITEM, quantity: 1 }),
  '$stock.project': (db) => db.$stock.project(),
  '$stock.reserve': (db, transactionId) =>
    db.$stock.reserve({ transactionId, item: RESERVED, quantity: 1, expiresIn: 60_000 }),
  '$stock.extend': (db) => db.$stock.extend({ transactionId: 'held', expiresIn: 60_000 }),
  '$stock.move of as much as there is': (db, transactionId) =>
    db.$stock.move({ transactionId, item: ITEM, quantity: -1, take: 'available' }),
  '$stock.release of a reservation that has ended': (db) => db.$stock.release({ transactionId: 'nothing' }),
  '$stock.count': (db, transactionId) => db.$stock.count({ transactionId, item: ITEM, counted: 100 }),
  '$stock.moveAll from places': (db, transactionId) =>
    db.$stock.moveAll({ transactionId, lines: [{ from: { items: [ITEM, RESERVED], quantity: 1 } }] }),
  '$stock.move that creates its item': (db, transactionId) =>
    db.$stock.move({
      transactionId,
      item: { productId: 1, warehouse: transactionId },
      quantity: 1,
      createMissing: { minimum: null },
    }),
  '$stock.trace': (db) => db.$stock.trace({ item: ITEM }),
  '$stock.balance': (db) => db.$stock.balance({ item: ITEM }),
  '$stock.balances': (db) => db.$stock.balances({ where: { warehouse: 'main' }, after: ITEM }),
  '$stock.history': (db) => db.$silos.history({ item: 'one' }),
  '$stock.balanceAt': (db) => db.$silos.balanceAt({ item: 'one', at: new Date() }),
  '$stock.reservations': (db) => db.$stock.reservations({ item: ITEM, state: 'active' }),
  '$stock.statement': (db, transactionId) => db.$stock.statement({ transactionId }),
  '$stock.move of an item with a history': (db, transactionId) =>
    db.$silos.move({ transactionId, item: 'one', quantity: 1 }),
  '$stock.setSlots': (db) => db.$tickets.setSlots({ item: 'opera', count: 2 }),
  '$stock.move of an item with slots': (db, transactionId) =>
    db.$tickets.move({ transactionId, item: 'opera', quantity: -1 }),
  '$stock.move of an item with slots that borrows': async (db, transactionId) => {
    await database.query(`UPDATE "Ticket" SET "onHand" = 500`)
    await db.$tickets.move({ transactionId, item: 'opera', quantity: -600 })
  },
  '$stock.project of a stock with a history': (db) => db.$silos.project(),
  '$stock.audit': (db) => db.$stock.audit(),
  '$stock.audit of a stock with a history': (db) => db.$silos.audit(),
  '$serials.allocate': (db, transactionId) =>
    db.$serials.allocate({ transactionId, where: { productId: 1 }, count: 3 }),
  '$serials.allocate by numbers': (db, transactionId) =>
    db.$serials.allocate({ transactionId, where: { productId: 3 }, numbers: [transactionId] }),
  '$serials.release': (db) => db.$serials.release({ transactionId: 'known' }),
  '$serials.import': (db, transactionId) =>
    db.$serials.import({ transactionId, data: { productId: 2 }, numbers: [transactionId] }),
  '$serials.free': (db) => db.$serials.free({ productId: 1 }),
  '$series.create': (db, transactionId) => db.$series.create('payment', { transactionId, record: { amount: 1 } }),
  '$series.gaps': (db) => db.$series.gaps('in blocks'),
  '$series.peek': (db) => db.$series.peek('frozen'),
  $inbox: (db, messageId) => db.$inbox('frozen', messageId, (tx) => tx.order.count()),
  '$inbox, a duplicate': (db) => db.$inbox('frozen', 'known', (tx) => tx.order.count()),
  '$inbox with a version': (db, id) => db.$inbox('frozen', { id, key: id, version: 1 }, (tx) => tx.order.count()),
  '$outbox.dead': (db) => db.$outbox.dead({ topic: 'frozen' }),
  '$outbox.redrive': (db) => db.$outbox.redrive({ topic: 'frozen' }),
  '$outbox.discard': (db) => db.$outbox.discard({ topic: 'frozen' }),
}

/** An operation of two steps, the second one outside of the database. */
const inSteps = (db: Db, key: string, end: (op: Payment) => Promise<unknown> = async () => {}) =>
  (db as Client).$steps({ scope: 'frozen', key }, async (op) => {
    await op.step('one', { run: (tx) => tx.order.count(), undo: (tx) => tx.order.count() })
    await op.external('two', async () => 2)
    await end(op)
  })

async function versionOf(id: number): Promise<number> {
  const rows = await database.query('SELECT version FROM "Order" WHERE id = $1', [id])
  return Number(rows[0]?.version)
}

type Depot = Pick<ReturnType<ReturnType<typeof depotOf>['$stock']['in']>, 'close' | 'prune'>

const depotOf = ({ client }: ReturnType<typeof database.connect>) =>
  client.$extends(concurrency()).$extends(stock(DEPOT))

/** At the end of a period: those of each round have something to do. */
const ENDS: Readonly<Record<string, (depot: Depot, round: number) => Promise<unknown>>> = {
  '$stock.close': (depot, round) => depot.close({ until: `202${round}-12-31` }),
  '$stock.prune': (depot, round) => depot.prune({ forgetBefore: `202${round}-12-31` }),
}

/** Serials with a history, and series whose numbers are taken in parallel, on a client of their own. */
const othersOf = ({ client }: ReturnType<typeof database.connect>) =>
  client.$extends(concurrency()).$extends(serials(DEVICES)).$extends(series(PARALLEL))
type Others = Pick<ReturnType<typeof othersOf>, '$serials' | '$series'>
type OtherCalls = Readonly<Record<string, (db: Others, id: string) => Promise<unknown>>>

const OTHERS: OtherCalls = {
  '$serials.allocate with a history': ({ $serials }, transactionId) =>
    $serials.allocate({ transactionId, where: { productId: 1 }, count: 1 }),
  '$serials.release with a history': ({ $serials }, transactionId) =>
    $serials.release({ transactionId: transactionId.replace('release', 'allocate') }),
  '$serials.history': ({ $serials }) => $serials.history({ productId: 1, number: 'D-1' }),
  '$series.create in parallel': ({ $series }, transactionId) =>
    $series.create('certificate:frozen', { transactionId, record: { id: transactionId } }),
  '$series.void': ({ $series }, name) => $series.void(`order:${name}`, { value: 1, reason: 'torn' }),
  '$series.closePeriod': ({ $series }, name) => $series.closePeriod(`order:${name}`, { reason: 'closed' }),
}
const OTHERS_ON_A_TX: OtherCalls = {
  ...OTHERS,
  '$series.next in parallel': ({ $series }, transactionId) => $series.next('order:frozen', { transactionId }),
}
const OTHERS_REPLAYED = ['$series.create in parallel', '$series.void']

const ON_A_TX_ALONE: typeof CALLS = {
  '$series.next': (tx, transactionId) => tx.$series.next('frozen', { transactionId }),
  findUniqueForUpdate: (tx) => (tx as Tx).order.findUniqueForUpdate({ where: { id: 1 } }),
  findManyForUpdate: (tx) => (tx as Tx).order.findManyForUpdate({ where: { id: { in: [1, 2] } }, take: 2 }),
  'findManyForUpdate that skips': (tx) =>
    (tx as Tx).order.findManyForUpdate({ where: { id: { in: [1, 2] } }, take: 1, wait: 'skip' }),
  'findManyForUpdate that refuses': (tx) =>
    (tx as Tx).order.findManyForUpdate({ where: { id: { in: [1, 2] } }, take: 1, wait: 'refuse' }),
  $advisoryXactLock: (tx) => (tx as Tx).$advisoryXactLock('frozen'),
  $assertLease: (tx) => tx.$assertLease({ name: 'frozen', token: 7n, holder: 'somebody' }),
  '$outbox.add': (tx) => tx.$outbox.add('frozen', { n: 1 }, { key: 'frozen' }),
  $tryAdvisoryXactLock: (tx) => (tx as Tx).$tryAdvisoryXactLock('frozen'),
}
const relay = (db: Db) =>
  (db as Client).$outbox.relay({ relayed: (_, tx) => tx.order.count() }, { until: 'empty', concurrency: 1 })
const addRelayed = (key: string) =>
  database.query(
    `WITH k AS (INSERT INTO "OutboxKey" VALUES ('relayed', $1, 1, 1, '2026-01-01'))
INSERT INTO "OutboxMessage" (id, topic, key, position, payload) VALUES (gen_random_uuid(), 'relayed', $1, 1, '{}')`,
    [key],
  )
const withReplica = (db: Db, replica: object = db) =>
  (db as Client).$extends(replicas({ clients: [replica as Client] }))

const ON_THE_CLIENT_ALONE: typeof CALLS = {
  $at: (db) => withReplica(db).$at(),
  // A client whose replica is no replica.
  '$after that reads on the primary': (db) => withReplica(db).$after('1:0/1', (reader) => reader.order.count()),
  $withAdvisoryLock: (db) => (db as Client).$withAdvisoryLock('frozen', (tx) => tx.order.count()),
  '$withAdvisoryLock with a token': (db) =>
    (db as Client).$withAdvisoryLock('frozen', (tx) => tx.order.count(), { token: true }),
  $job: (db, job) => (db as Client).$job(job, { every: '1d' }, (run) => run.progress(1)),
  '$job that is not due': (db) => (db as Client).$job('frozen', { atLeast: '1d' }, async () => {}),
  $jobHistory: (db) => (db as Client).$jobHistory({ job: 'frozen' }),
  $pruneJobHistory: (db) => (db as Client).$pruneJobHistory({ olderThan: 60_000 }),
  $steps: (db, key) => inSteps(db, key),
  '$steps that is done': (db) => inSteps(db, 'known'),
  '$steps that is refused': (db, key) => inSteps(db, key, async (op) => op.refuse('no')).catch(() => {}),
  $pruneSteps: (db) => (db as Client).$pruneSteps({ olderThan: 60_000 }),
  $withLease: (db) => db.$withLease('free', { ttl: 30_000 }, (lease) => lease.progress(1)),
  $oncePer: (db, job) => (db as Client).$oncePer({ job, period: { every: '1d' } }, (tx) => tx.order.count()),
  // On a tx it depends on the time: a block that is not there within 100 ms is not waited for.
  '$series.next in blocks': (db, transactionId) => db.$series.next('in blocks', { transactionId }),
  '$outbox.relay of one message': async (db, key) => {
    await addRelayed(key)
    await relay(db)
  },
  '$outbox.relay of one message whose relay was killed before': async (db, key) => {
    await addRelayed(key)
    await database.query(`BEGIN; SELECT 1 FROM "OutboxMessage" WHERE key = '${key}' FOR UPDATE; ROLLBACK`)
    await relay(db)
  },
  '$serials.prune': (db) => db.$serials.prune({ forgetBefore: '2020-01-01' }),
  $pruneInbox: (db) => (db as Client).$pruneInbox({ olderThan: 60_000 }),
  $pruneIdempotencyKeys: (db) => (db as Client).$pruneIdempotencyKeys({ olderThan: 60_000 }),
}

/** Those of them that answer a known transaction id, key or period by what was done before. */
const REPLAYED_ON_BOTH = [
  '$stock.move',
  '$stock.moveAll of ten lines',
  '$stock.defer',
  '$stock.count',
  '$stock.reserve',
  '$serials.allocate',
  '$serials.allocate by numbers',
  '$serials.import',
  '$series.create',
]

/** Each throws, and has written nothing. */
const REFUSED: typeof CALLS = {
  'updateVersioned with an object': (db) =>
    db.order.updateVersioned({ where: { id: 1, version: 2_000_000_000 }, data: { customer: 'a' } }),
  updateManyVersioned: (db) =>
    db.order.updateManyVersioned([{ where: { id: 1, version: 2_000_000_000 }, data: { customer: 'a' } }]),
  deleteVersioned: (db) => db.order.deleteVersioned({ where: { id: 1, version: 2_000_000_000 } }),
  createIdempotent: (db) =>
    db.payment.createIdempotent({ where: { transactionId: 'known' }, data: { amount: 2 }, match: ['amount'] }),
  $idempotent: (db) => db.$idempotent({ scope: 'frozen', key: 'asked', request: 'another' }, (tx) => tx.order.count()),
  '$stock.move': (db, transactionId) => db.$stock.move({ transactionId, item: ITEM, quantity: -1_000_000 }),
  '$stock.moveAll of ten lines': (db, transactionId) =>
    db.$stock.moveAll({ transactionId, lines: ten.map((line) => ({ ...line, quantity: -1_000_000 })) }),
  '$stock.reserve': (db, transactionId) =>
    db.$stock.reserve({ transactionId, item: RESERVED, quantity: 1_000_000, expiresIn: 60_000 }),
  '$serials.allocate': (db, transactionId) =>
    db.$serials.allocate({ transactionId, where: { productId: 1 }, count: 100_000 }),
  '$serials.allocate by numbers': (db, transactionId) =>
    db.$serials.allocate({ transactionId, where: { productId: 3 }, numbers: ['not there'] }),
  '$series.create': (db) => db.$series.create('payment', { transactionId: 'numbered', record: { amount: 2 } }),
}

test('every public call sends the SQL that is written down, and as many statements as the reference says', async () => {
  passingTimers() // the limits of the statements are of the time that is left
  await database.query(`
INSERT INTO "InboxMessage" (consumer, "messageId") VALUES ('frozen', 'known');
INSERT INTO "Lease" (name, token, holder) VALUES ('frozen', 7, 'somebody');
INSERT INTO "JobRun" (job, token, state, "startedAt", "endedAt") VALUES ('frozen', 1, 'done', now(), now());
INSERT INTO "Order" (customer) VALUES ('one'), ('two');
INSERT INTO "Silo" (code) VALUES ('one');
INSERT INTO "Ticket" (event, "onHand") VALUES ('opera', 1000);
INSERT INTO "Stock" ("productId", warehouse, "onHand") SELECT n, 'main', 1000 FROM generate_series(1, 11) AS n;
INSERT INTO "Device" ("productId", number) SELECT 1, 'D-' || n FROM generate_series(1, 9) AS n;
INSERT INTO "Series" (name, period, last)
SELECT concat_ws(' ', 'order:' || place, call, round), '', 2
FROM unnest('{client,tx}'::text[]) AS place, unnest('{$series.void,$series.closePeriod}'::text[]) AS call, generate_series(1, 2) AS round;
INSERT INTO "SeriesFree" (series, period, value) SELECT name, '', n FROM "Series", generate_series(1, 2) AS n WHERE name LIKE 'order:%';
INSERT INTO "Pallet" (code, "onHand") VALUES ('frozen', 1000);
INSERT INTO "DepotStock" ("companyId", code, "onHand") VALUES (1, 'a', 2), (2, 'a', 2);
INSERT INTO "DepotMovement" ("companyId", "transactionId", line, code, quantity, date)
SELECT c, 'old ' || n, 0, 'a', 1, make_date(2020 + n, 1, 1) FROM generate_series(1, 2) AS c, generate_series(1, 2) AS n;
INSERT INTO "Serial" ("productId", number) SELECT 1, 'S-' || n FROM generate_series(100, 199) AS n;
INSERT INTO "Serial" ("productId", number)
SELECT 3, place || ' $serials.allocate by numbers ' || round FROM unnest(ARRAY['client', 'tx']) AS place, generate_series(1, 2) AS round`)
  const made = database.connect()
  const db = clientOf(made)
  const depot = depotOf(made)
  const others = othersOf(made)
  const replica = await connectReplica()
  await db.payment.createIdempotent({ where: { transactionId: 'known' }, data: { amount: 1 } })
  await db.$idempotent({ scope: 'frozen', key: 'known' }, (tx) => tx.order.count())
  await db.$idempotent({ scope: 'frozen', key: 'asked', request: 'one' }, (tx) => tx.order.count())
  await inSteps(db, 'known')
  await db.$serials.allocate({ transactionId: 'known', where: { productId: 1 }, count: 1 })
  await db.$series.create('payment', { transactionId: 'numbered', record: { amount: 1 } })
  await db.$stock.reserve({ transactionId: 'held', item: RESERVED, quantity: 1, expiresIn: 60_000 })
  const chapters = new Map<string, readonly string[]>()
  const write = async (title: string, call: () => Promise<unknown>) => {
    made.statements.length = 0
    replica.statements.length = 0
    await call()
    chapters.set(
      title,
      [...made.statements, ...replica.statements].map((sql) => sql.trim()),
    )
  }
  const onTx = (call: (tx: Tx) => Promise<unknown>) => db.$transaction((tx) => call(tx))
  const refused = (call: Promise<unknown>) => expect(call).rejects.toThrow()
  const orders = db.$extends(stock({ ...PALLET, name: 'orders' }))
  type Orders = Pick<typeof orders, '$orders'>
  /** Of reservations that are changed, and shipped in part: the models of the others have no columns for that. */
  const writeOrders = async (place: string, round: number) => {
    const of = `${place} order ${round}`
    const [where, run] =
      place === 'client'
        ? ['the client', (call: (way: Orders) => Promise<unknown>) => call(orders)]
        : ['a tx', (call: (way: Orders) => Promise<unknown>) => orders.$transaction((tx) => call(tx))]
    await orders.$orders.reserve({ transactionId: of, item: 'frozen', quantity: 5, expiresIn: null })
    const line = (quantity: number) => [{ item: 'frozen', quantity }]
    const change = ({ $orders }: Orders) => $orders.change({ transactionId: of, lines: line(3) })
    const ship = ({ $orders }: Orders) => $orders.fulfil({ transactionId: `part of ${of}`, of, lines: line(1) })
    await write(`$stock.change, on ${where}`, () => run(change))
    await write(`$stock.fulfil in part, on ${where}`, () => run(ship))
    await write(`$stock.fulfil in part, a replay, on ${where}`, () => run(ship))
  }
  const writeOthers = async (round: number) => {
    const onOthersTx = (call: (tx: Others) => Promise<unknown>) => others.$transaction((tx) => call(tx))
    const torn = (place: string) => `${place} $series.void ${round}`
    for (const [name, call] of Object.entries(OTHERS)) {
      await write(`${name}, on the client`, () => call(others, `client ${name} ${round}`))
    }
    for (const [name, call] of Object.entries(OTHERS_ON_A_TX)) {
      await write(`${name}, on a tx`, () => onOthersTx((tx) => call(tx, `tx ${name} ${round}`)))
    }
    for (const name of OTHERS_REPLAYED) {
      await write(`${name}, a replay, on the client`, async () => OTHERS[name]?.(others, `client ${name} ${round}`))
    }
    for (const name of [...OTHERS_REPLAYED, '$series.next in parallel']) {
      await write(`${name}, a replay, on a tx`, () =>
        onOthersTx(async (tx) => OTHERS_ON_A_TX[name]?.(tx, `tx ${name} ${round}`)),
      )
    }
    const refuse = ({ $series }: Others, place: string) =>
      $series.void(`order:${torn(place)}`, { value: 1, reason: 'another' })
    await write('$series.void, refused, on the client', () => refused(refuse(others, 'client')))
    await write('$series.void, refused, on a tx', () => refused(onOthersTx((tx) => refuse(tx, 'tx'))))
  }
  // Twice: the first call looks into the catalogue, and finds out what the database can do.
  for (const round of [1, 2]) {
    chapters.clear()
    const [onClient, aTx] = [
      { ...CALLS, ...ON_THE_CLIENT_ALONE },
      { ...CALLS, ...ON_A_TX_ALONE },
    ]
    for (const [name, call] of Object.entries(onClient)) {
      await write(`${name}, on the client`, () => call(db, `client ${name} ${round}`))
    }
    for (const [name, call] of Object.entries(aTx)) {
      await write(`${name}, on a tx`, () => onTx((tx) => call(tx, `tx ${name} ${round}`)))
    }
    for (const name of [...REPLAYED_ON_BOTH, '$oncePer', '$series.next in blocks']) {
      await write(`${name}, a replay, on the client`, () => onClient[name](db, `client ${name} ${round}`))
    }
    for (const name of [...REPLAYED_ON_BOTH, '$series.next']) {
      await write(`${name}, a replay, on a tx`, () => onTx((tx) => aTx[name](tx, `tx ${name} ${round}`)))
    }
    for (const [name, call] of Object.entries(ENDS)) {
      await write(`${name}, on the client`, () => call(depot.$stock.in({ companyId: 1 }), round))
      await write(`${name}, on a tx`, () => depot.$transaction((tx) => call(tx.$stock.in({ companyId: 2 }), round)))
    }
    for (const kind of ['', ', a replay']) {
      const fulfil = (db: Db, reserved: string) =>
        db.$stock.fulfil({ transactionId: `${reserved} $stock.reserve ${round}` })
      await write(`$stock.fulfil${kind}, on the client`, () => fulfil(db, 'client'))
      await write(`$stock.fulfil${kind}, on a tx`, () => onTx((tx) => fulfil(tx, 'tx')))
    }
    await db.$stock.reserve({ transactionId: `client, ${round}`, item: RESERVED, quantity: 1, expiresIn: 60_000 })
    await db.$stock.reserve({ transactionId: `tx, ${round}`, item: RESERVED, quantity: 1, expiresIn: 60_000 })
    for (const kind of ['', ', a replay']) {
      const release = (db: Db, place: string) => db.$stock.release({ transactionId: `${place}, ${round}` })
      await write(`$stock.release${kind}, on the client`, () => release(db, 'client'))
      await write(`$stock.release${kind}, on a tx`, () => onTx((tx) => release(tx, 'tx')))
    }
    await writeOthers(round)
    await write('$after that reads on the replica, on the client', () =>
      withReplica(db, replica.client).$after('1:0/1', (reader) => reader.order.count()),
    )
    for (const kind of ['', ', a replay']) {
      const reverse = (db: Db, place: string) =>
        db.$stock.reverse({ transactionId: `${place} reversal ${round}`, of: `${place} $stock.move ${round}` })
      await write(`$stock.reverse${kind}, on the client`, () => reverse(db, 'client'))
      await write(`$stock.reverse${kind}, on a tx`, () => onTx((tx) => reverse(tx, 'tx')))
    }
    for (const place of ['client', 'tx']) await writeOrders(place, round)
    for (const [name, call] of Object.entries(REFUSED)) {
      await write(`${name}, refused, on the client`, () => refused(call(db, `client no ${name} ${round}`)))
      await write(`${name}, refused, on a tx`, () => refused(onTx((tx) => call(tx, `tx no ${name} ${round}`))))
    }
  }

  const text = Array.from(chapters, ([title, sql]) => `## ${title}\n\n${sql.map((line) => `${line};\n`).join('\n')}`)
  await expect(`${text.join('\n')}\n`).toMatchFileSnapshot('../frozen/sql.md')
  const table = await readFile(new URL('../../docs/reference/statements.md', import.meta.url), 'utf8')
  const wrong = Array.from(chapters, ([title, { length }]) => {
    const place = /^(.+?)(?:, (new|a duplicate|a replay|refused))?, on (.+)$/.exec(title)
    const [, row = '', kind = 'new', where = ''] = place ?? []
    return { row, column: `${where} ${kind}`, count: where === 'a tx' ? length - 2 : length }
  }).filter(({ row, column, count }) => cellOf(table, row, column) !== String(count))
  expect(wrong, 'npm run docs writes docs/reference/statements.md').toEqual([])
})

/** A client to whom the database says that it is a replica; the replicas of test/faults are real. */
async function connectReplica() {
  await database.query(`
CREATE SCHEMA replica;
CREATE FUNCTION replica.pg_is_in_recovery() RETURNS boolean RETURN true;
CREATE FUNCTION replica.pg_last_wal_replay_lsn() RETURNS pg_lsn RETURN pg_lsn '0/2';
CREATE VIEW replica.pg_stat_wal_receiver AS SELECT 1 AS received_tli, 1 AS pid`)
  const made = createClient(`${database.url}?options=-c%20search_path%3Dreplica,pg_catalog`)
  onTestFinished(() => made.client.$disconnect())
  return made
}

test('each method of the reference is among them, or it is said why it has no count', async () => {
  const folder = new URL('../../docs/reference/', import.meta.url)
  const pages = await Promise.all((await readdir(folder)).map((name) => readFile(new URL(name, folder), 'utf8')))
  const methods = pages.flatMap((page) => {
    const [, chapter = ''] = /^## Methods$(.*?)(?=^## |$(?![\s\S]))/ms.exec(page) ?? []
    return Array.from(chapter.matchAll(/^### (.+)$/gm), ([, name]) => String(name))
  })
  const sql = await readFile(new URL('../frozen/sql.md', import.meta.url), 'utf8')
  const counted = new Set(Array.from(sql.matchAll(/^## ([^\s,]+)/gm), ([, name]) => name))
  const without = methods.filter((name) => !counted.has(name))
  expect(methods.length).toBeGreaterThan(60)
  expect([...new Set(without)].sort()).toEqual(Object.keys(UNCOUNTED).sort())
})

const COLUMNS = [
  ['the client new'],
  ['the client a replay', 'the client a duplicate'],
  ['the client refused'],
  ['a tx new'],
  ['a tx a replay', 'a tx a duplicate'],
  ['a tx refused'],
]

/** The table's cell in the row of that name, whose first word is a link. */
function cellOf(table: string, row: string, column: string): string | undefined {
  const rows = table.split('\n').map((line) =>
    line
      .replace(/\[`(.+)`\]\([^)]*\)/, '$1')
      .split(/\s*\|\s*/)
      .slice(1),
  )
  return rows.find(([name]) => name === row)?.[1 + COLUMNS.findIndex((names) => names.includes(column))]
}
