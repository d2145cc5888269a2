import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { useDatabase } from '../support/clients.js'
import { startScript } from '../support/script.js'

const database = useDatabase()

test('the quickstart prints what its README says, and leaves the product as the winner saved it', async () => {
  const readme = await readFile(new URL('../../examples/quickstart/README.md', import.meta.url), 'utf8')
  const promised = /It prints\n\n```\n(.*)```/s.exec(readme)?.[1]

  const { exitCode, stdout, stderr } = await startScript('examples/quickstart/quickstart.ts', {
    DATABASE_URL: database.url,
  }).ended

  expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: promised, stderr: '' })
  expect(await database.query('SELECT name, stock, version FROM "Product"')).toEqual([
    { name: 'Chai, 20 bags', stock: 29, version: 11 },
  ])
})
