import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { outbox } from '../../src/pg/outbox.js'
import { useDatabase } from '../support/clients.js'
import { openEngine } from '../support/engines.js'
import type { RelayWork } from '../support/outbox-worker.js'
import { startProcess } from '../support/process.js'

const KEYS = 20
const EACH = 25

const database = useDatabase()

test('four relays, one of them killed in mid-delivery: each message takes effect once, those of a key in order', async () => {
  const { db: plain, close } = await openEngine('pg', { url: database.url })
  const db = plain.$extends(outbox({ topics: {} as Record<string, { n: number }> }))
  const topic = randomUUID()
  const start = (engine: RelayWork['engine'], hangsAt?: number) =>
    startProcess('outbox-worker.ts', {
      url: database.url,
      engine,
      topic,
      ...(hangsAt && { hangsAt }),
    } satisfies RelayWork)
  const addAll = async (key: string) => {
    for (let n = 1; n <= EACH; n++) {
      // Added together, so that low positions would commit late if they could.
      await db.$transactionWithRetry((tx) => tx.$outbox.add(topic, { n }, { key }))
    }
  }
  await addAll('key 0')
  const killed = start('prisma', 10)
  expect(await killed.answer()).toBe('hangs')

  const adding = Promise.all(Array.from({ length: KEYS - 1 }, (_, i) => addAll(`key ${i + 1}`)))
  const first = [start('pg'), start('prisma')]
  await adding
  killed.kill()
  expect(await Promise.all(first.map((each) => each.answer()))).toEqual([[], []])
  const left = () => database.query('SELECT 1 FROM "OutboxMessage" WHERE topic = $1', [topic])
  while ((await left()).length > 0) expect(await start('pg').answer()).toEqual([])

  const notes = await database.query('SELECT text FROM "Note" WHERE text LIKE $1 ORDER BY id', [`${topic}%`])
  const byKey = new Map<string, number[]>()
  for (const { text } of notes) {
    const [, key = '', position] = /^\S+ (key \d+) (\d+)$/.exec(String(text)) ?? []
    byKey.set(key, [...(byKey.get(key) ?? []), Number(position)])
  }
  const all = Array.from({ length: EACH }, (_, i) => i + 1)
  expect([...byKey].sort()).toEqual(Array.from({ length: KEYS }, (_, i) => [`key ${i}`, all]).sort())
  expect(await database.query('SELECT * FROM "OutboxKey" WHERE topic = $1', [topic])).toEqual([])
  await close()
})
