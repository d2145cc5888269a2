import { expect, test } from 'vitest'
import { useDatabase } from '../support/clients.js'
import { runExample } from '../support/example.js'

const database = useDatabase()

test.each(['mail-after-commit', 'message-consumer', 'order-states', 'search-index'])(
  'the example %s prints what its README says',
  async (name) => {
    const { actual, promised } = await runExample(name, database.url)

    expect(actual).toEqual(promised)
  },
)
