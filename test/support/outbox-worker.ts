/** A process of its own that relays messages until it is killed, or ended by SIGTERM. */
import { setTimeout as sleep } from 'node:timers/promises'
import { outbox as prismaOutbox } from '../../src/outbox/extension.js'
import { outbox } from '../../src/pg/outbox.js'
import { type EngineName, openEngine, rows } from './engines.js'
import { gate } from './gate.js'
import type { Topics } from './outbox.js'

export interface RelayWork {
  readonly url: string
  readonly engine: EngineName
  readonly topic: string
  /** Whether it ends when no message is due. */
  readonly untilEmpty?: boolean
  /** Messages with lower numbers than this fail at first. */
  readonly failsBelow?: number
  /** In which of its deliveries it stops where it is, within the transaction. */
  readonly hangsIn?: number
  /**
   * The number of a message whose handler kills the process: while another message is being sent, for which it waits,
   * beyond the first time not longer than a moment.
   */
  readonly killsAt?: number
  /** How often a message is tried. */
  readonly attempts?: number
}

const ending = new AbortController()
process.once('SIGTERM', () => ending.abort())
// The test is gone, and so is its database.
process.once('disconnect', () => process.exit(1))

process.once('message', async (work: RelayWork) => {
  const { url, engine, topic, untilEmpty, failsBelow = 0, hangsIn, killsAt, attempts } = work
  const { db: plain, close } = await openEngine(engine, { url })
  const onPg = () => plain.$extends(outbox({ topics: {} as Topics }))
  const db = engine === 'pg' ? onPg() : (plain.$extends(prismaOutbox() as never) as ReturnType<typeof onPg>)
  const failures: string[] = []
  let deliveries = 0
  let active = 0
  const together = gate()
  await db.$outbox.relay(
    {
      [topic]: async ({ id, key, position, payload, attempt }, tx) => {
        const effect = 'INSERT INTO sent (id, key, position, attempt) VALUES ($1::uuid, $2, $3::int8, $4::int)'
        await rows(tx, effect, id, key, position, attempt)
        if (++deliveries === hangsIn) {
          process.send?.('hangs')
          await new Promise(() => {})
        }
        if (killsAt !== undefined) {
          active++
          if (active === 2) together.open()
          await Promise.race([together.wait(), ...(attempt === 1 ? [] : [sleep(500)])])
          if (payload.n === killsAt) process.kill(process.pid, 'SIGKILL')
          if (active === 2) await new Promise(() => {})
          active--
        }
        if (payload.n < failsBelow && attempt < 3) throw new Error('on purpose')
      },
    },
    {
      signal: ending.signal,
      ...(untilEmpty && { until: 'empty' }),
      pollInterval: 50,
      retry: { baseDelay: 1, maxDelay: 20, ...(attempts && { attempts }) },
      onError: (error) => {
        if (!/on purpose|A delivery was begun/.test(String(error))) failures.push(String(error))
      },
    },
  )
  await close()
  process.send?.(failures, () => process.exit(0))
})
