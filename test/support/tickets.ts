import { randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import type { ConcurrencyEvent, SlotsEvent } from '../../src/events/types.js'
import type { ItemMapping } from '../../src/stock/options.js'
import type { useEngine } from './engines.js'
import { type TicketDb, withTickets } from './ticket-models.js'

type Engine = ReturnType<typeof useEngine>
type Client = Omit<Awaited<ReturnType<Engine['connect']>>, 'db'> & {
  readonly db: TicketDb
  /** The slot that it takes from, by the number of slots. */
  readonly slots: Map<number, number>
  /** The types of its events. */
  readonly told: string[]
}

/** Events and clients of an engine, in the database of a test file. */
export function useTickets({ name, database, connect: open }: Engine) {
  const opened: Client[] = []
  const openNew = async (url = database.url): Promise<Client> => {
    const told: string[] = []
    const listeners = { onEvent: ({ type }: ConcurrencyEvent) => void told.push(type) }
    const made = await open(name, { url, options: listeners })
    const client = { ...made, db: withTickets(name, made, { listeners }), slots: new Map(), told }
    if (url === database.url) opened.push(client)
    return client
  }
  /** A client; without a URL of its own, one that other tests use as well. */
  const connect = async (url?: string) => (url === undefined && opened[0]) || openNew(url)
  /**
   * A client of its own whose slots adapt in this way. `told` resolves to what it has told of them, once that is so much,
   * and `close` disconnects it.
   */
  const connectAdapting = async (slots: ItemMapping['slots'], url = database.url, poolSize = 10) => {
    const events: SlotsEvent[] = []
    const waiting: (() => void)[] = []
    const listeners = {
      onEvent(event: ConcurrencyEvent) {
        if (event.type !== 'slots') return
        events.push(event)
        for (const wake of waiting.splice(0)) wake()
      },
    }
    const made = await open(name, { url, poolSize, options: listeners })
    const told = async (count: number) => {
      while (events.length < count) await new Promise<void>((resolve) => waiting.push(resolve))
      return events
    }
    return { ...made, db: withTickets(name, made, { slots, listeners }), events, told }
  }
  /** An event that nobody else uses, with so much in each of its slots. */
  const newEvent = async (...onHand: readonly number[]): Promise<string> => {
    const event = `event ${randomUUID()}`
    await database.query(
      `INSERT INTO "Ticket" (event, slot, "onHand", price)
SELECT $1, number - 1, quantity, 7 FROM unnest($2::int[]) WITH ORDINALITY AS s(quantity, number)`,
      [event, onHand],
    )
    await database.query(
      `INSERT INTO "TicketSale" ("transactionId", line, event, quantity)
SELECT 'opening of ' || $1, 0, $1, sum(quantity) FROM unnest($2::int[]) AS s(quantity) HAVING sum(quantity) <> 0`,
      [event, onHand],
    )
    return event
  }
  /** The quantities of its slots, in their order. */
  const slotsOf = async (event: string) => {
    const rows = await database.query('SELECT "onHand" FROM "Ticket" WHERE event = $1 ORDER BY slot', [event])
    return rows.map((row) => row.onHand as number)
  }
  const totalOf = async (event: string) => (await slotsOf(event)).reduce((sum, each) => sum + each, 0)
  const movementsOf = async (transactionId: string) => {
    const rows = await database.query('SELECT quantity FROM "TicketSale" WHERE "transactionId" = $1 ORDER BY line', [
      transactionId,
    ])
    return rows.map(({ quantity }) => quantity as number)
  }
  /** A client that takes from this slot of events with so many. */
  const connectAt = async (slot: number, of: number, url?: string): Promise<Client> => {
    for (const client of url === undefined ? opened : []) if ((await ownSlot(client, of)) === slot) return client
    for (;;) {
      const client = await openNew(url)
      if ((await ownSlot(client, of)) === slot) return client
    }
  }
  const ownSlot = async ({ db, slots }: Client, of: number) => {
    const known = slots.get(of)
    if (known !== undefined) return known
    const event = await newEvent(...Array(of).fill(0))
    await db.$stock.move({ transactionId: newId(), item: event, quantity: 1 })
    const own = (await slotsOf(event)).indexOf(1)
    slots.set(of, own)
    return own
  }
  /** Every event is what its sales add up to, and no slot of it is below 0. */
  const expectExact = async () => {
    const { db } = await connect()
    expect(await db.$stock.audit()).toEqual([])
    expect(await database.query('SELECT FROM "Ticket" WHERE "onHand" < 0')).toEqual([])
  }
  return { connect, connectAt, connectAdapting, newEvent, slotsOf, totalOf, movementsOf, expectExact }
}

/** A transaction id that nobody else uses. */
export const newId = (): string => randomUUID()
