import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { describeEngines } from '../support/engines.js'
import { gate } from '../support/gate.js'
import { useInbox } from '../support/inbox.js'
import { note } from '../support/outbox.js'
import { openProxy } from '../support/proxy.js'
import { rejectionOf } from '../support/rejection.js'
import { untilBlocked } from '../support/until-blocked.js'

describeEngines(({ connect, database, name }) => {
  const { open } = useInbox({ connect, name })
  const newId = () => randomUUID()
  const notes = async (text: string) =>
    (await database.query('SELECT text FROM "Note" WHERE text LIKE $1 ORDER BY id', [`${text}%`])).map(
      (row) => row.text,
    )

  test('a message is handled once by each consumer, with what the body returns', async () => {
    const db = await open()
    const id = newId()
    const handle = (consumer: string) =>
      db.$inbox(consumer, id, async (tx) => {
        await note(tx, id)
        return 7
      })
    expect(await handle('shipping')).toEqual({ status: 'handled', result: 7 })
    expect(await handle('shipping')).toEqual({ status: 'duplicate' })
    expect(await handle('billing')).toEqual({ status: 'handled', result: 7 })
    expect(await notes(id)).toEqual([id, id])
  })

  test('a body that throws leaves nothing, and the message is handled when it comes again', async () => {
    const db = await open()
    const id = newId()
    const error = new Error('not now')
    const failing = db.$inbox('a', id, async (tx) => {
      await note(tx, id)
      throw error
    })
    expect(await rejectionOf(failing)).toBe(error)
    expect(await notes(id)).toEqual([])
    expect(await db.$inbox('a', id, (tx) => note(tx, id))).toMatchObject({ status: 'handled' })
  })

  test.each(['committed', 'rolled back'])(
    'of two deliveries at once the second waits for the first, which is %s',
    async (end) => {
      const db = await open()
      const id = newId()
      const held = gate()
      const inside = gate()
      const first = db.$inbox('a', id, async (tx) => {
        await note(tx, `${id} 1`)
        inside.open()
        await held.opened
        if (end === 'rolled back') throw new Error('no')
      })
      await inside.opened
      const second = db.$inbox('a', id, (tx) => note(tx, `${id} 2`))
      await untilBlocked(database.url)
      held.open()
      await Promise.allSettled([first])
      expect((await second).status).toBe(end === 'committed' ? 'duplicate' : 'handled')
      expect(await notes(id)).toEqual([`${id} ${end === 'committed' ? 1 : 2}`])
    },
  )

  test('of a batch the body gets what was not handled before, in its order; ids that come twice count once', async () => {
    const db = await open()
    const prefix = newId()
    const message = (n: number) => ({ id: `${prefix} ${n}`, body: n })
    await db.$inbox('a', message(2), async () => {})
    const batch = [3, 2, 1, 3].map(message)
    const answer = await db.$inbox('a', batch, async (_, fresh) => fresh.map(({ body }) => body))
    expect(answer).toEqual({
      handled: [message(3), message(1)],
      duplicates: [message(2), message(3)],
      outdated: [],
      result: [3, 1],
    })
    const again = await db.$inbox('a', batch, () => Promise.reject(new Error('nothing is new')))
    expect(again).toMatchObject({ handled: [], result: undefined })
  })

  test('a message behind one with a higher version of its key is outdated, also in a batch', async () => {
    const db = await open()
    const key = newId()
    const message = (version: number, of = key) => ({ id: newId(), key: of, version })
    const statusOf = async (version: number | bigint, of = key) =>
      (await db.$inbox('a', { id: newId(), key: of, version }, async () => {})).status
    expect(await statusOf(0)).toBe('handled')
    expect(await statusOf(5n)).toBe('handled')
    expect(await statusOf(5)).toBe('outdated')
    expect(await statusOf(4)).toBe('outdated')
    expect(await statusOf(4, `${key} 2`)).toBe('handled')
    const batch = [message(7), message(6), message(8), message(1, `${key} 3`)]
    const { handled, outdated } = await db.$inbox('a', batch, async () => {})
    expect(handled).toEqual([batch[0], batch[2], batch[3]])
    expect(outdated).toEqual([batch[1]])
    expect(await statusOf(8)).toBe('outdated')
    expect(await statusOf(9)).toBe('handled')
  })

  test('versions of one key that are handled at once: the lower one waits, and is outdated', async () => {
    const db = await open()
    const key = newId()
    const held = gate()
    const inside = gate()
    const higher = db.$inbox('a', { id: newId(), key, version: 2 }, async () => {
      inside.open()
      await held.opened
    })
    await inside.opened
    const lower = db.$inbox('a', { id: newId(), key, version: 1 }, async () => {})
    await untilBlocked(database.url)
    held.open()
    expect([(await higher).status, (await lower).status]).toEqual(['handled', 'outdated'])
  })

  test('inside a transaction it is part of it, and a body that throws takes back its own part alone', async () => {
    const db = await open()
    const [first, second] = [newId(), newId()]
    await db.$transactionWithRetry(async (tx) => {
      await tx.$inbox('a', first, (inner) => note(inner, first))
      const failing = tx.$inbox('a', second, async (inner) => {
        await note(inner, second)
        throw new Error('no')
      })
      await rejectionOf(failing)
    })
    expect(await notes(first)).toEqual([first])
    expect(await notes(second)).toEqual([])
    expect((await db.$inbox('a', second, async () => {})).status).toBe('handled')
    const rolledBack = newId()
    await rejectionOf(
      db.$transactionWithRetry(async (tx) => {
        await tx.$inbox('a', rolledBack, async () => {})
        throw new Error('no')
      }),
    )
    expect((await db.$inbox('a', rolledBack, async () => {})).status).toBe('handled')
  })

  test.each(['cut', 'drop'] as const)('a COMMIT that is lost (%s) handles it once', async (fate) => {
    const proxy = await openProxy(database.url)
    const db = await open({ url: proxy.url })
    const id = newId()
    const handle = (onBody = () => {}) =>
      db.$inbox('a', id, async (tx) => {
        await note(tx, id)
        onBody()
      })
    const lost: Promise<void>[] = []
    const first = await handle(() => void (lost[0] ?? lost.push(proxy.next(/^COMMIT/, fate).happened)))
    await lost[0]
    expect([first.status, (await handle()).status]).toEqual(['handled', 'duplicate'])
    expect(await notes(id)).toEqual([id])
  })

  test('messages are forgotten by consumer and age, and handled again then', async () => {
    const db = await open()
    const id = newId()
    const handle = (consumer: string) => db.$inbox(consumer, id, async () => {})
    for (const consumer of ['old', 'new', 'other']) await handle(consumer)
    await database.query(
      `UPDATE "InboxMessage" SET "handledAt" = now() - interval '2 days' WHERE "messageId" = $1 AND consumer <> 'new'`,
      [id],
    )
    expect(await db.$pruneInbox({ consumer: 'old', olderThan: 86_400_000, batchSize: 1 })).toEqual({ count: 1 })
    expect((await handle('old')).status).toBe('handled')
    expect((await handle('other')).status).toBe('duplicate')
    expect((await handle('new')).status).toBe('duplicate')
  })

  test('bad input is refused by its name', async () => {
    const db = await open()
    const body = async () => {}
    const fieldOf = async (call: Promise<unknown>) => ((await rejectionOf(call)) as { field: string }).field
    expect(await fieldOf(db.$inbox('', newId(), body))).toBe('consumer')
    expect(await fieldOf(db.$inbox('a', '', body))).toBe('message')
    expect(await fieldOf(db.$inbox('a', { id: 'x', version: 1 }, body))).toBe('message.key')
    expect(await fieldOf(db.$inbox('a', [{ id: 'x', key: 'k' }], body))).toBe('messages[0].version')
    expect(await fieldOf(db.$inbox('a', { id: 'x', key: 'k', version: -1 }, body))).toBe('message.version')
    expect(await fieldOf(db.$inbox('a', 7 as never, body))).toBe('message')
    expect(await fieldOf(db.$inbox('a', 'x', 7 as never))).toBe('body')
    expect(await fieldOf(db.$inbox('a', 'x', body, { retries: 7 } as never))).toBe('retries')
    expect(await fieldOf(db.$pruneInbox({ olderThan: -1 }))).toBe('olderThan')
    const plain = await open({}, {})
    const versioned = plain.$inbox('a', { id: 'x', key: 'k', version: 1 }, body)
    expect(await rejectionOf(versioned)).toMatchObject({ code: 'CONFIGURATION', issues: [{ path: 'version' }] })
  })
})
