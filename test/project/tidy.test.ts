import { readdir, readFile } from 'node:fs/promises'
import { basename, dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
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
    Array.from(text.matchAll(/\b(?:from |import\()'(\.[^']+)'/g), ([, specifier = '']): [string, string] => [
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

test('no sentence of a comment has a free relative as its subject', async () => {
  const folders = await Promise.all(['src', 'test', 'bench', 'examples', 'scripts'].map(textsIn))
  const code = folders.flatMap((texts) => Array.from(texts)).filter(([path]) => /\.(?:ts|mjs)$/.test(path))
  // At the beginning of a line of comment, or after a full stop, a colon or a semicolon.
  const freeRelative = /(?:^|\s)(?:\/\/|\/?\*+) (?:(?:- )?(?:Who|What)(?:ever)?|.*[.;:] (?:[Ww]ho|[Ww]hat)(?:ever)?) .*/

  expect(found(new Map(code), freeRelative)).toEqual([])
})

test('no source file is too long to be read at once', async () => {
  const long = Array.from(await textsIn('src')).filter(([, text]) => text.split('\n').length > LONGEST_FILE)

  expect(long.map(([path]) => path)).toEqual([])
})

test('what is private to Prisma is touched in src/prisma alone', async () => {
  const elsewhere = Array.from(await textsIn('src')).filter(([path]) => !path.startsWith('src/prisma/'))

  expect(
    found(new Map(elsewhere), /\._[a-z]\w+|\b_(?:engineConfig|runtimeDataModel)\b|Symbol\.for\('prisma\./),
  ).toEqual([])
})

/** The folders that each folder of src may import besides itself: all of its files, or those of its API alone. */
interface Layers {
  readonly apiFiles: readonly string[]
  readonly folders: Readonly<Record<string, { readonly all: readonly string[]; readonly api?: readonly string[] }>>
}

async function layers(): Promise<Layers> {
  return JSON.parse(await readFile(join(ROOT, 'docs/internals/layers.json'), 'utf8'))
}

test('each folder of the sources imports what the map of layers allows, and nothing else', async () => {
  const { apiFiles, folders } = await layers()
  const wrong = (await importsInSrc()).filter(([from, to]) => {
    const [own, other] = [folderOf(from), folderOf(to)]
    const { all = [], api = [] } = folders[own] ?? {}
    return own !== '' && own !== other && ![...all, ...(apiFiles.includes(basename(from)) ? api : [])].includes(other)
  })

  expect(wrong.map(describe)).toEqual([])
})

test('the map of layers names the folders that there are, and allows nothing that is not used', async () => {
  const { apiFiles, folders } = await layers()
  const used = new Map<string, { all: Set<string>; api: Set<string> }>()
  for (const [from, to] of await importsInSrc()) {
    const [own, other] = [folderOf(from), folderOf(to)]
    for (const folder of [own, other]) if (!used.has(folder)) used.set(folder, { all: new Set(), api: new Set() })
    if (own !== other) used.get(own)?.[apiFiles.includes(basename(from)) ? 'api' : 'all'].add(other)
  }
  used.delete('')

  const map = Object.entries(folders).map(([folder, { all, api = [] }]) => [folder, [...all].sort(), [...api].sort()])
  const found = Array.from(used, ([folder, { all, api }]) => [
    folder,
    [...all].sort(),
    [...api].filter((other) => !all.has(other)).sort(),
  ])
  const byName = ([a]: unknown[], [b]: unknown[]) => (String(a) < String(b) ? -1 : 1)
  expect(map.sort(byName)).toEqual(found.sort(byName))
})

test("Prisma's packages are imported in src/prisma, in the API of a feature, and in the entries alone", async () => {
  const { apiFiles } = await layers()
  const isElsewhere = (path: string) =>
    folderOf(path) !== '' && folderOf(path) !== 'prisma' && !apiFiles.includes(basename(path))
  const elsewhere = Array.from(await textsIn('src')).filter(([path]) => isElsewhere(relative('src', path)))

  expect(found(new Map(elsewhere), /\bfrom '@prisma\/[^']+'/)).toEqual([])
})

/** The nodes of all sources, each with its place. */
async function nodesInSrc(): Promise<{ node: ts.Node; place: string; lines: number }[]> {
  const all: { node: ts.Node; place: string; lines: number }[] = []
  for (const [path, text] of await textsIn('src')) {
    const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
    const lineOf = (position: number) => source.getLineAndCharacterOfPosition(position).line + 1
    const visit = (node: ts.Node): void => {
      const [first, last] = [lineOf(node.getStart()), lineOf(node.end)]
      all.push({ node, place: `${path}:${first}`, lines: last - first + 1 })
      ts.forEachChild(node, visit)
    }
    visit(source)
  }
  return all
}

test('no function is longer than 70 lines', async () => {
  const long = (await nodesInSrc()).filter(({ node, lines }) => ts.isFunctionLike(node) && lines > 70)

  expect(long.map(({ place, lines }) => `${place}: ${lines}`)).toEqual([])
})

test('no function takes more than four parameters', async () => {
  const many = (await nodesInSrc()).filter(
    ({ node }) =>
      ts.isFunctionLike(node) &&
      node.parameters.filter(({ dotDotDotToken, name }) => !dotDotDotToken && name.getText() !== 'this').length > 4,
  )

  expect(many.map(({ place }) => place)).toEqual([])
})

/** There were 213 of them in 0.1.0. Each is a place where the compiler is told, not asked: there may be fewer, not more. */
const MOST_ASSERTIONS = 83

test('the sources assert no more types than they did', async () => {
  const assertions = (await nodesInSrc()).filter(
    ({ node }) => ts.isAsExpression(node) && !ts.isConstTypeReference(node.type),
  )

  expect(assertions.length).toBeLessThanOrEqual(MOST_ASSERTIONS)
})
