/** pg-boss as an outbox: `send` on the connection of the transaction, workers that write the effects of their batch. */
import type { Contender } from '../../contender.js'
import { createPool, inTransaction } from '../../support/pg-pool.js'
import { poolSizes, RELAYS, Telling } from '../../support/telling.js'

const PAY = { name: 'pay', text: 'INSERT INTO payment (transaction_id, amount) VALUES ($1, 12.5)' }
const TELL = {
  name: 'tell',
  text: 'INSERT INTO told (transaction_id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING',
}
/** A worker that is not notified asks for the next ones after half a second at the earliest. */
const BATCH = 100

interface Payment {
  readonly transactionId: string
}

export default {
  id: 'queue/pg-boss',
  title: 'pg-boss',
  family: 'queue',
  source: 'https://timgit.github.io/pg-boss/#/./api/jobs?id=send',
  choices:
    'send with the db of the transaction, as its documentation shows. A worker asks again after half a second, so ' +
    'each of the 8 takes 100 jobs at a time, writes their effects in one statement, and is notified if there may be more. Jobs and effects ' +
    'are not committed together, so the effects are written with ON CONFLICT DO NOTHING. No monitoring, no schedules.',
  packages: ['pg-boss'],
  operations: ['tell'],

  async prepare(connectionString) {
    const boss = await createBoss(connectionString, 2)
    await boss.createQueue('payment')
    await boss.stop()
  },

  async open(env) {
    const sizes = poolSizes(env)
    const pool = createPool({ ...env, poolSize: sizes.callers })
    const boss = await createBoss(env.databaseUrl, sizes.relays)
    const telling = new Telling()
    for (let i = 0; i < RELAYS; i++) {
      const own = await boss.work<Payment>(
        'payment',
        { batchSize: BATCH, pollingIntervalSeconds: 0.5 },
        async (jobs) => {
          const ids = jobs.map(({ data }) => data.transactionId)
          await pool.query({ ...TELL, values: [ids] })
          for (const id of ids) telling.told(id)
          if (jobs.length === BATCH) boss.notifyWorker(own) // there may be more
        },
      )
    }
    let isOver = false
    const end = async () => {
      if (isOver) return
      isOver = true
      await boss.stop()
    }
    return {
      async tell(transactionId) {
        await inTransaction(pool, async (client) => {
          await client.query({ ...PAY, values: [transactionId] })
          const db = { executeSql: (text: string, values?: unknown[]) => client.query(text, values) }
          await boss.send('payment', { transactionId }, { db })
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

async function createBoss(connectionString: string, max: number) {
  const { default: PgBoss } = await import('pg-boss')
  const boss = new PgBoss({ connectionString, max, supervise: false, schedule: false })
  boss.on('error', () => {}) // a connection that breaks is replaced; the bench may have ended the server
  return boss.start()
}
