import { expect, test } from 'vitest'
import { describeEngines } from '../support/engines.js'
import { startProcess } from '../support/process.js'
import type { TicketOrder, TicketVerdict, TicketWork } from '../support/ticket-worker.js'
import { newId, useTickets } from '../support/tickets.js'

const PROCESSES = 4

describeEngines((engine) => {
  const { newEvent, totalOf, expectExact } = useTickets(engine)
  const start = (orders: readonly TicketOrder[], more: Partial<TicketWork> = {}) =>
    startProcess('ticket-worker.ts', {
      engine: engine.name,
      url: engine.database.url,
      orders,
      callers: 16,
      ...more,
    } satisfies TicketWork)

  test('4 processes sell all that there is, to the last unit, and each id once', async () => {
    // The one begins with one slot, which each of them finds to be too few, and the other with one that has all.
    const [a, b] = [await newEvent(300), await newEvent(90, 0, 0)]
    const orders = Array.from({ length: 400 }, (_, i) => ({
      transactionId: newId(),
      lines: i % 4 ? [{ item: a, quantity: -1 }] : [a, b].map((item) => ({ item, quantity: -1 })),
    }))
    // Each order goes to two processes.
    const shares = Array.from({ length: PROCESSES }, (_, own) =>
      orders.filter((_, i) => i % PROCESSES === own || (i + 1) % PROCESSES === own),
    )
    const processes = shares.map((share) => start(share, { slots: { field: 'slot', least: 3 } }))

    const verdicts = (await Promise.all(processes.map((child) => child.answer<TicketVerdict[]>()))).flat()

    const done = verdicts.filter(({ verdict }) => verdict === 'done')
    expect(new Set(verdicts.map(({ verdict }) => verdict))).toEqual(new Set(['done', 'replayed', 'INSUFFICIENT_STOCK']))
    expect(new Set(done.map(({ transactionId }) => transactionId)).size).toBe(done.length)
    expect(done).toHaveLength(300)
    expect(await totalOf(a)).toBe(0)
    await expectExact()
  })

  test('a process that is killed leaves no half movement, and its orders come again', async () => {
    const event = await newEvent(5, 5, 190)
    const orders = Array.from({ length: 150 }, () => ({
      transactionId: newId(),
      lines: [{ item: event, quantity: -1 }],
    }))
    const [killed, other] = [start(orders, { reportsAt: 20 }), start(orders.slice(0, 50))]
    await killed.answer()
    killed.kill()
    await other.answer()

    const verdicts = await start(orders).answer<TicketVerdict[]>()

    expect(new Set(verdicts.map(({ verdict }) => verdict))).toEqual(new Set(['done', 'replayed']))
    expect(await totalOf(event)).toBe(50)
    await expectExact()
  })
})
