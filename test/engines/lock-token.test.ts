import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { concurrency } from '../../src/index.js'
import type { PgClient } from '../../src/pg.js'
import { lockElsewhere } from '../support/advisory.js'
import { describeEngines, rows } from '../support/engines.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { openRole } from '../support/role.js'
import { untilBlocked } from '../support/until-blocked.js'

const ASK = { token: true, timeout: 100_000, bodyTimeout: 100_000 } as const
const ID = 'SELECT pg_current_xact_id()::text AS id'

interface AnyClient {
  $withAdvisoryLock(key: string, body: () => Promise<never>, options: object): Promise<unknown>
}

type Keys = Parameters<PgClient['$withAdvisoryLock']>[0]

const tokenOf = (db: PgClient, keys: Keys) => db.$withAdvisoryLock(keys, async (_tx, _signal, token) => token, ASK)

describeEngines(({ name, connect, database, other }) => {
  let key = ''
  beforeEach((context) => {
    key = context.task.id
  })
  const one = () => key
  const several = () => ({ keys: [key, [key, 2]] })
  const idNow = async () => BigInt(String((await database.query(ID))[0]?.id))

  /** The error of a call that no type lets through. Its body must not run. */
  const wrong = (client: object, options: object) => {
    const body = () => Promise.reject(new Error('its body has run'))
    return rejectionOf((client as AnyClient).$withAdvisoryLock(key, body, options))
  }

  /** Takes a right from all roles until the end of the test. */
  async function revoke(called: string): Promise<void> {
    const onFunction = (verb: string, to: string) => `
DO $$ DECLARE f regprocedure; BEGIN
  FOR f IN SELECT oid FROM pg_proc WHERE proname = '${called}' LOOP
    EXECUTE format('${verb} EXECUTE ON FUNCTION %s ${to} PUBLIC', f);
  END LOOP;
END $$`
    await database.query(onFunction('REVOKE', 'FROM'))
    onTestFinished(async () => void (await database.query(onFunction('GRANT', 'TO'))))
  }

  test('a token is the id of the transaction that holds the lock, and is handed to those alone who ask', async () => {
    const { db } = await connect()
    const seen = await db.$withAdvisoryLock(key, async (tx, _, token) => [token, (await rows(tx, ID))[0]?.id], ASK)
    expect(seen[0]).toBe(BigInt(String(seen[1])))
    const counts = [undefined, {}, { token: false }, { mode: 'shared' }] as const
    for (const options of counts) {
      expect(await db.$withAdvisoryLock(key, async (...given) => given.length, options)).toBe(2)
    }
  })

  test.each([
    ['one key', one],
    ['several keys', several],
  ])('a caller that waits for %s has a higher token than all ids that were given meanwhile', async (_, keys) => {
    const { db } = await connect()
    const first = await tokenOf(db, keys())
    const holder = await lockElsewhere(database.url, JSON.stringify([key]))
    const waiting = tokenOf(db, keys())
    await untilBlocked(database.url)
    const meanwhile = await idNow()
    await holder.query('COMMIT')
    expect(meanwhile).toBeGreaterThan(first)
    expect(await waiting).toBeGreaterThan(meanwhile)
  })

  test('a waiter that is overtaken at one of its keys has the higher token there, though it came first', async () => {
    const { db } = await connect()
    const { db: their } = await connect(other)
    // In the order of their numbers, in which they are locked.
    const found = await database.query(
      `SELECT text FROM unnest($1::text[]) AS text ORDER BY hashtextextended(text, 0)`,
      [[JSON.stringify([key, 1]), JSON.stringify([key, 2])]],
    )
    const [first, second] = found.map(({ text }) => JSON.parse(String(text)) as [string, number])
    if (!first || !second) throw new Error('There are two keys.')
    const holder = await lockElsewhere(database.url, JSON.stringify(first))
    const early = tokenOf(db, { keys: [first, second] })
    await untilBlocked(database.url)
    const late = await tokenOf(their, second)
    await holder.query('COMMIT')
    expect(await early).toBeGreaterThan(late)
  })

  test('tokens grow with every holder of each key in a storm of both engines, also of holders that fail', async () => {
    const clients = await Promise.all([connect(), connect(), connect(other)])
    const tokens: bigint[][] = [[], [], []]
    const call = async (db: PgClient, n: number) => {
      const wanted = n % 2 ? [n % 3] : [n % 3, (n + 1) % 3]
      const body = async (tx: object, _: AbortSignal, token: bigint) => {
        for (const key of wanted) tokens[key].push(token)
        if (n % 4 === 0) throw new Error('fails')
        if (n % 5 === 0) await rows(tx, 'INSERT INTO "Note" (text) VALUES ($1)', key)
      }
      await db.$withAdvisoryLock({ keys: wanted.map((n) => [key, n]) }, body, ASK)
    }
    const ended = await Promise.allSettled(
      clients.flatMap(({ db }, i) => Array.from({ length: 12 }, (_, n) => call(db, 12 * i + n))),
    )
    expect(ended.filter(({ status }) => status === 'rejected')).toHaveLength(9)
    expect(tokens.flat()).toHaveLength(54)
    for (const list of tokens) {
      expect(list).toEqual([...new Set(list)].sort((first, second) => (first < second ? -1 : 1)))
    }
  })

  test('a call that is made again, and one in the body of another, have a transaction of their own, and a higher token', async () => {
    const { db } = await connect()
    const tokens: bigint[] = []
    const failing = db.$withAdvisoryLock(
      key,
      async (_tx, _signal, token) => {
        tokens.push(token)
        throw new Error('again')
      },
      ASK,
    )
    expect(await rejectionOf(failing)).toMatchObject({ message: 'again' })
    await db.$withAdvisoryLock(
      key,
      async (_tx, _signal, token) => void tokens.push(token, await tokenOf(db, [key, 2])),
      ASK,
    )
    expect(tokens).toEqual([...new Set(tokens)].sort((first, second) => (first < second ? -1 : 1)))
    expect(tokens).toHaveLength(3)
  })

  test('a token is had where SERIALIZABLE is the default, too, at the level that locks need', async () => {
    const { db, pool } = await connect(undefined, { poolSize: 1 })
    await pool.query(`SET default_transaction_isolation TO 'serializable'`)
    const level = `SELECT pg_current_xact_id()::text AS id, current_setting('transaction_isolation') AS level`
    const [token, seen] = await db.$withAdvisoryLock(
      key,
      async (tx, _, token) => [token, await rows(tx, level)] as const,
      ASK,
    )
    expect(seen).toEqual([{ id: String(token), level: 'read committed' }])
  })

  test('there is none for shared locks, on a tx, and by another value: the call is refused, and the tx goes on', async () => {
    const { db } = await connect()
    const refused = { code: 'INVALID_ARGUMENT', field: 'token' }
    expect(await wrong(db, { token: true, mode: 'shared' })).toMatchObject(refused)
    expect(await wrong(db, { token: 1 })).toMatchObject(refused)
    await db.$transaction(async (tx) => {
      expect(await wrong(tx, { token: true })).toMatchObject(refused)
      expect(await rejectionOf(tx.$advisoryXactLock(key, { token: true } as object))).toMatchObject({
        code: 'INVALID_ARGUMENT',
      })
      await tx.$withAdvisoryLock(key, async (inner, ...rest) => {
        expect(rest).toHaveLength(1)
        expect(await wrong(inner, { token: true })).toMatchObject(refused)
        await rows(inner, 'INSERT INTO "Note" (text) VALUES ($1)', key)
      })
    })
    expect(await database.query('SELECT FROM "Note" WHERE text = $1', [key])).toHaveLength(1)
  })

  test('a COMMIT that is not answered is verified, after a wait for several keys as well', async () => {
    const proxy = await openProxy(database.url)
    const { db } = await connect(undefined, { url: proxy.url })
    const holder = await lockElsewhere(database.url, JSON.stringify([key]))
    const tokens: bigint[] = []
    const call = db.$withAdvisoryLock(several(), async (_tx, _signal, token) => tokens.push(token), ASK)
    await untilBlocked(database.url)
    const lost = proxy.next(/^COMMIT/, 'drop')
    await holder.query('COMMIT')
    expect(await call).toBe(1)
    await lost.happened
    expect(tokens).toHaveLength(1)
  })

  test('a role that may not read what a COMMIT is verified by has tokens all the same', async () => {
    await revoke('pg_walfile_name')
    const { db } = await connect(undefined, { url: await openRole(database) })
    const seen = await db.$withAdvisoryLock(key, async (tx, _, token) => [token, (await rows(tx, ID))[0]?.id], ASK)
    expect(seen[0]).toBe(BigInt(String(seen[1])))
  })

  test('a role that may not write to the WAL has none, and is told; its locks without a token work', async () => {
    await revoke('pg_logical_emit_message')
    const { db } = await connect(undefined, { url: await openRole(database) })
    expect(await wrong(db, { token: true })).toMatchObject({ code: 'CONFIGURATION', issues: [{ path: 'token' }] })
    expect(await db.$withAdvisoryLock(key, async () => 'held')).toBe('held')
  })

  // Only Prisma has extensions that open transactions.
  test.runIf(name === 'prisma')('a transaction that another extension has written into before has none', async () => {
    const { client } = await connect()
    type Body = (tx: typeof client) => Promise<unknown>
    const auditing = client.$extends({
      client: {
        $transaction: (body: Body, options?: object) =>
          client.$transaction(async (tx) => {
            await tx.note.create({ data: { text: key } })
            return body(tx as typeof client)
          }, options),
      },
    })
    const db = auditing.$extends(concurrency())
    expect(await wrong(db, { token: true })).toMatchObject({ code: 'CONFIGURATION', issues: [{ path: 'token' }] })
    expect(await db.$withAdvisoryLock(key, async () => 'held')).toBe('held')
  })
})
