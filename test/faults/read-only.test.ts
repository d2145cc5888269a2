import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, onTestFinished, test } from 'vitest'
import { sqlState } from '../../src/engine/error-facts.js'
import { openAll, outboxOf } from '../support/all-features.js'
import { createDatabase, type Database, databaseName } from '../support/database.js'
import { type EngineName, rows } from '../support/engines.js'
import { FEATURES, type Feature, featuresOf, newSubject, type Subject } from '../support/feature-calls.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { type Server, startEmbedded } from '../support/server.js'
import { type Standby, startStandby } from '../support/standby.js'

/** The calls whose first write is the statement of a body, so that its error is the driver's own: on a primary alone. */
const BODIES = ['$transactionWithRetry', '$afterCommit', '$withAdvisoryLock', '$advisoryXactLock']
/** A call of a few statements, tried once. A retry storm is hundreds. */
const FEW = 12

interface Place {
  /** Of the server that takes no writes. */
  readonly url: string
  /** Of the one that does. */
  readonly database: Database
}

let server: Server
let standby: Standby
let own: Database
let primary: Database
beforeAll(async () => {
  server = await startEmbedded()
  own = await createDatabase(server.url)
  standby = await startStandby(server)
  primary = await createDatabase(inject('serverUrl'), inject('template'))
})
afterAll(async () => {
  await primary?.drop()
  await standby?.stop()
  await server?.stop()
})

/** A database of its own of which each session may write, and the same with sessions that may not. */
const PLACES: Readonly<Record<string, () => Place>> = {
  'a replica': () => {
    const url = new URL(standby.url)
    url.pathname = new URL(own.url).pathname
    return { url: url.href, database: own }
  },
  'a server with default_transaction_read_only': () => {
    const url = new URL(primary.url)
    url.searchParams.set('options', '-c default_transaction_read_only=on')
    return { url: url.href, database: primary }
  },
}

/** Records that are there on both sides. */
async function subjectOf({ url, database }: Place): Promise<Subject> {
  const subject = await newSubject(database.query)
  const reader = new pg.Client({ connectionString: url })
  await reader.connect()
  const find = 'SELECT FROM "Parcel" WHERE code = $1'
  while ((await reader.query(find, [subject.key])).rows.length === 0) await setTimeout(10)
  await reader.end()
  return subject
}

/** A client with every feature, and how many statements it has sent. */
async function open(engine: EngineName, url: string) {
  const opened = await openAll(engine, { url, poolSize: 4 })
  const sent = { count: 0 }
  opened.pool.on('connect', (client) => {
    const query = client.query.bind(client) as (...args: unknown[]) => unknown
    Object.assign(client, {
      query(...args: unknown[]) {
        sent.count++
        return query(...args)
      },
    })
  })
  return { ...opened, sent }
}

async function connect(engine: EngineName, url: string) {
  const opened = await open(engine, url)
  onTestFinished(opened.close)
  return opened
}

const CLEAR = {
  code: 'CONFIGURATION',
  message: expect.stringMatching(/^database: takes no writes, so nothing was written\. .*Connect to the primary\.$/),
}

describe.each(Object.keys(PLACES))('on %s', (where) => {
  const place = () => (PLACES[where] as () => Place)()
  const isBody = (call: string) => where !== 'a replica' && BODIES.includes(call)

  describe.each(['prisma', 'pg'] as const)('by %s', (engine) => {
    let opened: Awaited<ReturnType<typeof open>>
    let subject: Subject
    beforeAll(async () => {
      opened = await open(engine, place().url)
      subject = await subjectOf(place()) // the same for all tests: nothing is to come of them
    })
    afterAll(() => opened?.close())
    beforeEach(() => {
      opened.sent.count = 0
    })

    test.each(Object.entries(featuresOf(engine)))(
      '%s is refused at once, by an error that says so, and writes nothing',
      async (name, { call, counted }) => {
        const error = await rejectionOf(call(opened.db, subject, 0))
        if (isBody(name)) expect(sqlState(error)).toBe('25006')
        else if (name === '$transactionWithRetry')
          expect(sqlState(error)).toBe('0A000') // SERIALIZABLE on a replica
        else expect(error).toMatchObject(CLEAR)
        expect(opened.sent.count).toBeLessThanOrEqual(FEW)
        expect(await counted(place().database.query, subject)).toBe(0)
      },
    )

    test('calls of one tick, which go as one, are each told so', async () => {
      const { call, counted } = FEATURES['$stock.move'] as Feature
      const outcomes = await Promise.allSettled(Array.from({ length: 16 }, () => call(opened.db, subject, 0)))
      expect(outcomes).toEqual(outcomes.map(() => ({ status: 'rejected', reason: expect.objectContaining(CLEAR) })))
      expect(opened.sent.count).toBeLessThanOrEqual(16 * FEW)
      expect(await counted(place().database.query, subject)).toBe(0)
    })

    test('a relay of the outbox ends with the same error', async () => {
      const topic = randomUUID()
      const writer = await connect(engine, place().database.url)
      await writer.db.$transactionWithRetry((tx) => outboxOf(tx).add(topic, { n: 1 }))
      expect(await rejectionOf(opened.db.$outbox.relay({ [topic]: async () => {} }))).toMatchObject(CLEAR)
    })

    test('$checkConcurrency says so', async () => {
      const found = (await opened.db.$checkConcurrency()).map(({ severity, code }) => [severity, code])
      expect(found).toContainEqual(['error', 'READ_ONLY'])
    })

    test('reads are answered', async () => {
      expect(await opened.db.$stock.balance({ item: subject.item })).toMatchObject({ onHand: 100 })
      const work = opened.db.$transactionWithRetry((tx) => rows(tx, 'SELECT 1 AS n'), { readOnly: true })
      expect(await work).toEqual([{ n: 1 }])
    })
  })
})

describe.each(['prisma', 'pg'] as const)('by %s', (engine) => {
  test('a lock in a plain transaction is refused on a replica: it would keep nobody out who takes it on the primary', async () => {
    const { url } = (PLACES['a replica'] as () => Place)()
    const { db } = await connect(engine, url)
    const calls = [
      () => db.$transaction((tx) => tx.$advisoryXactLock('x')),
      () => db.$transaction((tx) => tx.$tryAdvisoryXactLock('x')),
      () => db.$transaction((tx) => tx.$withAdvisoryLock('x', async () => {})),
    ]
    for (const call of calls) expect(await rejectionOf(call())).toMatchObject(CLEAR)
  })

  test('a call that writes in a transaction that only reads is told the same', async () => {
    const { db } = await connect(engine, primary.url)
    const { item } = await newSubject(primary.query)
    const move = { transactionId: randomUUID(), item, quantity: -1 }
    const work = db.$transactionWithRetry((tx) => tx.$stock.move(move), { readOnly: true })
    expect(await rejectionOf(work)).toMatchObject(CLEAR)
  })

  test.each([
    ['$stock.move', 'told as unknown', 'OUTCOME_UNKNOWN'],
    ['$serials.allocate', 'told as unknown', 'OUTCOME_UNKNOWN'],
    ['$series.create', 'found there by reading', undefined],
  ])('%s whose answer was lost, and that then meets a server without writes, is %s', async (name, _, code) => {
    const subject = await newSubject(primary.query)
    const proxy = await openProxy(primary.url)
    const { db } = await connect(engine, proxy.url)
    const { call, counted } = FEATURES[name] as Feature
    await call(db, subject, 0) // the next one is a single statement
    const setting = `${databaseName(primary.url)} SET default_transaction_read_only`
    await primary.query(`ALTER DATABASE ${setting} = on`) // of sessions that are opened from now on
    onTestFinished(async () => {
      await primary.query(`BEGIN READ WRITE; ALTER DATABASE ${setting} = off; COMMIT`)
    })
    proxy.next(/INSERT INTO|UPDATE/, 'drop')

    const [outcome] = await Promise.allSettled([call(db, subject, 1)])

    expect(outcome.status === 'rejected' ? outcome.reason : {}).toMatchObject(code ? { code } : {})
    expect(outcome.status).toBe(code ? 'rejected' : 'fulfilled')
    expect(await counted(primary.query, subject)).toBe(2)
  })
})
