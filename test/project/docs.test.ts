import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as erp from '../../src/erp.js'
import * as index from '../../src/index.js'
import { concurrency, versionTriggerSql } from '../../src/index.js'
import * as otel from '../../src/otel.js'
import * as pg from '../../src/pg.js'
import * as report from '../../src/report.js'
import * as testing from '../../src/testing.js'
import * as work from '../../src/work.js'
import { useDatabase } from '../support/clients.js'
import { anchorsOf, blocksOf, linksOf, type Page, readNotes, readPages } from '../support/pages.js'
import { run } from '../support/run.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const FOLDER = `${ROOT}/generated/docs`
const REPOSITORY = 'https://github.com/prisma-extension-concurrency/prisma-extension-concurrency'
const NAMES = ['base', 'db', 'redis', 'bank', 'id', 'transactionId', 'tenantId', 'sku', 'body', 'sendMail']

/** Of the examples: those for Nest have decorators. */
const CONFIG = { extends: '../../tsconfig.json', compilerOptions: { experimentalDecorators: true }, include: ['.'] }

/** The pages that are in the package, without the other files of the repository. */
const PACKED = ['README.md', 'CHANGELOG.md']

type Sources = Readonly<Record<string, readonly string[]>>

/** The names that a file of test/support declares for examples, by the file. */
async function declaredIn(file: string): Promise<Sources> {
  const text = await readFile(`${ROOT}/test/support/${file}.ts`, 'utf8')
  const names = text.matchAll(/^export (?:declare (?:const|function) |\{ )(\w+)/gm)
  return { [`../../test/support/${file}.js`]: Array.from(names, ([, name = '']) => name) }
}

/** Where the names come from that an example of a doc comment may use. */
const SOURCES: Sources = {
  'prisma-extension-concurrency': Object.keys(index),
  'prisma-extension-concurrency/erp': Object.keys(erp),
  'prisma-extension-concurrency/work': Object.keys(work).filter((name) => !(name in index)),
  'prisma-extension-concurrency/testing': Object.keys(testing),
  'prisma-extension-concurrency/otel': Object.keys(otel),
  'prisma-extension-concurrency/report': Object.keys(report),
  ...(await declaredIn('reference-context')),
}

/** The same for the entry point without Prisma. */
const PG_SOURCES: Sources = {
  'prisma-extension-concurrency/pg': Object.keys(pg),
  ...(await declaredIn('pg-reference-context')),
}

const database = useDatabase()
const pages = await readPages()
const pageAt = (path: string): Page => {
  const page = pages.find((page) => page.path === path)
  if (page === undefined) throw new Error(`There is no ${path}.`)
  return page
}
const withBlocks = (language: string) =>
  pages.flatMap((page) => blocksOf(page, language).map((code, index) => ({ path: page.path, index, code })))

describe('the README and docs', () => {
  const all = withBlocks('ts').map(({ path, index, code }) => ({
    name: `${path.slice(path.indexOf('/') + 1, -3).replaceAll('/', '-')}-${index}`,
    isFromComment: path.startsWith('docs/reference/'),
    sources: path === 'docs/reference/pg.md' ? PG_SOURCES : SOURCES,
    code,
  }))
  const examples = all.filter(({ isFromComment }) => !isFromComment)

  beforeAll(async () => {
    await rm(FOLDER, { recursive: true, force: true })
    await mkdir(FOLDER, { recursive: true })
    await Promise.all(
      all.map(({ name, code, isFromComment, sources }) =>
        writeFile(`${FOLDER}/${name}.ts`, isFromComment ? functionOf(code, sources) : moduleOf(code)),
      ),
    )
    await writeFile(`${FOLDER}/tsconfig.json`, JSON.stringify(CONFIG))
    await writeFile(`${FOLDER}/all.ts`, runnerOf(examples.map(({ name }) => name)))
  })
  afterAll(() => rm(FOLDER, { recursive: true, force: true }))

  test('have examples that compile', async () => {
    expect(await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', FOLDER], ROOT)).toBe('')
  }, 300_000)

  test('have examples that run, and print what their comments say', async () => {
    const output = await run(process.execPath, ['--import', 'tsx', `${FOLDER}/all.ts`], ROOT, {
      DATABASE_URL: database.url,
      TSX_TSCONFIG_PATH: `${FOLDER}/tsconfig.json`,
    })
    expect(output).toMatch(/stock: 37,/)
    expect(output).toMatch(/version: 2,/)
    expect(output).toMatch(/Somebody was faster: Chai Latte/)
    expect(output).toMatch(/\[ \{ status: 'stale', expected: 0, actual: 1 \} \]/)
    expect(output).toMatch(/deleted: Chai/)
    expect(output).toMatch(/There already\./)
    expect(output).toMatch(/The record has version 0 now\./)
    expect(output).toMatch(/model IdempotencyKey \{/)
    expect(output).toMatch(/model Lease \{/)
    expect(output).toMatch(/^nightly-report: ran\nnightly-report: done$/m)
    expect(output).toMatch(/^Nest has ran$/m)
    expect(output).toMatch(/model OutboxKey \{/)
    expect(output).toMatch(/^sent: true 36$/m)
    expect(output).toMatch(/^delivery 1 handled\ndelivery 2 duplicate$/m)
    expect(output).toMatch(/^handled 1 duplicates 1\nnewer: handled\nolder: outdated$/m)
    expect(output).toMatch(/written: \d+/)
    expect(output).toMatch(/model StockReservation \{/)
    expect(output).toMatch(/discrepancies: \[\]/)
    expect(output).toMatch(/^credit left: 440$/m)
    expect(output).toMatch(/^taken over: \[\]$/m)
    expect(output).toMatch(/^folded: true \{[^}]*onHand: 37,/m)
    expect(output).toMatch(/^opened: \{[^}]*onHand: 39,/m)
    expect(output).toMatch(/\[ 'SN-000001', 'SN-000002', 'SN-000003' \]/)
    expect(output).toMatch(/^48$/m)
    expect(output).toMatch(/delivery note 1, 7 left/)
    for (const line of blocksOf(pageAt('docs/guide/testing.md'), 'text').join('').trim().split('\n')) {
      expect(output).toContain(line.replace(/ …$/, ' '))
    }
    expect(output).toMatch(/^LOCK_TIMEOUT\n/m)
    expect(output).toMatch(/^Nest: 38\nNext: 200 412\nHono: \[ 201, 200, 422 \]$/m)
    expect(output).toMatch(/^updated stale\n1\n1 1$/m)
    expect(output).toMatch(/\{ status: 409, available: 2 \}/)
  })

  test('have models that Prisma accepts', async () => {
    const generator = 'generator client {\n  provider = "prisma-client"\n  output   = "./client"\n}\n'
    for (const model of new Set(withBlocks('prisma').map(({ code }) => code))) {
      await writeFile(`${FOLDER}/docs.prisma`, `${generator}datasource db {\n  provider = "postgresql"\n}\n${model}`)
      const generate = ['scripts/generate.mjs', '--schema', `${FOLDER}/docs.prisma`]
      expect(await run(process.execPath, generate, ROOT)).toBe('')
    }
  })

  test('show the trigger as the package writes it', () => {
    const db = database.connect().client.$extends(concurrency())
    expect(blocksOf(pageAt('docs/guide/version-trigger.md'), 'sql')).toEqual([versionTriggerSql(db, 'Product')])
  })

  test('show a formula of the lock that names the same lock', async () => {
    const db = database.connect().client.$extends(concurrency())
    const [sql = ''] = blocksOf(pageAt('docs/guide/advisory-locks.md'), 'sql')
    const formula = sql.replace('pg_advisory', 'pg_try_advisory').replace(';', ' AS taken')
    const rows = await db.$withAdvisoryLock(['stock', 'A-1'], () => database.query(formula))
    expect(rows).toEqual([{ taken: false }])
  })

  test('name every error of the package, with its code, and no other', async () => {
    const files = await readdir(`${ROOT}/src/errors`)
    const sources = await Promise.all(files.map((name) => readFile(`${ROOT}/src/errors/${name}`, 'utf8')))
    const source = sources.join()
    const classes = [...source.matchAll(/export class (\w+) extends ConcurrencyError \{\n\s+readonly code = '(\w+)'/g)]
    const table = [...pageAt('docs/guide/errors.md').text.matchAll(/^\| `(\w+Error)` \| `(\w+)` \|/gm)]
    const pairs = (matches: RegExpMatchArray[]) => matches.map(([, name, code]) => `${name} ${code}`).sort()
    expect(pairs(table)).toEqual(pairs(classes))
  })

  test('make one of every error', () => {
    const [, code = ''] = blocksOf(pageAt('docs/guide/testing-without-a-database.md'), 'ts')
    const made = Array.from(code.matchAll(/new errors\.(\w+)\(/g), ([, name]) => name)
    const all = Object.keys(index).filter((name) => name.endsWith('Error') && /^[A-Z]/.test(name))
    expect(made.sort()).toEqual(all.filter((name) => name !== 'ConcurrencyError').sort())
  })

  test('name Prisma 7 wherever they say what to install', () => {
    for (const { text, path } of pages) {
      const installs = text.match(/^npm (?:install|i) .*$/gm) ?? []
      const packages = installs.flatMap(
        (line) => line.replace(/#.*/, '').match(/(?<= )@?prisma(?:\/\S+|@\S+)?(?= |$)/g) ?? [],
      )
      if (path === 'README.md')
        expect(packages.sort()).toEqual(['@prisma/adapter-pg@7', '@prisma/client@7', 'prisma@7'])
      expect(packages.filter((name) => !name.endsWith('@7'))).toEqual([])
    }
  })

  test('name commands that there are', async () => {
    const { scripts } = JSON.parse(await readFile(`${ROOT}/package.json`, 'utf8')) as { scripts: object }
    const named = pages.flatMap(({ text }) => [...text.matchAll(/\bnpm run ([\w:]+)/g)]).map(([, name]) => name)
    expect(named.length).toBeGreaterThan(5)
    expect(named.filter((name) => !Object.keys(scripts).includes(name as string))).toEqual([])
  })

  test('link to nothing that is not there, nor does the package, which has no other files of the repository', async () => {
    for (const page of [...pages, ...(await readNotes())]) {
      for (const target of linksOf(page)) {
        const [place = '', anchor] = target.replace(REPOSITORY, '').split('#')
        if (target.startsWith(REPOSITORY)) await expectLink(page, place.replace(/^\/(?:blob|tree)\/main\//, ''), anchor)
        else if (/^\w+:/.test(target)) expect(target).toMatch(/^https:/)
        else if (place === '') await expectLink(page, page.path, anchor)
        else {
          expect(PACKED, `${target} must be absolute`).not.toContain(page.path)
          await expectLink(page, posix.join(posix.dirname(page.path), place), anchor)
        }
      }
    }
  })

  test('the reference is what the doc comments and the written-down SQL say', async () => {
    expect(await run(process.execPath, ['scripts/reference.mjs', '--check'], ROOT)).toBe('')
  })

  test('the README can be read in five minutes', () => {
    expect(Buffer.byteLength(pageAt('README.md').text)).toBeLessThan(10_000)
  })
})

describe('docs/internals/architecture.md', async () => {
  const { text } = pageAt('docs/internals/architecture.md')
  const folders = Object.keys(JSON.parse(await readFile(`${ROOT}/docs/internals/layers.json`, 'utf8')).folders)

  test('has every folder of the map of layers in its picture and in its table', () => {
    const [picture = ''] = blocksOf({ path: '', text }, 'mermaid')
    const table = text.slice(text.indexOf('| Layer |'), text.indexOf('## The map'))
    expect(folders.filter((folder) => !new RegExp(`\\b${folder}\\b`).test(picture))).toEqual([])
    expect(folders.filter((folder) => !table.includes(`\`${folder}\``))).toEqual([])
  })

  test('names functions that there are, on the way of ten calls to their statements, at most five to each', async () => {
    const ways = text.split(/^### /m).slice(1)
    expect(ways).toHaveLength(10)
    for (const way of ways) {
      const calls = [...way.matchAll(/^\d+\. `(?:\w+\.)?(#?\w+)` in `(src\/[^`]+)`/gm)]
      expect(calls.length, way).toBeGreaterThan(0)
      expect(calls.length, way).toBeLessThanOrEqual(5)
      for (const [line, name = '', path] of calls) {
        const source = await readFile(`${ROOT}/${path}`, 'utf8')
        expect(new RegExp(`(?<![\\w#])${name}\\b`).test(source), line).toBe(true)
      }
    }
  })
})

test.each(['docs/guarantees.md', 'docs/versions.md'])('%s names tests that there are', async (path) => {
  const { text } = pageAt(path)
  const names = [...text.matchAll(/^\|.*\| (`[^|]+) \|$/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
  )
  expect(names.length).toBeGreaterThan(10)
  for (const name of new Set(names.filter((name) => name !== 'types/'))) {
    await expect(readFile(`${ROOT}/test/${name}.test.ts`), name).resolves.toBeDefined()
  }
})

/** A link leads to a file or folder, and to a heading in it if it names one. */
async function expectLink(from: Page, path: string, anchor: string | undefined): Promise<void> {
  await expect(stat(`${ROOT}/${path}`), `${path} in ${from.path}`).resolves.toBeDefined()
  if (anchor !== undefined) expect(anchorsOf(pageAt(path)), `${path} in ${from.path}`).toContain(anchor)
}

/** An example as a module of its own. Those that make a client themselves need nothing else. */
function moduleOf(code: string): string {
  const moved = code.replace("'./generated/prisma/client.js'", "'../prisma/client.js'")
  if (code.includes('new PrismaClient(') || code.includes('new Pool(')) return `${moved}\nexport {}\n`
  const imports = moved.match(/^import .*$/gm) ?? []
  const rest = moved.replace(/^import .*\n/gm, '')
  return [
    ...imports,
    "import { context } from '../../test/support/docs-context.js'",
    `const { ${NAMES.filter((name) => !code.includes(`const ${name} = `)).join(', ')} } = await context()`,
    rest,
    'export {}',
  ].join('\n')
}

/** An example of a doc comment as a function that nobody calls. It may use all exports, and what its context declares. */
function functionOf(code: string, sources: Sources): string {
  const isUsed = (name: string) => new RegExp(`(?<![\\w$.'])${name}\\b`).test(code) && !code.includes(`const ${name} =`)
  const imports = Object.entries(sources).map(
    ([from, names]) => `import { ${names.filter(isUsed).join(', ')} } from '${from}'`,
  )
  return `${imports.join('\n')}\nexport async function example() {\n${code}}\n`
}

function runnerOf(names: readonly string[]): string {
  return [
    "import { base } from '../../test/support/docs-context.js'",
    'try {',
    ...names.map((name) => `await import('./${name}.js')`),
    '} finally { await base.$disconnect() }',
    'export {}',
  ].join('\n')
}
