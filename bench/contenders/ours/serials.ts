/** `$serials.allocate`, as the guide shows it. */
import { InsufficientSerialsError } from '../../../dist/index.js'
import type { Contender, Outcome } from '../../contender.js'
import { createOurs } from '../../support/ours-client.js'

export default {
  id: 'ours/serials',
  title: '$serials.allocate',
  family: 'ours',
  source: 'docs/guide/serial-numbers.md',
  choices:
    'As it comes. It gives the records of the serials back, and knows a request again that differs from the first. It does not tell how often it has tried. Prepared statements.',
  operations: ['takeSerials', 'takeSerial'],

  async open(env) {
    const db = createOurs(env)
    async function takeSerials(transactionId: string, itemId: number, count: number): Promise<Outcome> {
      try {
        await db.$serials.allocate({ transactionId, where: { itemId }, count })
        return { retries: 0 }
      } catch (error) {
        if (!(error instanceof InsufficientSerialsError)) throw error
        return { retries: 0, refused: true }
      }
    }
    return {
      takeSerials,
      takeSerial: (transactionId, itemId) => takeSerials(transactionId, itemId, 1),
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender
