import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { useDatabase } from '../support/clients.js'
import { startProcess } from '../support/process.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { bankIn, notesOf, openSteps, pay } from '../support/steps.js'
import type { StepsWork } from '../support/steps-worker.js'

const database = useDatabase()
const start = (work: Partial<StepsWork> & Pick<StepsWork, 'keys'>) =>
  startProcess('steps-worker.ts', { engine: 'pg', url: database.url, otherSide: database.url, ...work })

/** The effects of a payment: its notes, and what the other side was asked for. */
async function effectsOf(key: string) {
  const notes = await notesOf(database, key)
  const [, booked = ''] = /^book (\d+)$/.exec(notes[1] ?? '') ?? []
  const charged = await database.query('SELECT "transactionId" FROM "Payment" WHERE id = $1', [Number(booked)])
  const calls = await database.query('SELECT 1 FROM "Note" WHERE text = $1', [`call ${charged[0]?.transactionId}`])
  return { notes: notes.map((text) => text.replace(booked, 'n')), charged: charged.length, calls: calls.length }
}

test.each([
  ['before the COMMIT of its first step', 'prisma', /^COMMIT/, 'hold', 0],
  ['after it', 'pg', /^COMMIT/, 'drop', 0],
  ['between the call and the note of its answer', 'prisma', /jsonb_set/, 'hold', 0],
  ['after that note', 'pg', /jsonb_set/, 'drop', 0],
  ['before the COMMIT of its last step', 'pg', /^COMMIT/, 'hold', 1],
  ['after that', 'prisma', /^COMMIT/, 'drop', 1],
] as const)(
  'a process that is killed %s: another one goes on, and each step takes effect once',
  async (moment, engine, sql, fate, before) => {
    const key = randomUUID()
    const proxy = await openProxy(database.url)
    // Those before it pass.
    for (let i = 0; i < before; i++) proxy.next(sql, 'hold').release()
    const met = proxy.next(sql, fate)
    const killed = start({ engine, url: proxy.url, keys: [key] })
    await met.happened
    killed.kill()
    await rejectionOf(killed.answer()) // it has ended
    await proxy.close()

    const { db, close } = await openSteps(engine === 'pg' ? 'prisma' : 'pg', { url: database.url })
    await db.$steps({ key, scope: 'processes' }, pay(key, bankIn(database.query)))
    await close()

    const calls = moment.startsWith('between') ? 2 : expect.any(Number)
    expect(await effectsOf(key)).toEqual({ notes: ['reserve', 'book n'], charged: 1, calls })
  },
)

test('a process whose note of an answer comes late, when another one has done the rest, changes nothing', async () => {
  const key = randomUUID()
  const proxy = await openProxy(database.url)
  const held = proxy.next(/jsonb_set/, 'hold')
  const late = start({ engine: 'prisma', url: proxy.url, keys: [key] })
  await held.happened
  expect(await start({ keys: [key] }).answer()).toBe('done')
  held.release()

  expect(await late.answer()).toBe('done')
  expect(await effectsOf(key)).toEqual({ notes: ['reserve', 'book n'], charged: 1, calls: 2 })
})

test('four processes with the same operations, two of which are killed: each step of each takes effect once', async () => {
  const keys = Array.from({ length: 6 }, () => randomUUID())
  const work = { keys, isUnsteady: true }
  const killed = (['prisma', 'pg'] as const).map((engine) => start({ ...work, engine, hangs: true }))
  for (const each of killed) expect(await each.answer()).toBe('hangs')
  const others = (['prisma', 'pg'] as const).map((engine) => start({ ...work, engine, keys: keys.toReversed() }))
  for (const each of killed) each.kill()
  expect(await Promise.all(others.map((each) => each.answer()))).toEqual(['done', 'done'])

  for (const key of keys) expect(await effectsOf(key)).toMatchObject({ notes: ['reserve', 'book n'], charged: 1 })
})
