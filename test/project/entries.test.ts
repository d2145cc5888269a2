import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const DIST = fileURLToPath(new URL('../../dist', import.meta.url))

const IMPORTS = /(?<![.'$\w])(?:from|import)\s*\(?\s*['"]([^'"\s]+)['"]/g
/** The same without `import()`. */
const STATIC_IMPORTS = /(?<![.'$\w])(?:from|import)\s*['"]([^'"\s]+)['"]/g

/** The packages that a built file and all that it imports ask for. */
async function packagesOf(entry: string): Promise<string[]> {
  return (await readImports(entry, IMPORTS)).packages
}

async function readImports(entry: string, imports: RegExp) {
  const packages = new Set<string>()
  const seen = new Set<string>()
  const visit = async (file: string): Promise<void> => {
    if (seen.has(file)) return
    seen.add(file)
    const text = await readFile(file, 'utf8')
    for (const [, specifier = ''] of text.matchAll(imports)) {
      if (!specifier.startsWith('.')) packages.add(specifier)
      else await visit(join(dirname(file), file.endsWith('.d.ts') ? specifier.replace(/\.js$/, '.d.ts') : specifier))
    }
  }
  await visit(join(DIST, entry))
  expect(relative(DIST, [...seen][0] ?? '')).toBe(entry)
  return { packages: [...packages].sort(), files: seen.size }
}

test.each([
  ['index', 12],
  ['erp', 9],
  ['work', 15],
  ['pg', 11],
])('a program that imports the entry point %s loads no more than %i files', async (entry, most) => {
  expect((await readImports(`${entry}.js`, STATIC_IMPORTS)).files).toBeLessThanOrEqual(most)
})

test('the files that a call loads later have all names that the sources ask them for', async () => {
  const names = []
  for (const name of await readdir('src', { recursive: true })) {
    if (!name.endsWith('.ts') || /^(?:cli|report)\//.test(name)) continue
    const text = await readFile(join('src', name), 'utf8')
    const asked = text.matchAll(/const \{ ([^}]+) \} = await import\(/g)
    names.push(...Array.from(asked, ([, list = '']) => list.split(', ')).flat())
  }
  const chunks = (await readdir(join(DIST, 'chunks'))).filter((name) =>
    /^(?:catalogue|calls|tools)-\w+\.js$/.test(name),
  )
  const later = await Promise.all(chunks.map((name) => import(join(DIST, 'chunks', name))))

  expect(names.length).toBeGreaterThan(8)
  expect(later.flatMap((chunk) => Object.keys(chunk))).toEqual(expect.arrayContaining(names))
})

/** The package that is loaded by the first job with a cron expression, from a file that all entries share. */
const LATER = 'croner'

test('a program without Prisma runs, and compiles, on the entry point pg', async () => {
  expect(await packagesOf('pg.js')).toEqual([LATER])
  expect((await readImports('pg.js', STATIC_IMPORTS)).packages).toEqual([])
  expect(await packagesOf('pg.d.ts')).toEqual(['pg'])
})

test('no entry point imports a module of Node: only the command and the one for tests do', async () => {
  const packages = await Promise.all(['index', 'erp', 'work', 'pg'].map((entry) => packagesOf(`${entry}.js`)))

  expect([...new Set(packages.flat())]).toEqual(['@prisma/client/extension', LATER])
  expect(await packagesOf('cli/main.js')).toContain('node:fs')
  expect(await packagesOf('otel.js')).toEqual(['@opentelemetry/api'])
  expect(await packagesOf('testing.js')).toEqual(['node:net', 'node:timers/promises', 'pg'])
})

test('a program without node-postgres runs, and compiles, on the other entry points', async () => {
  for (const entry of ['index', 'erp', 'work']) {
    expect(await packagesOf(`${entry}.js`)).toEqual(['@prisma/client/extension', LATER])
    expect((await readImports(`${entry}.js`, STATIC_IMPORTS)).packages).toEqual(['@prisma/client/extension'])
    expect(await packagesOf(`${entry}.d.ts`)).not.toContain('pg')
  }
})

test('every class of the built package has the name that it is exported by, which an error shows as its own', async () => {
  const wrong = []
  for (const entry of ['index', 'erp', 'work', 'pg', 'testing', 'otel', 'report']) {
    const exported: object = await import(join(DIST, `${entry}.js`))
    for (const [name, value] of Object.entries(exported)) if (value.name !== name) wrong.push([entry, name, value.name])
  }

  expect(wrong).toEqual([])
})
