import { expect, test } from 'vitest'
import { useDatabase } from '../support/clients.js'
import { runExample } from '../support/example.js'

const database = useDatabase()

test('the example of a payment whose machine is killed prints what its README says', async () => {
  const { actual, promised } = await runExample('payment-in-steps', database.url)

  expect(actual).toEqual(promised)
})
