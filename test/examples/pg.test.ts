import { expect, test } from 'vitest'
import { useDatabase } from '../support/clients.js'
import { runExample } from '../support/example.js'

const database = useDatabase()

test('the shop without Prisma prints what its README says', async () => {
  const { actual, promised } = await runExample('pg', database.url)

  expect(actual).toEqual(promised)
})
