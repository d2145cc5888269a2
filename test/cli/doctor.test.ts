import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { breakableDatabase } from '../support/broken.js'
import { appFolder, runCommand } from '../support/command.js'
import { databaseName } from '../support/database.js'
import { startPgBouncer, whyNoPgBouncer } from '../support/pgbouncer.js'
import { openRole } from '../support/role.js'

const CLIENT = ['doctor', '--client', 'test/support/command-client.ts']
const doctor = (url: string, ...args: readonly string[]) =>
  runCommand([...CLIENT, ...args], { env: { DATABASE_URL: url } })
const codesOf = (stdout: string): string[] =>
  (JSON.parse(stdout) as { findings: { severity: string; code: string }[] }).findings.map(
    ({ severity, code }) => `${severity} ${code}`,
  )

describe('doctor', () => {
  test('prints each finding with its cost and the SQL that mends it, and ends with 1 where one is an error', async () => {
    const database = await breakableDatabase()
    await database.query('DROP INDEX "Payment_transactionId_key"')

    const { code, stdout } = await doctor(database.url)

    expect(code).toBe(1)
    expect(stdout).toBe(`error KEY_MISSING: "public"."Payment" ("transactionId")
  There is no unique index of these columns that holds for all rows.
  cost: Without it createIdempotent refuses this key, and every other insert writes its duplicates: a payment that is sent again is there twice.
  mend:
    CREATE UNIQUE INDEX "Payment_transactionId_key" ON "public"."Payment" ("transactionId");
`)
  })

  test('ends with 0 where no finding is an error, and prints them as JSON', async () => {
    const database = await breakableDatabase()
    await database.query('ALTER TABLE "Product" ALTER COLUMN version DROP DEFAULT')

    const { code, stdout } = await doctor(database.url, '--json')

    expect({ code, codes: codesOf(stdout) }).toEqual({ code: 0, codes: ['warning VERSION_DEFAULT'] })
  })

  test('finds a trigger that is named and not there', async () => {
    const database = await breakableDatabase()

    const { stdout } = await doctor(database.url, '--json', '--trigger', 'Product', 'Order')

    expect(codesOf(stdout)).toEqual(['error TRIGGER_MISSING', 'error TRIGGER_MISSING'])
  })

  test('looks at the privileges of another role', async () => {
    const database = await breakableDatabase()
    const role = new URL(await openRole(database)).username
    await database.query(`REVOKE INSERT ON "SeriesNumber" FROM ${role}`)

    const { stdout } = await doctor(database.url, '--json', '--role', role)

    expect(codesOf(stdout)).toEqual(['error PRIVILEGE_MISSING'])
  })

  test('tries statements as the role that is connected, whatever the other one may', async () => {
    const database = await breakableDatabase()
    await database.query(`REVOKE TEMPORARY ON DATABASE "${databaseName(database.url)}" FROM PUBLIC`)
    const limited = await openRole(database)

    const own = await doctor(limited, '--json', '--role', 'postgres')
    const others = await doctor(database.url, '--json', '--role', new URL(limited).username)

    expect([codesOf(own.stdout), codesOf(others.stdout)]).toEqual([['info CAPABILITY_NOT_TRIED'], []])
  })

  test('writes with --fix a migration that mends the tables, and runs nothing', async () => {
    const database = await breakableDatabase()
    const folder = await appFolder({ '20990101000000_last/migration.sql': '' })
    await database.query(
      'DROP INDEX "Payment_transactionId_key"; ALTER TABLE "Product" ALTER COLUMN version DROP NOT NULL',
    )

    const first = await doctor(database.url, '--fix', folder)
    const again = await doctor(database.url)
    const names = (await readdir(folder)).filter((name) => /^\d{14}_/.test(name)).sort()
    const migration = names.at(-1) ?? ''
    await database.query(await readFile(join(folder, migration, 'migration.sql'), 'utf8'))

    expect(names).toEqual(['20990101000000_last', '20990101000001_mend_concurrency'])
    expect([first.code, again.code, (await doctor(database.url)).code]).toEqual([1, 1, 0])
    expect(first.stderr).toContain(join(folder, migration, 'migration.sql'))
  })

  test('makes with --fix tables that are missing, and what refers to them, from the schema alone', async () => {
    const database = await breakableDatabase()
    await database.query('DROP TABLE "Order", "Product" CASCADE')
    const cwd = await appFolder({
      'schema.prisma': await readFile('prisma/schema.prisma', 'utf8'),
      'migrations/20260101000000_first/migration.sql': '',
      'concurrency.config.json': '{}',
    })
    const inFolder = (...args: string[]) =>
      runCommand(['doctor', ...args], { cwd, env: { DATABASE_URL: database.url } })

    const found = await inFolder('--json', '--fix')
    const migration = (await readdir(join(cwd, 'migrations'))).find((name) => name.endsWith('_mend_concurrency'))
    await database.query(await readFile(join(cwd, 'migrations', `${migration}`, 'migration.sql'), 'utf8'))

    expect(codesOf(found.stdout).slice(0, 3)).toEqual([
      'error TABLE_MISSING',
      'error TABLE_MISSING',
      'warning FOREIGN_KEY_MISSING',
    ])
    expect((await inFolder()).stdout).toBe('Nothing was found.\n')
  })

  test('tries with --probe-schema what two sessions need a table for, and leaves none', async () => {
    const database = await breakableDatabase()

    const { code, stdout, stderr } = await doctor(database.url, '--probe-schema', 'public')

    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'Nothing was found.\n', stderr: '' })
    expect(await database.query("SELECT 1 FROM pg_class WHERE relname LIKE '%probe%'")).toEqual([])
  })

  test('drops with --probe-schema the table of a check that was killed, and not that of one which runs', async () => {
    const database = await breakableDatabase()
    const [old, young] = [Date.now() - 7_200_000, Date.now()].map((time) => `concurrency_probe_${time}_0123abcd`)
    const others = ['concurrency_probe_mine', `concurrency_probe_${Date.now() - 7_200_000}_mine`]
    for (const name of [old, young, ...others]) await database.query(`CREATE TABLE ${name} (id int)`)

    await doctor(database.url, '--probe-schema', 'public')

    const left = await database.query("SELECT relname FROM pg_class WHERE relname LIKE '%probe%'")
    expect(left.map(({ relname }) => relname).sort()).toEqual([young, ...others].sort())
  })

  test('needs nothing but a config file and the schema', async () => {
    const database = await breakableDatabase()
    await database.query('ALTER TABLE "StockMovement" DROP CONSTRAINT "StockMovement_pkey"')
    const cwd = await appFolder({
      'schema.prisma': await readFile('prisma/schema.prisma', 'utf8'),
      'concurrency.config.json':
        '{ "stock": { "item": { "model": "Stock", "key": ["productId", "warehouse"] }, "movement": { "model": "StockMovement" } } }',
    })

    const { stdout } = await runCommand(['doctor', '--json'], { cwd, env: { DATABASE_URL: database.url } })

    expect(codesOf(stdout)).toEqual(['error KEY_MISSING'])
  })
})

describe.skipIf(whyNoPgBouncer)(
  `doctor behind PgBouncer${whyNoPgBouncer ? ` (skipped: ${whyNoPgBouncer})` : ''}`,
  () => {
    const bouncer = async (mode: 'transaction' | 'session') => {
      const database = await breakableDatabase()
      const { url, stop } = await startPgBouncer(database.url, 4, mode)
      onTestFinished(stop)
      return url
    }
    test('does not wait for itself where the pooler has one connection to the server', async () => {
      const database = await breakableDatabase()
      const { url, stop } = await startPgBouncer(database.url, 1)
      onTestFinished(stop)

      const { code, stdout } = await doctor(url, '--json')

      expect({ code, codes: codesOf(stdout) }).toEqual({ code: 0, codes: ['info POOLER', 'info CAPABILITY_NOT_TRIED'] })
    })

    const byNames = (url: string) =>
      runCommand(['doctor', '--json', '--client', 'test/support/naming-client.ts'], { env: { DATABASE_URL: url } })

    test('finds that named statements are lost in transaction mode', async () => {
      const { code, stdout } = await byNames(await bouncer('transaction'))

      expect({ code, codes: codesOf(stdout) }).toEqual({ code: 1, codes: ['error NAMED_STATEMENTS'] })
    })

    test('says that there is one in transaction mode, which does no harm to statements without names', async () => {
      const { code, stdout } = await doctor(await bouncer('transaction'), '--json')

      expect({ code, codes: codesOf(stdout) }).toEqual({ code: 0, codes: ['info POOLER'] })
    })

    test('takes named statements in session mode for what they are: right', async () => {
      const { code, stdout } = await byNames(await bouncer('session'))

      expect({ code, codes: codesOf(stdout) }).toEqual({ code: 0, codes: ['info POOLER'] })
    })
  },
)
