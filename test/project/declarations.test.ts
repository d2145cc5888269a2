import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { schema } from '../../bench/types/schema.js'
import { CORPUS, writeCorpusSchema } from '../support/corpus.js'
import { corpusModule } from '../support/corpus-module.js'
import { type Editor, openEditor } from '../support/editor.js'
import { createFreshApp, type FreshApp } from '../support/fresh-app.js'
import { run } from '../support/run.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const KILOBYTE = 1_000

let app: FreshApp

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'concurrency-declarations-'))
  try {
    await cp(join(ROOT, 'test', 'declarations'), folder, { recursive: true })
    const ours = await readFile(join(ROOT, 'prisma', 'schema.prisma'), 'utf8')
    await writeFile(join(folder, 'schema.prisma'), ours.replace(/(output\s*=\s*)".*"/, '$1"./client"'))
    await mkdir(join(folder, 'large'))
    await writeFile(join(folder, 'large', 'schema.prisma'), schema(60))
    for (const name of Object.keys(CORPUS)) {
      await mkdir(join(folder, 'corpus', name), { recursive: true })
      await writeCorpusSchema(name, join(folder, 'corpus', name, 'schema.prisma'))
      await writeFile(join(folder, 'corpus', name, 'module.ts'), corpusModule(name))
    }
    app = await createFreshApp(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  for (const name of ['large', ...Object.keys(CORPUS).map((name) => `corpus/${name}`)]) {
    await run(process.execPath, [join(ROOT, 'scripts/generate.mjs'), '--schema', `${name}/schema.prisma`], app.folder)
  }
}, 600_000)
afterAll(() => app?.remove())

// Clients of many models are compiled under the first of them only.
describe('with `declaration: true`, a program exports clients, their types and what calls return, and compiles', () => {
  test.each(['tsconfig.json', 'bundler.json'])('under %s', { timeout: 600_000 }, async (config) => {
    await expect(app.declare(config)).resolves.toBeUndefined()
  })
})

test('so does a program of each schema of the corpus, with its models, keys and versions in the types', {
  timeout: 600_000,
}, async () => {
  await expect(app.declare('corpus.json')).resolves.toBeUndefined()
})

test.each(Object.keys(CORPUS))('the declarations of the schema %s say no `any`', async (name) => {
  const declarations = await readFile(join(app.folder, 'out', 'corpus', name, 'module.d.ts'), 'utf8')

  expect(declarations).not.toMatch(/\bany\b/)
})

// The compiler has written them above.
test('the declarations of a client of 60 models are no longer than a quarter of a kB for each method of a model', async () => {
  const { size } = await stat(join(app.folder, 'out', 'large.d.ts'))

  // Two clients are exported there, and each model has eight methods.
  expect(size).toBeLessThan(2 * 60 * 8 * 0.25 * KILOBYTE)
})

test('the declarations of a program compile by themselves, and nothing in them has become `any`', async () => {
  const declarations = await readFile(join(app.folder, 'out', 'callers.d.ts'), 'utf8')

  expect(declarations).not.toMatch(/\bany\b/)
})

test('no public signature of the package says `any`', async () => {
  const folder = join(app.packageFolder, 'dist')
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.d.ts'))
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
  const code = texts.map((text) => text.replace(/\/\*[\s\S]*?\*\/|\/\/.*|'[^'\n]*'/g, ''))

  expect(names.filter((_, index) => /\bany\b/.test(code[index] ?? ''))).toEqual([])
})

describe('in an editor', () => {
  let editor: Editor

  beforeAll(() => {
    editor = openEditor(app.folder, 'editor.ts')
  })

  test.each([
    [
      'core',
      [
        'around',
        'contention',
        'events',
        'idempotency',
        'lock',
        'onEvent',
        'retry',
        'transitions',
        'transparent',
        'version',
      ],
    ],
    ['retry', ['attempts', 'baseDelay', 'deadline', 'maxDelay', 'retryOn']],
    [
      'item',
      [
        'bumpVersion',
        'closedUntil',
        'expiresAt',
        'key',
        'lot',
        'maximum',
        'minimum',
        'model',
        'onHand',
        'opening',
        'receivedAt',
        'reserved',
        'sequence',
        'slots',
        'version',
      ],
    ],
    ['update', ['data', 'fence', 'retry', 'signal', 'where']],
    ['insert', ['data', 'fence', 'match', 'retry', 'signal', 'where']],
  ])('the options of %s are offered, each with what it means', (place, names) => {
    const offered = editor.completions(place)
    const documented = Array.from(offered).flatMap(([name, text]) => (text === '' ? [] : [name]))

    expect(documented.sort()).toEqual(names)
  })

  test('of the selection, what Prisma takes is offered too', () => {
    expect([...editor.completions('update').keys()]).toEqual(expect.arrayContaining(['select', 'include', 'omit']))
  })

  test.each([
    ['updateVersioned', '1', 'Updates one record'],
    ['tryUpdateVersioned', '2', 'Like `updateVersioned`'],
    ['deleteVersioned', '3', 'Deletes one record'],
    ['updateManyVersioned', '4', 'Updates many records'],
    ['createIdempotent', '5', 'Inserts a record once'],
    ['$transactionWithRetry', '6', 'An interactive transaction'],
    ['$withAdvisoryLock', '7', 'Runs the body'],
    ['$advisoryXactLock', '8', 'Takes an advisory lock'],
    ['$tryAdvisoryXactLock', '9', 'Takes an advisory lock'],
    ['$idempotent', '10', 'Runs a whole operation once'],
    ['$oncePer', '11', "Runs a job's body once"],
    ['$pruneIdempotencyKeys', '12', 'Deletes the keys'],
    ['$stock.move', '13', 'Moves stock of one item'],
    ['$serials.allocate', '14', 'Takes free serials'],
    ['$series.next', '15', 'The next number'],
  ])('%s shows its comment', (_, place, beginning) => {
    expect(editor.hover(place)).toContain(beginning)
  })
})
