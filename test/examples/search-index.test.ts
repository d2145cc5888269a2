import { expect, test } from 'vitest'
import { useDatabase } from '../support/clients.js'
import { runExample } from '../support/example.js'

const database = useDatabase()

test('the example of a holder that is stopped prints what its README says', async () => {
  const { actual, promised } = await runExample('search-index', database.url)

  expect(actual).toEqual(promised)
})
