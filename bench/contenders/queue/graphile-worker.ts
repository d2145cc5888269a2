/** graphile-worker as an outbox: `add_job` in the transaction, a task that writes the effect. */
import type { Contender } from '../../contender.js'
import { createPool, inTransaction } from '../../support/pg-pool.js'
import { poolSizes, RELAYS, Telling } from '../../support/telling.js'

const PAY = { name: 'pay', text: 'INSERT INTO payment (transaction_id, amount) VALUES ($1, 12.5)' }
const ADD = {
  name: 'add',
  text: `SELECT graphile_worker.add_job('payment', json_build_object('transactionId', $1::text))`,
}
const TELL = { name: 'tell', text: 'INSERT INTO told (transaction_id) VALUES ($1) ON CONFLICT DO NOTHING' }

export default {
  id: 'queue/graphile-worker',
  title: 'graphile-worker',
  family: 'queue',
  source: 'https://worker.graphile.org/docs/library/run',
  choices:
    'add_job in the transaction of the payment, as its documentation of SQL shows; it notifies the workers. A job and its ' +
    'effect are not committed together, so the effect is written with ON CONFLICT DO NOTHING. Named (prepared) statements; ' +
    'its defaults otherwise, with a job at a time in each of 8 workers.',
  packages: ['graphile-worker'],
  operations: ['tell'],

  async prepare(connectionString) {
    const { runMigrations } = await import('graphile-worker')
    await runMigrations({ connectionString })
  },

  async open(env) {
    const { Logger, run } = await import('graphile-worker')
    const sizes = poolSizes(env)
    const [pool, pgPool] = [
      createPool({ ...env, poolSize: sizes.callers }),
      createPool({ ...env, poolSize: sizes.relays }),
    ]
    // It asks for that, since its pool is not its own.
    pgPool.on('connect', (client) => void client.on('error', () => {}))
    const telling = new Telling()
    const runner = await run({
      pgPool,
      concurrency: RELAYS,
      noHandleSignals: true,
      logger: new Logger(() => () => {}),
      taskList: {
        async payment(payload, { query }) {
          const { transactionId } = payload as { transactionId: string }
          await query({ ...TELL, values: [transactionId] } as never)
          telling.told(transactionId)
        },
      },
    })
    let isOver = false
    const end = async () => {
      if (isOver) return
      isOver = true
      await runner.stop()
    }
    return {
      async tell(transactionId) {
        await inTransaction(pool, async (client) => {
          await client.query({ ...PAY, values: [transactionId] })
          await client.query({ ...ADD, values: [transactionId] })
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
        await pgPool.end()
      },
    }
  },
} satisfies Contender
