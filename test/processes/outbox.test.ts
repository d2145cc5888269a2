import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, expect, test } from 'vitest'
import { outbox } from '../../src/pg/outbox.js'
import { useDatabase } from '../support/clients.js'
import { type EngineName, openEngine, rows } from '../support/engines.js'
import { SENT, type Topics } from '../support/outbox.js'
import type { RelayWork } from '../support/outbox-worker.js'
import { startProcess } from '../support/process.js'

/** `npm run outbox:storm` sets more. */
const MESSAGES = Number(process.env.STORM_MESSAGES ?? 500)
const KILLS = Math.ceil(MESSAGES / 1_000) + 1
const KEYS = Math.ceil(MESSAGES / 25)
const CALLERS = 16
const RELAYS: readonly EngineName[] = ['pg', 'prisma', 'pg', 'prisma']

const database = useDatabase()

beforeAll(async () => {
  await database.query(`${SENT};
CREATE TABLE added (seq bigserial PRIMARY KEY, id uuid, key text NOT NULL, position int8)`)
})

async function open() {
  const { db, close } = await openEngine('pg', { url: database.url, poolSize: CALLERS + 2 })
  return { db: db.$extends(outbox({ topics: {} as Topics })), close }
}

type Db = Awaited<ReturnType<typeof open>>['db']

/** Of transactions that are rolled back with their message. */
const ROLLED_BACK = new Error('rolled back')

/** Adds all messages. Each transaction takes a number at its beginning, and some are committed long after later ones. */
async function addAll(db: Db, topic: string): Promise<void> {
  let next = 0
  const caller = async () => {
    for (let n = next++; n < MESSAGES; n = next++) {
      const key = `key ${n % KEYS}`
      const added = db.$transactionWithRetry(async (tx) => {
        const [own] = await rows(tx, 'INSERT INTO added (key) VALUES ($1) RETURNING seq', key)
        if (n % 100 === 50) await sleep(200)
        const { id, position } = await tx.$outbox.add(topic, { n }, { key })
        if (n % 100 === 75) await sleep(200)
        const mark = 'UPDATE added SET id = $2::uuid, position = $3::int8 WHERE seq = $1::int8'
        await rows(tx, mark, own?.seq, id, position)
        if (n % 50 === 7) throw ROLLED_BACK
      })
      await added.catch((error) => {
        if (error !== ROLLED_BACK) throw error
      })
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, caller))
}

/** Four relays, each of which is started anew when it was killed, until `end`. */
function startRelays(topic: string) {
  const running = new Set<ReturnType<typeof startProcess>>()
  const state = { started: 0, kills: 0, isOver: false }
  const keepRelaying = async (engine: EngineName): Promise<unknown> => {
    while (!state.isOver) {
      const hangsIn = 1 + Math.floor(Math.random() * Math.min(2_000, MESSAGES / 20))
      const fails = { failsBelow: KEYS } // the first of each key
      const work: RelayWork = {
        url: database.url,
        engine,
        topic,
        ...fails,
        ...(state.started++ < KILLS && { hangsIn }),
      }
      const relay = startProcess('outbox-worker.ts', work)
      running.add(relay)
      const answer = await relay.answer().catch((error) => {
        if (!state.isOver) throw error // it was ended before it was there
      })
      running.delete(relay)
      if (answer !== 'hangs') return answer ?? []
      relay.kill()
      state.kills++
    }
    return []
  }
  const all = Promise.all(RELAYS.map(keepRelaying))
  all.catch(() => {}) // it is awaited at the end
  return {
    async end() {
      state.isOver = true
      for (const relay of running) relay.end()
      return { failures: (await all).flat(), kills: state.kills }
    },
  }
}

test(
  'four relays that are killed in mid-delivery, first messages that fail, transactions that commit late: nothing is lost, each message takes effect once, those of a key in order',
  async () => {
    const { db, close } = await open()
    const topic = randomUUID()
    const since = performance.now()
    const relays = startRelays(topic)
    await addAll(db, topic)
    const left = () => database.query('SELECT 1 FROM "OutboxMessage" WHERE topic = $1 LIMIT 1', [topic])
    while ((await left()).length > 0) await sleep(100)
    const { failures, kills } = await relays.end()
    const seconds = Math.round((performance.now() - since) / 1_000)

    const [audit] = await database.query(`SELECT
  (SELECT count(*)::int FROM added AS a WHERE NOT EXISTS (SELECT FROM sent AS s WHERE s.id = a.id)) AS lost,
  (SELECT (count(*) - count(DISTINCT id))::int FROM sent) AS doubled,
  (SELECT count(*)::int FROM sent AS s WHERE NOT EXISTS (SELECT FROM added AS a WHERE a.id = s.id)) AS "neverAdded",
  (SELECT count(*)::int FROM (
    SELECT position, lag(position) OVER (PARTITION BY key ORDER BY seq) AS before FROM sent
  ) AS s WHERE position <= before) AS "outOfOrder"`)
    expect(audit).toEqual({ lost: 0, doubled: 0, neverAdded: 0, outOfOrder: 0 })
    expect(failures).toEqual([])
    expect(kills).toBeGreaterThan(0)
    const { STORM_RESULT } = process.env
    if (STORM_RESULT) {
      const [figures] = await database.query(
        'SELECT count(*)::int AS messages, count(*) FILTER (WHERE attempt > 1)::int AS again FROM sent',
      )
      await writeFile(STORM_RESULT, JSON.stringify({ ...figures, keys: KEYS, kills, seconds }))
    }
    await close()
  },
  120_000 + MESSAGES * 20,
)

test('a message whose handler kills its process is dead after its attempts, and one that was sent beside it is not lost again', async () => {
  const { db, close } = await open()
  const topic = randomUUID()
  await database.query('TRUNCATE sent')
  for (const [n, key] of [
    [1, 'bad'],
    [2, 'bad'],
    [3, 'good'],
  ] as const) {
    await db.$transactionWithRetry((tx) => tx.$outbox.add(topic, { n }, { key }))
  }
  const relay = (engine: EngineName, killsAt?: number) => {
    const work: RelayWork = {
      url: database.url,
      engine,
      topic,
      untilEmpty: true,
      attempts: 3,
      ...(killsAt && { killsAt }),
    }
    return startProcess('outbox-worker.ts', work).answer()
  }
  let killed = 0
  while ((await db.$outbox.dead({ topic })).length === 0) {
    await relay(killed % 2 === 0 ? 'prisma' : 'pg', 1).catch(() => killed++)
  }
  expect(killed).toBe(3)
  expect(await db.$outbox.dead({ topic })).toMatchObject([{ payload: { n: 1 }, attempt: 3 }])

  await db.$outbox.discard({ topic })
  while ((await database.query('SELECT 1 FROM "OutboxMessage" WHERE topic = $1', [topic])).length > 0) await relay('pg')
  expect(await database.query('SELECT key, attempt FROM sent ORDER BY seq')).toEqual([
    { key: 'good', attempt: 2 },
    { key: 'bad', attempt: 1 },
  ])
  await close()
})
