import { concurrency, type EventOptions } from '../../src/index.js'
import { stock } from '../../src/pg.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import type { ItemMapping } from '../../src/stock/options.js'
import type { EngineName, openEngine } from './engines.js'

/** Tickets of an event, spread over several rows. */
export const TICKETS = {
  item: { model: 'Ticket', key: 'event', slots: 'slot', opening: 'opening' },
  movement: { model: 'TicketSale' },
} as const

type Opened = Pick<Awaited<ReturnType<typeof openEngine>>, 'db' | 'client'>

interface TicketOptions {
  /** How the number of slots of an event is found. */
  readonly slots?: ItemMapping['slots']
  /** The listeners of the client, which the engine of `db` has already. */
  readonly listeners?: EventOptions
}

/** A client of an engine with tickets. To the tests both are one. */
export function withTickets(engine: EngineName, { db, client }: Opened, more: TicketOptions = {}) {
  const { slots = TICKETS.item.slots, listeners } = more
  const options = { ...TICKETS, item: { ...TICKETS.item, slots } }
  const onPg = () => db.$extends(stock<string, number>(options))
  const onPrisma = () => client.$extends(concurrency(listeners)).$extends(prismaStock(options))
  return engine === 'pg' ? onPg() : (onPrisma() as unknown as ReturnType<typeof onPg>)
}

export type TicketDb = ReturnType<typeof withTickets>
