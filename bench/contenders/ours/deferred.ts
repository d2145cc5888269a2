/** `$stock.defer`: the movement is noted now, and folded into the stock later, as the guide shows it. */
import type { Contender } from '../../contender.js'
import { createOursWithStock } from '../../support/ours-client.js'

export default {
  id: 'ours/deferred',
  title: '$stock.defer, then project',
  family: 'ours',
  source: 'docs/guide/stock.md',
  choices:
    'As it comes. All is folded into the stock once, at the end of the run, in the time that counts. Prepared statements.',
  operations: ['receive'],

  async open(env) {
    const db = createOursWithStock(env)
    return {
      async receive(transactionId, itemId, quantity) {
        await db.$stock.defer({ transactionId, item: itemId, quantity })
        return { retries: 0 }
      },
      settle: async () => void (await db.$stock.project()),
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender
