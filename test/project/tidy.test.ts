import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const NOT_OURS = new Set(['.git', 'node_modules', 'dist', 'generated', 'coverage'])
const LONGEST_FILE = 350

/** Every text file below a folder, by its path from the root. */
async function textsIn(folder: string): Promise<Map<string, string>> {
  const entries = (await readdir(join(ROOT, folder), { withFileTypes: true })).filter(({ name }) => !NOT_OURS.has(name))
  const texts = new Map<string, string>()
  for (const entry of entries) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) for (const [name, text] of await textsIn(path)) texts.set(name, text)
    else if (entry.isFile()) texts.set(path.replaceAll(sep, '/'), await readFile(join(ROOT, path), 'utf8'))
  }
  return texts
}

/** Where a pattern is found, as `file:line: the match`. */
function found(texts: Map<string, string>, pattern: RegExp): string[] {
  return Array.from(texts).flatMap(([path, text]) =>
    text.split('\n').flatMap((line, index) => {
      const match = pattern.exec(line)
      return match === null ? [] : [`${path}:${index + 1}: ${match[0]}`]
    }),
  )
}

/** The relative imports of the sources, as `[from, to]`, both as paths in src. */
async function importsInSrc(): Promise<[from: string, to: string][]> {
  const imports = Array.from(await textsIn('src')).flatMap(([path, text]) =>
    Array.from(text.matchAll(/\bfrom '(\.[^']+)'/g), ([, specifier = '']): [string, string] => [
      relative('src', path),
      relative('src', join(dirname(path), specifier)),
    ]),
  )
  expect(imports.length).toBeGreaterThan(100)
  return imports
}

const folderOf = (path: string) => (path.includes('/') ? path.slice(0, path.indexOf('/')) : '')
const describe = ([from, to]: [string, string]) => `${from} imports ${to}`

test('no file names a path of the machine that it was written on', async () => {
  // Split, so that this file does not find itself.
  const paths = /(?<![\w.}])\/(?:ro[o]t|ho[m]e|Us[e]rs)\/\w|\b[A-Z]:\\Us[e]rs\b/

  expect(found(await textsIn('.'), paths)).toEqual([])
  expect(found(await textsIn('.'), new RegExp(`${ROOT.replace(/\W/g, '\\$&')}\\w`))).toEqual([])
})

test('no file names the host of a package registry', async () => {
  expect(found(await textsIn('.'), /\bregistry[.]\w|\bnpmjs[.]|\byarnpkg[.]|\bnpmmirror[.]|"resolved"[:]/)).toEqual([])
})

test('no file holds a credential', async () => {
  const token =
    /AKI[A][0-9A-Z]{16}|\bgh[pousr]_[A-Za-z0-9]{36}|\bnpm_[A-Za-z0-9]{36}|_auth[T]oken|BEGIN [A-Z ]*PRIVATE[ ]KEY/
  const url = /:\/\/[^\s/:@$]+:[^\s/:@$]+@(?!127\.0\.0\.1|localhost)/

  expect(found(await textsIn('.'), token)).toEqual([])
  expect(found(await textsIn('.'), url)).toEqual([])
})

test('no source file is too long to be read at once', async () => {
  const long = Array.from(await textsIn('src')).filter(([, text]) => text.split('\n').length > LONGEST_FILE)

  expect(long.map(([path]) => path)).toEqual([])
})

test('what is private to Prisma is touched in src/prisma alone', async () => {
  const elsewhere = Array.from(await textsIn('src')).filter(([path]) => !path.startsWith('src/prisma/'))

  expect(
    // zod's `z._default` is public.
    found(new Map(elsewhere), /(?<!\bz)\._[a-z]\w+|\b_(?:engineConfig|runtimeDataModel)\b|Symbol\.for\('prisma\./),
  ).toEqual([])
})

/** What a folder may import besides itself and the files at the top of src. The others are features. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  prisma: [],
  retry: [],
  transaction: ['prisma', 'retry'],
}

test('the lower layers import nothing from the features, nor from the layers above them', async () => {
  const wrong = (await importsInSrc()).filter(([from, to]) => {
    const allowed = LAYERS[folderOf(from)]
    return allowed !== undefined && !['', folderOf(from), ...allowed].includes(folderOf(to))
  })

  expect(wrong.map(describe)).toEqual([])
})

test('the features do not import one another, but for the queue', async () => {
  const isFeature = (folder: string) => folder !== '' && LAYERS[folder] === undefined
  const wrong = (await importsInSrc()).filter(
    ([from, to]) =>
      isFeature(folderOf(from)) && isFeature(folderOf(to)) && folderOf(from) !== folderOf(to) && to !== 'lock/queue.js',
  )

  expect(wrong.map(describe)).toEqual([])
})

test('stock, serials and series do not import one another', async () => {
  const featureOf = (path: string) => /^erp\/(\w+)\//.exec(path)?.[1]
  const wrong = (await importsInSrc()).filter(([from, to]) => {
    const [own, other] = [featureOf(from), featureOf(to)]
    return own !== undefined && other !== undefined && own !== other
  })

  expect(wrong.map(describe)).toEqual([])
})

test('nothing of the core imports the ERP', async () => {
  const wrong = (await importsInSrc()).filter(([from, to]) => folderOf(from) !== 'erp' && folderOf(to) === 'erp')

  expect(wrong.map(describe)).toEqual([])
})

test('the queue, and the files that all may import, import nothing from above', async () => {
  const isShared = (from: string) => folderOf(from) === '' && from !== 'index.ts' && from !== 'options.ts'
  const wrong = (await importsInSrc()).filter(([from, to]) =>
    from === 'lock/queue.ts' ? folderOf(to) !== 'retry' && folderOf(to) !== '' : isShared(from) && folderOf(to) !== '',
  )

  expect(wrong.map(describe)).toEqual([])
})
