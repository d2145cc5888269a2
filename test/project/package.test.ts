import { readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundleSize } from '../support/bundle-size.js'
import { useDatabase } from '../support/clients.js'
import { createFreshApp, type FreshApp } from '../support/fresh-app.js'

const database = useDatabase()
let app: FreshApp

beforeAll(async () => {
  app = await createFreshApp(fileURLToPath(new URL('../fresh-app', import.meta.url)))
  await app.compile()
})
afterAll(() => app?.remove())

test('the package works in an ES module of a strict TypeScript app that installs its tarball', async () => {
  const printed = await app.node('out/main.js', { DATABASE_URL: database.url })

  expect(JSON.parse(printed)).toEqual({ version: 1, conflict: [0, 1] })
})

test('the package works with require', async () => {
  expect(await app.node('main.cjs', { DATABASE_URL: database.url })).toBe('Herbs\n')
})

test('the entry for tests works in the same app, whose package has its clock', async () => {
  const printed = await app.node('out/testing.js', { DATABASE_URL: database.url })

  expect(JSON.parse(printed)).toEqual({ order: 'abba', timedOut: true })
})

test('the entry for tests works with require', async () => {
  expect(await app.node('testing.cjs', { DATABASE_URL: database.url })).toBe('true free\n')
})

test.each(['index', 'erp'])(
  'dist/%s.js and all that it imports but Prisma weigh less than 60 kB, gzipped',
  async (entry) => {
    const size = await bundleSize(join(app.packageFolder, 'dist', `${entry}.js`))

    expect(size).toBeGreaterThan(20_000)
    expect(size).toBeLessThan(60_000)
  },
)

test('every source map names a source that is in the tarball', async () => {
  const dist = join(app.packageFolder, 'dist')
  const maps = (await readdir(dist, { recursive: true })).filter((name) => name.endsWith('.map'))
  const sources = await Promise.all(
    maps.map(async (name) => {
      const { sources } = JSON.parse(await readFile(join(dist, name), 'utf8')) as { sources: string[] }
      return sources.map((source) => join(dist, dirname(name), source))
    }),
  )

  expect(maps.some((name) => name.endsWith('.d.ts.map'))).toBe(true)
  await expect(Promise.all(sources.flat().map((source) => stat(source)))).resolves.toBeDefined()
})

test('the tarball holds what is built, its sources, the licence, the changelog and the README, and nothing else', async () => {
  expect((await readdir(app.packageFolder)).sort()).toEqual([
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'dist',
    'package.json',
    'src',
  ])
})
