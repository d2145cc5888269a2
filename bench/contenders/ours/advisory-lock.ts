/** `$withAdvisoryLock`, as the guide shows it: one key, the work in its transaction. */
import type { Contender } from '../../contender.js'
import { createOurs } from '../../support/ours-client.js'
import { rowsOf } from '../../support/prisma-rows.js'

export default {
  id: 'ours/advisory-lock',
  title: '$withAdvisoryLock',
  family: 'ours',
  source: 'docs/guide/advisory-locks.md',
  choices:
    'As it comes: READ COMMITTED, 5 s for the wait and 5 s for the body, at most 5 connections wait. Prepared statements.',
  operations: ['readChangeWrite', 'critical'],

  async open(env) {
    const db = createOurs(env)
    return {
      async readChangeWrite(itemId) {
        await db.$withAdvisoryLock(['item', itemId], async (tx) => {
          const { stock } = await tx.item.findUniqueOrThrow({ where: { id: itemId } })
          await tx.item.update({ where: { id: itemId }, data: { stock: stock + 1 } })
        })
        return { retries: 0 }
      },
      async critical(key, body) {
        await db.$withAdvisoryLock(key, (tx) => body(rowsOf(tx)))
        return { retries: 0 }
      },
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender
