import { createHash } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { PrismaClient } from '../../generated/prisma/client.js'
import { sqlState } from '../../src/engine/error-facts.js'
import { concurrency } from '../../src/index.js'
import { isFree } from '../support/advisory.js'
import { useExtended } from '../support/extended.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { openRole } from '../support/role.js'

const { database, connect } = useExtended()

/** A client whose connections are of that class, whose statements have names, or whose adapter begins in another way. */
function connectBy({ Client = pg.Client, named = false, url = database.url, log = false, begins = '' }) {
  const statements: string[] = []
  class Recording extends Client {
    // biome-ignore lint/suspicious/noExplicitAny: the overloads of pg's query
    override query(...args: any[]): any {
      statements.push(args[0].text)
      return super.query(...(args as [never]))
    }
  }
  const pool = new pg.Pool({ connectionString: url, max: 1, Client: Recording as never })
  const names = named ? { statementNameGenerator: ({ sql }: { sql: string }) => nameOf(sql) } : {}
  const adapter = new PrismaPg(pool, { disposeExternalPool: true, ...names })
  if (begins !== '') beginOtherwise(adapter, begins)
  const client = new PrismaClient({ adapter, ...(log ? { log: [{ emit: 'event', level: 'query' }] as const } : {}) })
  onTestFinished(() => client.$disconnect())
  return { client, db: client.$extends(concurrency()), pool, statements }
}

/** The adapter as it may be some day: one of the queries by which it begins has another text. */
function beginOtherwise(adapter: PrismaPg, begins: string) {
  const connect = adapter.connect.bind(adapter)
  adapter.connect = async () => {
    const connected = await connect()
    const start = connected.startTransaction
    const otherwise = ({ text, ...config }: { text: string }) => ({
      ...config,
      text: text.replace(begins, `${begins} `),
    })
    connected.startTransaction = function (this: { client: pg.Pool }, level) {
      const query = (on: pg.PoolClient) => (config: { text: string }) => on.query(otherwise(config) as never)
      const get = (on: pg.PoolClient, name: keyof pg.PoolClient) => {
        if (name === 'query') return query(on)
        const value: unknown = Reflect.get(on, name)
        return typeof value === 'function' ? value.bind(on) : value
      }
      const client = { connect: async () => new Proxy(await this.client.connect(), { get } as never) }
      return start.call(Object.create(this, { client: { value: client } }), level)
    } as typeof start
    return connected
  }
}

const nameOf = (sql: string) => createHash('md5').update(sql).digest('hex')

/** BEGIN with the first statement, and with the one after that. */
const TWO = expect.stringMatching(/^BEGIN;\nSELECT [^;]*set_config[^;]*$/)
const THREE = expect.stringMatching(/^BEGIN;\nSELECT [^;]*set_config[^;]*;\nSELECT \$1::int/)

/** The part of a `tx` that the bodies here need. */
interface Tx {
  readonly note: { create(args: { readonly data: { readonly text: string } }): Promise<unknown> }
}

const body = (tx: Pick<PrismaClient, '$queryRaw'>) => tx.$queryRaw<object[]>`SELECT ${7}::int AS seven`

/** A client that has seen the answer to the first statement of a transaction. */
async function connectProven(options: Parameters<typeof connectBy>[0] = {}) {
  const made = connectBy(options)
  for (const _ of [1, 2]) await made.db.$transactionWithRetry(body)
  made.statements.length = 0
  return made
}

describe('the first statement of a transaction', () => {
  test.each([
    ['BEGIN', ['BEGIN ', 'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE']],
    ['SET TRANSACTION', ['BEGIN', 'SET TRANSACTION  ISOLATION LEVEL SERIALIZABLE']],
  ])('goes by itself where an adapter has another text for %s', async (begins, texts) => {
    const { db, statements } = connectBy({ begins })
    for (const _ of [1, 2]) {
      const rows = await db.$transactionWithRetry(
        async (tx) => [await body(tx), await tx.$queryRaw`SHOW transaction_isolation`],
        { isolationLevel: 'Serializable' },
      )
      expect(rows).toEqual([[{ seven: 7 }], [{ transaction_isolation: 'serializable' }]])
      const [first, second, note, ...others] = statements.splice(0)
      expect([first, second]).toEqual(texts)
      expect(note).toMatch(/^SELECT [^;]*set_config[^;]*$/)
      expect(others).toEqual(['SELECT $1::int AS seven', 'SHOW transaction_isolation', 'COMMIT'])
    }
  })

  test('goes together with BEGIN, and waits for its answer the first time', async () => {
    const { db, statements } = connectBy({})
    await db.$transactionWithRetry(body)
    expect(statements).toEqual([TWO, 'SELECT $1::int AS seven', 'COMMIT'])
  })

  test('goes together with BEGIN and the first statement of the body', async () => {
    const { db, statements } = await connectProven()
    expect(await db.$transactionWithRetry(body)).toEqual([{ seven: 7 }])
    expect(statements).toEqual([THREE, 'COMMIT'])
  })

  test('goes without a statement of the body that has no values', async () => {
    const { db, statements } = await connectProven()
    await db.$transactionWithRetry((tx) => tx.$queryRaw`SELECT 'body'`)
    await db.$transactionWithRetry(async () => 'nothing')
    await db.$transactionWithRetry((tx) => tx.$transaction((inner) => body(inner)))
    expect(statements).toEqual([
      ...[TWO, `SELECT 'body'`, 'COMMIT'],
      ...[TWO, 'COMMIT'],
      ...[TWO, 'SAVEPOINT prisma_sp_0', 'SELECT $1::int AS seven', 'RELEASE SAVEPOINT prisma_sp_0', 'COMMIT'],
    ])
  })

  test('goes together with an isolation level, which the transaction has', async () => {
    const { db, statements } = await connectProven()
    const level = await db.$transactionWithRetry(
      (tx) => tx.$queryRaw`SELECT current_setting('transaction_isolation') AS level, ${7}::int`,
      { isolationLevel: 'RepeatableRead' },
    )
    expect(level).toEqual([expect.objectContaining({ level: 'repeatable read' })])
    expect(statements).toEqual([
      expect.stringMatching(/^BEGIN;\nSET TRANSACTION ISOLATION LEVEL REPEATABLE READ;\nSELECT/),
      'COMMIT',
    ])
  })

  test('limits the statement that goes with it', async () => {
    const { db } = await connectProven()
    const limits = await db.$transactionWithRetry(
      (tx) => tx.$queryRaw`SELECT current_setting('statement_timeout') AS limit, ${7}::int`,
      { timeout: 90_000 },
    )
    expect(limits).toEqual([expect.objectContaining({ limit: '90s' })])
  })

  test('with a name goes alone until the connection knows the name, and so does the one after it', async () => {
    const { db, statements } = connectBy({ named: true })
    for (const _ of [1, 2, 3, 4]) await db.$transactionWithRetry((tx) => tx.note.findMany({ take: 3 }))
    expect(statements.filter((text) => text.startsWith('BEGIN'))).toEqual([
      'BEGIN',
      expect.stringMatching(/^BEGIN;[^;]*;\nSELECT/),
      expect.stringMatching(/^BEGIN;[^;]*;\nSELECT/),
      expect.stringMatching(/^BEGIN;[^;]*;\nSELECT/),
    ])
  })

  test('is a statement of its own in a log of the client', async () => {
    const { client, db, statements } = await connectProven({ log: true })
    const logged: string[] = []
    client.$on('query' as never, ({ query }: { query: string }) => logged.push(query))
    await db.$transactionWithRetry(body)
    expect(statements[0]).toBe('BEGIN')
    expect(logged[0]).toContain('set_config')
  })

  test('is that of its own transaction, of many at once', async () => {
    const { db } = connect()
    const keys = Array.from({ length: 60 }, (_, index) => `own ${index % 50}`)
    const held = await Promise.all(
      keys.map((key) =>
        db.$withAdvisoryLock(
          key,
          (tx) => tx.$queryRaw<[{ isHeld: boolean }]>`
SELECT EXISTS (
  SELECT FROM pg_locks, hashtextextended(${JSON.stringify([key])}, 0) AS number
  WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
    AND classid = ((number >> 32) & 4294967295)::oid AND objid = (number & 4294967295)::oid
) AS "isHeld"`,
          { timeout: 100_000 },
        ),
      ),
    )
    expect(held.flat()).toEqual(keys.map(() => ({ isHeld: true })))
  })

  test('is noted, so that a lost COMMIT is verified', async () => {
    const proxy = await openProxy(database.url)
    const { db } = await connectProven({ url: proxy.url })
    const text = crypto.randomUUID()
    proxy.next(/^COMMIT/, 'drop')
    let runs = 0
    await db.$transactionWithRetry((tx) => {
      runs++
      return tx.note.create({ data: { text } })
    })
    expect([runs, await database.query('SELECT text FROM "Note" WHERE text = $1', [text])]).toEqual([1, [{ text }]])
  })
})

describe('where it fails', () => {
  /** A user of the database for whom no transaction of this package can set its limits from now on. */
  async function failing({ named = false } = {}) {
    const url = await openRole(database)
    const made = await connectProven({ url, named })
    await made.db.$transactionWithRetry(body) // by now the connection knows the names
    const schema = `broken_${crypto.randomUUID().replaceAll('-', '')}`
    await database.query(`CREATE SCHEMA ${schema}; GRANT USAGE ON SCHEMA ${schema} TO PUBLIC`)
    await database.query(
      `CREATE FUNCTION ${schema}.set_config(text, text, boolean) RETURNS text LANGUAGE sql RETURN (1 / 0)::text`,
    )
    await made.pool.query({ text: `SET search_path = ${schema}, pg_catalog, public` })
    made.statements.length = 0
    return made
  }

  test('the body’s statement has the error, as Prisma tells it, and the connection is as before', async () => {
    const { db, statements } = await failing()
    const error = await rejectionOf(db.$transactionWithRetry(body))

    expect([sqlState(error), error]).toEqual(['22012', expect.objectContaining({ code: 'P2010' })])
    expect(statements).toEqual([THREE, 'ROLLBACK'])
    expect(await db.$queryRaw`SELECT 1 AS one`).toEqual([{ one: 1 }])
  })

  test.each(['at once', 'swallowed', 'without a statement'])('nothing is committed: %s', async (way) => {
    const { db } = await failing()
    const text = crypto.randomUUID()
    const create = (tx: Tx) => tx.note.create({ data: { text } })
    const error = await rejectionOf(
      db.$transactionWithRetry(async (tx) => {
        if (way === 'at once') await Promise.all([create(tx), create(tx)])
        if (way === 'swallowed') for (const _ of [1, 2]) await create(tx).catch(() => {})
      }),
    )
    expect(error).toBeInstanceOf(Error)
    expect(await database.query('SELECT FROM "Note" WHERE text = $1', [text])).toEqual([])
    expect(await db.$queryRaw`SELECT 1 AS one`).toEqual([{ one: 1 }])
  })

  test('with a name, the same statement works on the same connection afterwards', async () => {
    const { db, pool, statements } = await failing({ named: true })
    expect(sqlState(await rejectionOf(db.$transactionWithRetry(body)))).toBe('22012')
    await pool.query({ text: 'RESET search_path' })
    statements.length = 0
    expect(await db.$transactionWithRetry(body)).toEqual([{ seven: 7 }])
    expect(statements).toEqual([THREE, 'COMMIT'])
  })
})

describe('where BEGIN fails', () => {
  let breaks = false
  class Breaking extends pg.Client {
    constructor(config: pg.ClientConfig) {
      super(config)
      // biome-ignore lint/suspicious/noExplicitAny: the messages of pg are no part of its types
      const wire: any = Reflect.get(this, 'connection')
      const parse = wire.parse.bind(wire)
      wire.parse = (query: { text: string }) =>
        parse(breaks && query.text === 'BEGIN' ? { text: 'BEGIN AGAIN' } : query)
    }
  }

  const broken = async () => {
    breaks = false
    const made = await connectProven({ Client: Breaking })
    await made.db.$withAdvisoryLock('proof', async () => {})
    breaks = true
    onTestFinished(() => {
      breaks = false
    })
    made.statements.length = 0
    return made
  }

  test('the first statement is not carried out, and the body that needs its answer does not run', async () => {
    const { db } = await broken()
    const bodies: string[] = []
    const error = await rejectionOf(db.$withAdvisoryLock('begin', async () => bodies.push('ran')))

    expect([sqlState(error), bodies]).toEqual(['42601', []])
    expect(await isFree(database, '["begin"]')).toBe(true)
    breaks = false
    expect(await db.$withAdvisoryLock('begin', async () => 'held')).toBe('held')
  })

  test.each(['one', 'at once', 'swallowed'])('nothing that the body sends is carried out: %s', async (way) => {
    const { db, statements } = await broken()
    const text = crypto.randomUUID()
    const create = (tx: Tx) => tx.note.create({ data: { text } })
    const call = db.$transactionWithRetry(async (tx) => {
      if (way === 'one') await create(tx)
      if (way === 'at once') await Promise.all([create(tx), tx.$queryRaw`SELECT 1`, create(tx)])
      if (way === 'swallowed') for (const _ of [1, 2]) await create(tx).catch(() => {})
    })

    expect(sqlState(await rejectionOf(call))).toBe('42601')
    expect(await database.query('SELECT FROM "Note" WHERE text = $1', [text])).toEqual([])
    expect(statements).toHaveLength(1)
    breaks = false
    expect(await db.$transactionWithRetry(body)).toEqual([{ seven: 7 }])
  })
})
