/** `$outbox` on Prisma, as the guide shows it. */
import { concurrency } from '../../../dist/index.js'
import { outbox } from '../../../dist/work.js'
import type { Contender } from '../../contender.js'
import { createPrisma } from '../../support/prisma-client.js'
import { LOOK_AGAIN, RELAYS, Telling } from '../../support/telling.js'

interface Topics {
  payment: { transactionId: string }
}

export default {
  id: 'ours/outbox',
  title: '$outbox on Prisma',
  family: 'ours',
  source: 'docs/guide/outbox.md',
  choices:
    'One message per transaction, which is what its guarantees rest on: what the handler writes and the note that the ' +
    'message was sent are committed together. pollInterval 50 ms, no channel. Prepared statements.',
  operations: ['tell'],

  async open(env) {
    const db = createPrisma(env)
      .$extends(concurrency())
      .$extends(outbox({ topics: {} as Topics }))
    const telling = new Telling()
    const ending = new AbortController()
    const relaying = db.$outbox.relay(
      {
        payment: async ({ payload: { transactionId } }, tx) => {
          await tx.told.create({ data: { transactionId } })
          telling.told(transactionId)
        },
      },
      { signal: ending.signal, concurrency: RELAYS, pollInterval: LOOK_AGAIN },
    )
    relaying.catch(() => {}) // it is awaited at the end
    const end = async () => {
      ending.abort()
      await relaying
    }
    return {
      async tell(transactionId) {
        await db.$transactionWithRetry(async (tx) => {
          await tx.payment.create({ data: { transactionId, amount: 12.5 } })
          await tx.$outbox.add('payment', { transactionId })
        })
        telling.made(transactionId)
        return { retries: 0 }
      },
      async settle() {
        await telling.settled()
        await end()
      },
      async close() {
        await end()
        await db.$disconnect()
      },
    }
  },
} satisfies Contender
