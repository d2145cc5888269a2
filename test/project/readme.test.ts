import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concurrency, versionTriggerSql } from '../../src/index.js'
import { useDatabase } from '../support/clients.js'
import { run } from '../support/run.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const FOLDER = `${ROOT}/generated/readme`
const REPOSITORY = 'https://github.com/prisma-extension-concurrency/prisma-extension-concurrency'
const NAMES = ['base', 'db', 'id', 'transactionId', 'tenantId', 'sku', 'body', 'sendMail']

const database = useDatabase()

describe('the README', async () => {
  const readme = await readFile(`${ROOT}/README.md`, 'utf8')
  const blocks = (language: string) =>
    [...readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(([, code = '']) => code)

  beforeAll(async () => {
    await rm(FOLDER, { recursive: true, force: true })
    await mkdir(FOLDER, { recursive: true })
    const examples = blocks('ts')
    await Promise.all(examples.map((code, index) => writeFile(`${FOLDER}/example-${index}.ts`, moduleOf(code))))
    await writeFile(`${FOLDER}/tsconfig.json`, JSON.stringify({ extends: '../../tsconfig.json', include: ['.'] }))
    await writeFile(`${FOLDER}/all.ts`, runnerOf(examples.length))
  })
  afterAll(() => rm(FOLDER, { recursive: true, force: true }))

  test('has examples that compile', async () => {
    expect(await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', FOLDER], ROOT)).toBe('')
  })

  test('has examples that run, and print what their comments say', async () => {
    const output = await run(process.execPath, ['--import', 'tsx', `${FOLDER}/all.ts`], ROOT, {
      DATABASE_URL: database.url,
    })
    expect(output).toMatch(/stock: 37,/)
    expect(output).toMatch(/version: 2,/)
    expect(output).toMatch(/Somebody was faster: Chai Latte/)
    expect(output).toMatch(/model IdempotencyKey \{/)
    expect(output).toMatch(/written: \d+/)
    expect(output).toMatch(/model StockReservation \{/)
    expect(output).toMatch(/discrepancies: \[\]/)
    expect(output).toMatch(/\[ 'SN-000001', 'SN-000002', 'SN-000003' \]/)
  })

  test('shows the trigger as the package writes it', () => {
    const db = database.connect().client.$extends(concurrency())
    expect(blocks('sql')[0]).toBe(versionTriggerSql(db, 'Product'))
  })

  test('shows a formula of the lock that names the same lock', async () => {
    const db = database.connect().client.$extends(concurrency())
    const formula = (blocks('sql')[1] ?? '').replace('pg_advisory', 'pg_try_advisory').replace(';', ' AS taken')
    const rows = await db.$withAdvisoryLock(['stock', 'A-1'], () => database.query(formula))
    expect(rows).toEqual([{ taken: false }])
  })

  test('names every error of the package, with its code, and no other', async () => {
    const files = await readdir(`${ROOT}/src/errors`)
    const sources = await Promise.all(files.map((name) => readFile(`${ROOT}/src/errors/${name}`, 'utf8')))
    const source = sources.join()
    const classes = [...source.matchAll(/export class (\w+) extends ConcurrencyError \{\n\s+readonly code = '(\w+)'/g)]
    const table = [...readme.matchAll(/^\| `(\w+Error)` \| `(\w+)` \|/gm)]
    const pairs = (matches: RegExpMatchArray[]) => matches.map(([, name, code]) => `${name} ${code}`).sort()
    expect(pairs(table)).toEqual(pairs(classes))
  })

  test('names Prisma 7 wherever it says what to install', () => {
    const installs = readme.match(/^npm (?:install|i) .*$/gm) ?? []
    const packages = installs.flatMap(
      (line) => line.replace(/#.*/, '').match(/(?<= )@?prisma(?:\/\S+|@\S+)?(?= |$)/g) ?? [],
    )

    expect(packages.sort()).toEqual(['@prisma/adapter-pg@7', '@prisma/client@7', 'prisma@7'])
  })

  test('links to nothing that is not there, on npm either, which has no other files of the repository', async () => {
    const headings = [...readme.matchAll(/^#+ (.+)$/gm)].map(
      ([, text = '']) => `#${text.toLowerCase().replaceAll(' ', '-')}`,
    )
    for (const [, target = ''] of readme.matchAll(/\]\(([^)]+)\)/g)) {
      if (target.startsWith('#')) expect(headings).toContain(target)
      else if (target.startsWith(REPOSITORY)) {
        const path = target.slice(REPOSITORY.length).replace(/^\/(?:blob|tree)\/main\//, '')
        await expect(stat(`${ROOT}/${path}`), target).resolves.toBeDefined()
      } else expect(target).toMatch(/^https:/)
    }
  })
})

test('docs/guarantees.md names tests that there are', async () => {
  const text = await readFile(`${ROOT}/docs/guarantees.md`, 'utf8')
  const names = [...text.matchAll(/^\|.*\| (`[^|]+) \|$/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
  )
  expect(names.length).toBeGreaterThan(40)
  for (const name of new Set(names.filter((name) => name !== 'types/'))) {
    await expect(readFile(`${ROOT}/test/${name}.test.ts`), name).resolves.toBeDefined()
  }
})

/** An example as a module of its own. Those that make a client themselves need nothing else. */
function moduleOf(code: string): string {
  const moved = code.replace("'./generated/prisma/client.js'", "'../prisma/client.js'")
  if (code.includes('new PrismaClient(')) return `${moved}\nexport {}\n`
  const imports = moved.match(/^import .*$/gm) ?? []
  const rest = moved.replace(/^import .*\n/gm, '')
  return [
    ...imports,
    "import { context } from '../../test/support/readme-context.js'",
    `const { ${NAMES.filter((name) => !code.includes(`const ${name} = `)).join(', ')} } = await context()`,
    rest,
    'export {}',
  ].join('\n')
}

function runnerOf(count: number): string {
  const imports = Array.from({ length: count }, (_, index) => `await import('./example-${index}.js')`)
  return [
    "import { base } from '../../test/support/readme-context.js'",
    'try {',
    ...imports,
    '} finally { await base.$disconnect() }',
    'export {}',
  ].join('\n')
}
