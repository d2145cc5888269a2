/** `updateVersioned` with a function, as the guide shows it. */
import type { Contender } from '../../contender.js'
import { createOurs } from '../../support/ours-client.js'

export default {
  id: 'ours/versioned-update',
  title: 'updateVersioned',
  family: 'ours',
  source: 'docs/guide/versioned-updates.md',
  choices:
    'As it comes: up to 10 attempts within 5 s, the row locked from the third on. Calls of a process that wait for one ' +
    'row are written together, and those of one moment on several rows go in one statement. Prepared statements.',
  operations: ['readChangeWrite'],

  async open(env) {
    const db = createOurs(env)
    return {
      async readChangeWrite(itemId) {
        let runs = 0
        await db.item.updateVersioned({
          where: { id: itemId },
          data: ({ stock }) => {
            runs++
            return { stock: stock + 1 }
          },
        })
        return { retries: runs - 1 }
      },
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender
