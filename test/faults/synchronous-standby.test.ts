import { randomInt, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { connectTo } from '../support/connect-to.js'
import { createDatabase, type Database } from '../support/database.js'
import { type ErpDb, openErp, rows } from '../support/engines.js'
import { passingTime } from '../support/passing-time.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { openRole } from '../support/role.js'
import { type Server, startEmbedded } from '../support/server.js'
import { type Standby, startStandby } from '../support/standby.js'
import { started } from '../support/started.js'

let server: Server
let standby: Standby
let database: Database
const productId = randomInt(1, 2 ** 31)
const item = { productId, warehouse: 'main' }

beforeAll(async () => {
  server = await startEmbedded({ settings: { synchronous_commit: 'on' } })
  database = await createDatabase(server.url)
  await database.query(`INSERT INTO "Stock" ("productId", warehouse, "onHand") VALUES ($1, 'main', 0)`, [productId])
  await database.query(
    `INSERT INTO "Serial" ("productId", number) SELECT $1, n::text FROM generate_series(1, 100) AS n`,
    [productId],
  )
  await database.query(`INSERT INTO "Series" (name, period, last) VALUES ('torn', '', 4294967295)`)
  standby = await startStandby(server)
  await setStandbyNames('*')
})

afterAll(async () => {
  await standby?.stop()
  await server?.stop()
})

/** Longer than any deadline of these calls, and its grace. */
const FOR_EVER = 600_000

const COMMIT = /^COMMIT/

type PrismaDb = ReturnType<typeof connectTo>['db']

interface Call {
  readonly call: (db: ErpDb, id: string) => Promise<unknown>
  /** The statement whose answer is lost. */
  readonly statement: RegExp
}

const note = (tx: object, text: string) => rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', text)

const move = (db: ErpDb, transactionId: string) => db.$stock.move({ transactionId, item, quantity: 1 })

const CALLS: Readonly<Record<string, Call>> = {
  $idempotent: {
    call: (db, key) => db.$idempotent({ key, scope: 'test' }, (tx) => note(tx, key)),
    statement: COMMIT,
  },
  $oncePer: {
    call: (db, job) => db.$oncePer({ job, period: { every: '1d' } }, (tx) => note(tx, job)),
    statement: COMMIT,
  },
  '$stock.move': {
    call: move,
    statement: /^WITH locked/,
  },
  '$stock.defer': {
    call: (db, transactionId) => db.$stock.defer({ transactionId, item, quantity: 1 }),
    statement: /INSERT INTO "public"."StockMovement"/,
  },
  '$stock.count': {
    call: (db, transactionId) => db.$stock.count({ transactionId, item, counted: 1_000 }),
    statement: COMMIT,
  },
  '$serials.allocate': {
    call: (db, transactionId) => db.$serials.allocate({ transactionId, where: { productId }, count: 1 }),
    statement: /^WITH call/,
  },
  '$serials.import': {
    call: (db, transactionId) =>
      db.$serials.import({ transactionId, data: { productId }, numbers: [transactionId] } as never),
    statement: COMMIT,
  },
  '$series.next': {
    call: (db, transactionId) => db.$series.next('ticket', { transactionId }),
    statement: COMMIT,
  },
  '$series.create': {
    call: (db, transactionId) => db.$series.create('payment', { transactionId, record: { amount: 1 } }),
    statement: /^WITH bound/,
  },
  '$series.void': {
    call: (db, id) => db.$series.void('torn', { value: Number.parseInt(id.slice(0, 8), 16), reason: 'misprinted' }),
    statement: COMMIT,
  },
}

const pay = (db: ErpDb, transactionId: string) =>
  (db as unknown as PrismaDb).payment.createIdempotent({ where: { transactionId }, data: { amount: 5 } })

/**
 * Calls that find outside a transaction what they have left, and the table in which it is. `$series.create` waits for
 * the lost statement's lock on the counter first, so that its own commit waits for the standby.
 */
const FOUND: readonly (readonly [string, Call, string])[] = [
  ['$stock.defer', CALLS['$stock.defer'] as Call, 'StockMovement'],
  ['createIdempotent', { call: pay, statement: /INSERT INTO "public"."Payment"/ }, 'Payment'],
]

/** Waits until somebody's COMMIT waits for the standby. */
async function untilWaiting(): Promise<void> {
  const waiting = `SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'`
  while ((await database.query(waiting)).length === 0) await sleep(5)
}

/** Until the end of the test there is no standby. Then it is there again, and is waited for. */
async function crashStandby(): Promise<void> {
  await standby.crash()
  onTestFinished(async () => {
    await setStandbyNames('*')
    await standby.start()
  })
}

async function setStandbyNames(names: string): Promise<void> {
  await database.query(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`)
  await database.query('SELECT pg_reload_conf()')
}

/** Takes the right to write a message from all roles, or gives it back. */
const onMessage = (verb: string, to: string) => `
  DO $$ DECLARE f regprocedure; BEGIN
    FOR f IN SELECT oid FROM pg_proc WHERE proname = 'pg_logical_emit_message' LOOP
      EXECUTE format('${verb} EXECUTE ON FUNCTION %s ${to} PUBLIC', f);
    END LOOP;
  END $$`

/** Ends the backends whose COMMIT waits for the standby. Their rows are visible from then on. */
async function endWaiting(): Promise<void> {
  await untilWaiting()
  await database.query(`SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
}

describe.each(['prisma', 'pg'] as const)('on %s, under a synchronous standby', (engine) => {
  async function connect() {
    const proxy = await openProxy(database.url)
    const { db, close } = await openErp(engine, { url: proxy.url })
    onTestFinished(close)
    return { db, proxy }
  }

  /** The error of the call, whose last write waits for the standby until its time is over. */
  async function errorOf(call: Promise<unknown>, pass: (milliseconds: number) => void) {
    const failing = rejectionOf(call)
    await untilWaiting()
    pass(FOR_EVER)
    const error = await failing
    await endWaiting() // it may hold rows
    return error
  }

  /** Makes the call while the standby is down. Its answer is lost, and the backend that waits for the standby ends. */
  async function lose({ call, statement }: Call, id: string) {
    const pass = passingTime()
    const { db, proxy } = await connect()
    await call(db, randomUUID())
    await crashStandby()
    const lost = proxy.next(statement, 'abandon')
    const first = started(call(db, id))
    await lost.happened
    await endWaiting()
    return { db, pass, error: await errorOf(first, pass) }
  }

  test.each(Object.entries(CALLS))(
    '%s whose answer was lost is no success before the standby has it, and nor are its duplicates in this process',
    async (_, each) => {
      const id = randomUUID()
      const { db, pass, error } = await lose(each, id)

      expect(error).toHaveProperty('code', 'OUTCOME_UNKNOWN')
      expect(await errorOf(each.call(db, id), pass)).toHaveProperty('code', 'OUTCOME_UNKNOWN')
    },
  )

  test.each(Object.entries(CALLS))('%s whose answer was lost is a success when the standby has it', async (_, each) => {
    const { db, proxy } = await connect()
    proxy.next(each.statement, 'drop')

    await expect(each.call(db, randomUUID())).resolves.toBeDefined()
  })

  test('$transactionWithRetry is no success before the standby has it, though the server says that it is committed', async () => {
    const text = randomUUID()
    const call = (db: ErpDb, id: string) => db.$transactionWithRetry((tx) => note(tx, id))
    const { error } = await lose({ call, statement: COMMIT }, text)

    expect(error).toHaveProperty('code', 'OUTCOME_UNKNOWN')
    expect(await database.query('SELECT FROM "Note" WHERE text = $1', [text])).toHaveLength(1)
  })

  test('$transactionWithRetry is of unknown outcome where the role may not write what the standby is to confirm', async () => {
    await database.query(onMessage('REVOKE', 'FROM'))
    onTestFinished(async () => void (await database.query(onMessage('GRANT', 'TO'))))
    const proxy = await openProxy(await openRole(database))
    const { db, close } = await openErp(engine, { url: proxy.url })
    onTestFinished(close)
    proxy.next(COMMIT, 'drop')

    const lost = db.$transactionWithRetry((tx) => note(tx, randomUUID()))
    expect(await rejectionOf(lost)).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: { message: /not allowed/ } })
  })

  test('$transactionWithRetry is no success where another server answers by the time the standby is waited for', async () => {
    const { db, proxy } = await connect()
    await crashStandby()
    const lost = proxy.next(COMMIT, 'abandon')
    const calling = started(db.$transactionWithRetry((tx) => note(tx, randomUUID())))
    await lost.happened
    await endWaiting()
    await untilWaiting()
    // As after a failover: a server that has recovered, and waits for no standby. The one of before waits to its end.
    await database.query(`ALTER SYSTEM SET synchronous_standby_names = ''`)
    await server.restart('SIGQUIT')

    await expect(calling).rejects.toHaveProperty('code', 'OUTCOME_UNKNOWN')
  })

  // Only Prisma has models.
  test.each(FOUND.filter(([name]) => engine === 'prisma' || name.startsWith('$')))(
    '%s is written anew where another server, which has not got it, answers by the time the standby is waited for',
    async (_, { call, statement }, table) => {
      const id = randomUUID()
      const { db, proxy } = await connect()
      await call(db, randomUUID())
      await crashStandby()
      const lost = proxy.next(statement, 'abandon')
      const calling = started(call(db, id))
      await lost.happened
      await endWaiting()
      await untilWaiting()
      // As after a failover: the server has not got the row, and its commits wait for no standby.
      await database.query(`SET synchronous_commit = 'local'; DELETE FROM "${table}" WHERE "transactionId" = '${id}'`)
      await setStandbyNames('')

      await expect(calling).resolves.toBeDefined()
      expect(await database.query(`SELECT FROM "${table}" WHERE "transactionId" = $1`, [id])).toHaveLength(1)
    },
  )

  test('a body that has raised synchronous_commit itself is no success before the standby has it', async () => {
    await database.query(`ALTER ROLE postgres SET synchronous_commit = 'local'`)
    onTestFinished(async () => void (await database.query('ALTER ROLE postgres RESET synchronous_commit')))
    const call = (db: ErpDb, id: string) =>
      db.$transactionWithRetry(async (tx) => {
        await rows(tx, `SELECT set_config('synchronous_commit', 'on', true)`)
        await note(tx, id)
      })
    const { error } = await lose({ call, statement: COMMIT }, randomUUID())

    expect(error).toHaveProperty('code', 'OUTCOME_UNKNOWN')
  })

  test('a replay on the tx of a caller is a success only when its COMMIT is one', async () => {
    const id = randomUUID()
    const { db, pass } = await lose(CALLS['$stock.move'] as Call, id)
    const inside = db.$transactionWithRetry((tx) => move(tx as unknown as ErpDb, id))

    expect(await errorOf(inside, pass)).toHaveProperty('code', 'OUTCOME_UNKNOWN')
  })

  // Only Prisma has models.
  test.runIf(engine === 'prisma').each([1, 3])(
    'createIdempotent whose answer was lost is no success before the standby has it, and nor are %i duplicates at once',
    async (duplicates) => {
      const id = randomUUID()
      const { db, pass, error } = await lose({ call: pay, statement: /INSERT INTO "public"."Payment"/ }, id)

      expect(error).toHaveProperty('code', 'OUTCOME_UNKNOWN')
      const calls = Promise.allSettled(Array.from({ length: duplicates }, () => pay(db, id)))
      const unknown = Array(duplicates).fill({ status: 'rejected', reason: { code: 'OUTCOME_UNKNOWN' } })
      await untilWaiting()
      pass(FOR_EVER)
      expect(await calls).toMatchObject(unknown)
    },
  )
})
