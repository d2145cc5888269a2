/** This library's `$outbox` on a pool of node-postgres, as the other queues are. */
import { concurrency, outbox } from '../../../dist/pg.js'
import type { Contender } from '../../contender.js'
import { createPool } from '../../support/pg-pool.js'
import { LOOK_AGAIN, RELAYS, Telling } from '../../support/telling.js'

interface Topics {
  payment: { transactionId: string }
}

export default {
  id: 'queue/outbox',
  title: '$outbox on pg (this library)',
  family: 'queue',
  source: 'docs/guide/outbox.md',
  choices: 'As ours/outbox, with SQL in the place of Prisma.',
  operations: ['tell'],

  async open(env) {
    const pool = createPool(env)
    const names = {
      message: { model: 'outbox_message', deadAt: 'dead_at', createdAt: 'created_at' },
      key: { model: 'outbox_key', dueAt: 'due_at' },
    }
    const db = (await concurrency(pool)).$extends(outbox({ topics: {} as Topics, ...names }))
    const telling = new Telling()
    const ending = new AbortController()
    const relaying = db.$outbox.relay(
      {
        payment: async ({ payload: { transactionId } }, tx) => {
          await tx.query('INSERT INTO told (transaction_id) VALUES ($1)', [transactionId])
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
          await tx.query('INSERT INTO payment (transaction_id, amount) VALUES ($1, 12.5)', [transactionId])
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
        await pool.end()
      },
    }
  },
} satisfies Contender
