import { describe, expect, test } from 'vitest'
import { endBackend, readBackend } from '../../src/cli/locks/activity.js'
import { backendLines, maskedQuery } from '../../src/cli/locks/text.js'
import { useDatabase } from '../support/clients.js'
import { examplesOf, hasTerminal, runCommand, runOnTerminal, withoutNumbers } from '../support/command.js'
import { openConnection, openTransaction } from '../support/connection.js'
import { openRole } from '../support/role.js'
import { untilBlocked } from '../support/until-blocked.js'

const database = useDatabase()
const env = () => ({ DATABASE_URL: database.url })

const locks = (...args: string[]) => runCommand(['locks', ...args], { env: env() })
const locksAsJson = async (...args: string[]) => JSON.parse((await locks('--json', ...args)).stdout)

/** A connection that waits for something with this statement, until what it waits for is free. */
async function waiterOf(sql: string, values?: unknown[]) {
  const client = await openConnection(database.url)
  const pid = await pidOf(client)
  const done = client.query(sql, values).then(
    () => 'done',
    () => 'failed',
  )
  return { pid, done }
}

async function pidOf(client: { query(sql: string): Promise<{ rows: Record<string, unknown>[] }> }): Promise<number> {
  const { rows } = await client.query('SELECT pg_backend_pid() AS pid')
  return rows[0]?.pid as number
}

const HASH = 'SELECT pg_advisory_xact_lock(hashtextextended($1, 0))'

describe('locks', () => {
  test('says that nobody waits, and that no transaction is open', async () => {
    const { code, stdout, stderr } = await locks()

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toBe('Nobody waits for a lock.\n\nNo transaction is open.\n')
  })

  test('names the row that is waited for by its key, for the first who waits and for those behind', async () => {
    await database.query(`INSERT INTO "Stock" ("productId", warehouse) VALUES (7, 'main')`)
    const update = `UPDATE "Stock" SET "onHand" = 1 WHERE "productId" = 7`
    const holder = await openTransaction(database.url, update)
    const first = await waiterOf(update)
    await untilBlocked(database.url, 1)
    const second = await waiterOf(update)
    await untilBlocked(database.url, 2)

    const { waits, backends, oldest } = await locksAsJson()
    const { stdout } = await locks()

    const held = { table: 'public.Stock', key: { productId: 7, warehouse: 'main' } }
    const pid = await pidOf(holder)
    expect(waits).toEqual([
      expect.objectContaining({ pid: first.pid, blockers: [pid], ...held }),
      expect.objectContaining({ pid: second.pid, ...held }),
    ])
    expect(waits[0].waited).toBeGreaterThan(0)
    expect(backends).toContainEqual(expect.objectContaining({ pid, state: 'idle in transaction', query: update }))
    expect(oldest).toBe(pid)
    expect(stdout).toMatch(
      /^2 wait for a lock\.\n\npid \d+ waits for \d+.* for the row {"productId" : 7, "warehouse" : "main"} of public\.Stock\n {2}held by pid \d+\n/,
    )
    expect(stdout).toContain(`runs: ${update}`)
    expect(stdout).toContain(`pid ${pid} is waited for by pid ${first.pid}`)
    expect(stdout).toMatch(new RegExp(`The oldest open transaction is that of pid ${pid}\n.* in a transaction for \\d`))
    await holder.query('ROLLBACK')
    expect(await Promise.all([first.done, second.done])).toEqual(['done', 'done'])
  })

  test('prints what the page on the commands shows', async () => {
    await database.query(`INSERT INTO "Stock" ("productId", warehouse) VALUES (7, 'main') ON CONFLICT DO NOTHING`)
    const update = `UPDATE "Stock" SET "onHand" = 1 WHERE "productId" = 7`
    const holder = await openTransaction(database.url, update)
    const waiter = await waiterOf(update)
    await untilBlocked(database.url)

    expect([withoutNumbers((await locks()).stdout)]).toEqual(await examplesOf('locks'))
    await holder.query('ROLLBACK')
    await waiter.done
  })

  test('gives the place of a row that was changed meanwhile, or whose table cannot be read at once', async () => {
    await database.query(`INSERT INTO "Stock" ("productId", warehouse) VALUES (8, 'main')`)
    const update = `UPDATE "Stock" SET "onHand" = 1 WHERE "productId" = 8`
    const holder = await openTransaction(database.url, update)
    const waiter = await waiterOf(update)
    await untilBlocked(database.url, 1)
    const migration = await waiterOf('BEGIN; LOCK TABLE "Stock" IN ACCESS EXCLUSIVE MODE; COMMIT')
    await untilBlocked(database.url, 2)

    const { waits } = await locksAsJson()

    expect(waits).toContainEqual(
      expect.objectContaining({
        pid: waiter.pid,
        table: 'public.Stock',
        key: null,
        place: expect.stringMatching(/^\(\d+,\d+\)$/),
      }),
    )
    expect(waits).toContainEqual(
      expect.objectContaining({
        pid: migration.pid,
        type: 'relation',
        mode: 'AccessExclusiveLock',
        table: 'public.Stock',
      }),
    )
    expect((await locks()).stdout).toContain('for the table public.Stock (AccessExclusiveLock)')
    await holder.query('ROLLBACK')
    await Promise.all([waiter.done, migration.done])
  })

  test('says of an insert that waits for another of the same key what it waits for', async () => {
    const insert = `INSERT INTO "IdempotencyKey" (scope, key, request) VALUES ('s', 'k', 'r')`
    const holder = await openTransaction(database.url, insert)
    const waiter = await waiterOf(insert)
    await untilBlocked(database.url)

    expect((await locks()).stdout).toMatch(
      /for the end of transaction \d+, which inserts the same unique key or changes the row\n/,
    )
    await holder.query('ROLLBACK')
    await waiter.done
  })

  test('shows advisory locks by their numbers, and by the names of the keys that are given', async () => {
    const [number] = await database.query(`SELECT hashtextextended('["stock",7]', 0)::text AS number`)
    const holder = await openTransaction(database.url, HASH, ['["stock",7]'])
    const shared = await openTransaction(
      database.url,
      `SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0)), pg_advisory_xact_lock(3, 4)`,
      ['["report"]'],
    )
    const waiter = await waiterOf(HASH, ['["stock",7]'])
    await untilBlocked(database.url)

    const { waits, advisory } = await locksAsJson('--key', '["stock",7]', '--key', 'report')
    const { stdout } = await locks('--key', '["stock",7]')

    const [pid, other] = [await pidOf(holder), await pidOf(shared)]
    expect(waits).toEqual([
      expect.objectContaining({ pid: waiter.pid, blockers: [pid], advisory: number?.number, name: '["stock",7]' }),
    ])
    expect(advisory).toHaveLength(3)
    expect(advisory).toContainEqual({ pid, number: number?.number, mode: 'ExclusiveLock', name: '["stock",7]' })
    expect(advisory).toContainEqual({ pid: other, number: expect.any(String), mode: 'ShareLock', name: 'report' })
    expect(advisory).toContainEqual({ pid: other, number: '3, 4', mode: 'ExclusiveLock', name: null })
    expect(stdout).toContain(`for the advisory lock ${number?.number}, which is ["stock",7]`)
    expect(stdout).toMatch(new RegExp(`pid ${other} holds the shared advisory lock -?\\d+\n`))
    await holder.query('ROLLBACK')
    await shared.query('ROLLBACK')
    await waiter.done
  })

  test('ends a connection with --yes, and what waits for it goes on', async () => {
    await database.query(`INSERT INTO "Stock" ("productId", warehouse) VALUES (9, 'main')`)
    const update = `UPDATE "Stock" SET "onHand" = 1 WHERE "productId" = 9`
    const holder = await openTransaction(database.url, update)
    const pid = await pidOf(holder)
    const waiter = await waiterOf(update)
    await untilBlocked(database.url)

    const { code, stdout, stderr } = await locks('--end', String(pid), '--yes')

    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `The connection ${pid} is ended. What its transaction had written is rolled back.\n`,
    })
    expect(stderr).toContain(`pid ${pid}\n  user postgres, 127.0.0.1, in a transaction for `)
    expect(await waiter.done).toBe('done')
  })

  test('ends nothing without --yes where there is no terminal to ask on', async () => {
    const holder = await openTransaction(database.url, 'SELECT 1')

    const { code, stderr } = await locks('--end', String(await pidOf(holder)))

    expect(code).toBe(2)
    expect(stderr).toContain('error: there is no terminal to ask on: --yes ends it without a question')
    await holder.query('ROLLBACK')
  })

  test.runIf(hasTerminal)('asks on a terminal before it ends a connection', async () => {
    const holder = await openTransaction(database.url, 'SELECT 1')
    const pid = await pidOf(holder)

    const no = await runOnTerminal(['locks', '--end', String(pid)], [['End the connection', 'n']], { env: env() })
    const stillThere = (await holder.query('SELECT 1 AS one')).rows
    const yes = await runOnTerminal(['locks', '--end', String(pid)], [['End the connection', 'y']], { env: env() })

    expect(no.text).toContain('Nothing was ended.')
    expect([no.code, stillThere, yes.code]).toEqual([1, [{ one: 1 }], 0])
    expect(yes.text).toContain(`The connection ${pid} is ended.`)
  })

  test('says of a connection of another role that it may not be seen, and ends nothing', async () => {
    const holder = await openTransaction(database.url, 'SELECT 1')
    const pid = await pidOf(holder)

    const { code, stderr } = await runCommand(['locks', '--end', String(pid), '--yes'], {
      env: { DATABASE_URL: await openRole(database) },
    })

    expect(code).toBe(2)
    expect(stderr).toContain(`error: this role may not see the connection ${pid}`)
    expect((await holder.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
    await holder.query('ROLLBACK')
  })

  test('ends nothing if the connection, or its transaction, is not the one that was shown', async () => {
    const holder = await openTransaction(database.url, 'SELECT 1')
    const observer = await openConnection(database.url)
    const shown = await readBackend(observer, await pidOf(holder))
    if (!shown) throw new Error('The connection is not there.')

    const other = { ...shown, startedAt: '2020-01-01 00:00:00+00' }
    expect(await endBackend(observer, other)).toBeUndefined()
    await holder.query('COMMIT')
    await holder.query('BEGIN')
    expect(await endBackend(observer, shown)).toBeUndefined()

    expect((await holder.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
    await holder.query('ROLLBACK')
  })

  test.each([
    [['--end', 'x'], /argument 'x' is invalid\. It must be the number of a process\./],
    [['--end', '2147483647', '--yes'], /there is no connection 2147483647 of a client to this database/],
    [['--key', '[]'], /--key \[\] is no lock key/],
    [['--key', '[{}]'], /--key \[\{\}\] is no lock key/],
    [['--key', '[7'], /--key \[7 is no lock key/],
  ])('ends with 2 and a message when it is called with %j', async (args, message) => {
    const { code, stdout, stderr } = await locks(...args)

    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(message)
  })

  test.each([
    [`'it''s secret' VALID UNTIL 'infinity'`, ` VALID UNTIL 'infinity'`],
    [`E'it\\'s secret'`, ''],
    [`$x$it's secret$x$ LOGIN`, ' LOGIN'],
    [`'secret and cut o`, ''],
    [`$$secret and cut o`, ''],
    [`E'secret and cut off behind \\`, ''],
  ])('prints no password that a statement has: %s', (password, rest) => {
    expect(maskedQuery(`ALTER ROLE shop PASSWORD ${password}`)).toBe(`ALTER ROLE shop PASSWORD '***'${rest}`)
  })

  test('says of a connection whose work this role may not see that it may not', () => {
    const hidden = {
      pid: 1,
      startedAt: '',
      user: null,
      application: null,
      address: null,
      state: null,
      inState: null,
      transactionStartedAt: null,
      inTransaction: null,
      query: '<insufficient privilege>',
    }

    expect(backendLines(hidden)).toEqual([
      '  in no transaction, of a role whose work may not be seen',
      '  ran last: <insufficient privilege>',
    ])
  })
})
