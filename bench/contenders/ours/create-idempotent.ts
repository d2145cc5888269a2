/** `createIdempotent`, as the guide shows it. */
import type { Contender } from '../../contender.js'
import { createOurs } from '../../support/ours-client.js'

export default {
  id: 'ours/create-idempotent',
  title: 'createIdempotent',
  family: 'ours',
  source: 'docs/guide/insert-once.md',
  choices:
    'As it comes. It gives the record back, as Prisma does. Inserts that a process makes in one moment go in one statement. Prepared statements.',
  operations: ['insertOnce'],

  async open(env) {
    const db = createOurs(env)
    return {
      async insertOnce(transactionId, amount) {
        await db.payment.createIdempotent({ where: { transactionId }, data: { amount } })
        return { retries: 0 }
      },
      close: () => db.$disconnect(),
    }
  },
} satisfies Contender
