import { describe, expect, test } from 'vitest'
import { masked, messageOf } from '../../src/cli/message.js'
import { useDatabase } from '../support/clients.js'
import { appFolder, runCommand } from '../support/command.js'

const database = useDatabase()
const env = () => ({ DATABASE_URL: database.url })
/** Put together, since no file of the repository may hold a credential. */
const LOGIN = ['u', 'hunter2@'].join(':')
const MASKED = ['u', '***@'].join(':')
const CLIENT = ['--client', 'test/support/command-client.ts']

describe('the command', () => {
  test('says with --help what there is, and what the exit codes mean', async () => {
    const { code, stdout, stderr } = await runCommand(['--help'])

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/Usage: prisma-extension-concurrency[\s\S]*doctor[\s\S]*Exit codes: 0 /)
  })

  test('has the version of the package', async () => {
    const { stdout } = await runCommand(['--version'])

    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  test.each(['doctor', 'init', 'sql', 'audit', 'locks'])(
    'says of %s with --help what its options are',
    async (name) => {
      const { code, stdout } = await runCommand([name, '--help'])

      expect(code).toBe(0)
      expect(stdout).toMatch(new RegExp(`Usage: prisma-extension-concurrency ${name} [\\s\\S]*--help`))
    },
  )

  test.each([
    [['docter'], /unknown command 'docter'/],
    [['doctor', '--jsn'], /unknown option '--jsn'/],
    [['doctor', '--url', 'mysql://h/d'], /is not the URL of a PostgreSQL database/],
    [['doctor', '--url', 'postgresql://127.0.0.1:1/d'], /cannot be reached/],
    [['locks', '--url', 'postgresql://127.0.0.1:1/d'], /the database .* cannot be reached/],
    [['doctor'], /no database: set DATABASE_URL, or give --url/],
  ])('ends with 2 and a message when it is called as %j', async (args, message) => {
    const { code, stdout, stderr } = await runCommand(args)

    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(message)
  })

  test.each([
    [['--client', 'nowhere.ts'], /there is no file nowhere\.ts/],
    [['--client', 'test/support/gate.ts'], /exports no client with concurrency\(\) on it; its exports are gate/],
    [[...CLIENT, '--export', 'other'], /exports no client other .* db/],
    [['--config', 'nowhere.json'], /nowhere\.json cannot be read/],
    [['--schema', 'nowhere.prisma'], /there is no Prisma schema at .*nowhere\.prisma/],
  ])('says what is wrong with %j', async (args, message) => {
    const { code, stderr } = await runCommand(['doctor', ...args], { env: env() })

    expect(code).toBe(2)
    expect(stderr).toMatch(message)
  })

  test('prints no password: not of a URL that it cannot use, nor of one that is refused', async () => {
    const url = new URL(database.url)
    url.username = 'nobody'
    url.password = 'hunter2'
    const tried = await Promise.all(
      [
        url.href,
        `mysql://${LOGIN}h/d`,
        `postgresql://${LOGIN}127.0.0.1:1/d`,
        `postgresql://${LOGIN}[/d`,
        `postgresql://shop@azure:a/ b${LOGIN.slice(2)}127.0.0.1:1/d`,
        'postgresql://127.0.0.1:1/d?sslpassword=hunter2',
      ].map((url) => runCommand(['doctor', '--url', url])),
    )

    expect(tried.map(({ code }) => code)).toEqual([2, 2, 2, 2, 2, 2])
    expect(tried.map(({ stdout, stderr }) => stdout + stderr).join('\n')).not.toContain('hunter2')
  })
})

describe('report prints no secret of a URL', () => {
  test.each([
    `http://${LOGIN}127.0.0.1:1/c?token=hunter2`,
    `http://${LOGIN}${LOGIN.slice(2)}127.0.0.1:1/c`,
    'http://hunter2@127.0.0.1:1/c',
    'http://127.0.0.1:99999999/c?token=hunter2',
    'http://127.0.0.1:1/c?token=hunter2',
  ])('%s', async (url) => {
    const { code, stdout, stderr } = await runCommand(['report', url])

    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(/^error: http:\/\/127\.0\.0\.1:\d+\/c cannot be read: /)
    expect(stderr).not.toContain('hunter2')
  })
})

describe('the mapping is read', () => {
  test('from the client of the application, in TypeScript', async () => {
    const { code, stdout, stderr } = await runCommand(['doctor', ...CLIENT], { env: env() })

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toBe('Nothing was found.\n')
  })

  test('from a config file and the Prisma schema, by the parser of Prisma', async () => {
    const cwd = await appFolder({
      'schema.prisma': 'model Product {\n  id Int @id\n  stock Int\n}\n',
      'concurrency.config.json':
        '{ "stock": { "item": { "model": "Product", "key": "id" }, "movement": { "model": "Move" } } }',
    })
    const { code, stdout } = await runCommand(['doctor'], { cwd, env: env() })

    expect(code).toBe(1)
    expect(stdout).toContain(
      'error CONFIGURATION: movement.model\n  there is no model Move in the schema; there are Product',
    )
  })

  test('from a config file and the tables of the database, where there is no schema', async () => {
    const cwd = await appFolder({
      'concurrency.config.mjs': "export default { concurrency: { models: { Nothing: { table: 'nothing' } } } }",
    })
    const { code, stdout } = await runCommand(['doctor'], { cwd, env: env() })

    expect(code).toBe(1)
    expect(stdout).toContain('error CONFIGURATION: models.Nothing\n  the database has no table nothing')
  })

  test('and mistakes in the schema are told in the words of Prisma', async () => {
    const cwd = await appFolder({ 'schema.prisma': 'model Product {\n  id Int @id\n  stock Money\n}\n' })
    const { code, stderr } = await runCommand(['doctor'], { cwd, env: env() })

    expect(code).toBe(2)
    expect(stderr).toContain('Type "Money" is neither a built-in type')
  })

  test('and a config file with a name that is no option is refused', async () => {
    const cwd = await appFolder({ 'concurrency.config.json': '{ "clients": "./db.ts" }' })
    const { code, stderr } = await runCommand(['doctor'], { cwd, env: env() })

    expect(code).toBe(2)
    expect(stderr).toContain('concurrency.config.json: clients is not an option')
  })
})

describe('a message', () => {
  test.each([
    [`postgresql://${LOGIN}h:5432/d`, `postgresql://${MASKED}h:5432/d`],
    [`at postgres://${LOGIN}@h/d now`, `at postgres://${MASKED}h/d now`],
    ['host=h password=secret dbname=d', 'host=h password=*** dbname=d'],
    ["host=h password='a secret' dbname=d", 'host=h password=*** dbname=d'],
    ['postgresql://h/d?user=u&password=secret&x=1', 'postgresql://h/d?user=u&password=***&x=1'],
    ['postgresql://u@h/d', 'postgresql://u@h/d'],
    [`postgresql://${LOGIN.replace('2', '/2')}h/d`, `postgresql://${MASKED}h/d`],
    [`postgresql://${LOGIN.replace(':', '@azure:')}h/d`, `postgresql://${MASKED.replace(':', '@azure:')}h/d`],
    ['postgresql://h/d?sslpassword=secret', 'postgresql://h/d?sslpassword=***'],
    ['PGPASSWORD=secret psql', 'PGPASSWORD=*** psql'],
    ['password="a secret" dbname=d', 'password=*** dbname=d'],
  ])('%s is printed as %s', (text, printed) => {
    expect(masked(text)).toBe(printed)
  })

  test('has those of the causes, and of all errors in one', () => {
    const error = new Error('outer', { cause: new AggregateError([new Error('one'), new Error('two')]) })

    expect(messageOf(error)).toBe('outer\n  cause: one; two')
  })
})
