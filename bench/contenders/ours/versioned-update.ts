/** `updateVersioned` with a function, as the README shows it. */
import type { Contender } from '../../contender.js'
import { createOurs } from '../../support/ours-client.js'

export default {
  id: 'ours/versioned-update',
  title: 'updateVersioned',
  family: 'ours',
  source: 'README.md#versioned-writes',
  choices: 'As it comes: up to 10 attempts within 5 s, the row locked from the third on.',
  operations: ['readChangeWrite'],

  async open(env) {
    const db = createOurs(env)
    return {
      async readChangeWrite(itemId) {
        let attempts = 1
        await db.item.updateVersioned({
          where: { id: itemId },
          data: ({ stock }, attempt) => {
            attempts = attempt
            return { stock: stock + 1 }
          },
        })
        return { retries: attempts - 1 }
      },
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender
