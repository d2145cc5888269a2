/** A process of its own that relays messages until it is killed, or none is left. */
import { outbox as prismaOutbox } from '../../src/outbox/extension.js'
import { outbox } from '../../src/pg/outbox.js'
import { type EngineName, openEngine, rows } from './engines.js'
import { note, type Topics } from './outbox.js'

export interface RelayWork {
  readonly url: string
  readonly engine: EngineName
  readonly topic: string
  /** The number of a message at which it stops where it is, within its transaction. */
  readonly hangsAt?: number
}

process.once('message', async ({ url, engine, topic, hangsAt }: RelayWork) => {
  const { db: plain, close } = await openEngine(engine, { url })
  const onPg = () => plain.$extends(outbox({ topics: {} as Topics }))
  const db = engine === 'pg' ? onPg() : (plain.$extends(prismaOutbox() as never) as ReturnType<typeof onPg>)
  const failures: string[] = []
  await db.$outbox.relay(
    {
      [topic]: async ({ key, position, payload, attempt }, tx) => {
        await note(tx, `${topic} ${key} ${position}`)
        if (payload.n === hangsAt) {
          process.send?.('hangs')
          await new Promise(() => {})
        }
        // Every seventh fails at first, with its effect.
        if (payload.n % 7 === 0 && attempt === 1) throw new Error('on purpose')
      },
    },
    {
      until: 'empty',
      retry: { baseDelay: 1, maxDelay: 1 },
      onError: (error) => {
        if (String(error) !== 'Error: on purpose') failures.push(String(error))
      },
    },
  )
  await rows(db, 'SELECT 1')
  await close()
  process.send?.(failures, () => process.exit(0))
})
