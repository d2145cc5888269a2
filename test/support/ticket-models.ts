import { concurrency } from '../../src/index.js'
import { stock } from '../../src/pg.js'
import { stock as prismaStock } from '../../src/stock/extension.js'
import type { EngineName, openEngine } from './engines.js'

/** Tickets of an event, spread over several rows. */
export const TICKETS = {
  item: { model: 'Ticket', key: 'event', slots: 'slot', opening: 'opening' },
  movement: { model: 'TicketSale' },
} as const

type Opened = Pick<Awaited<ReturnType<typeof openEngine>>, 'db' | 'client'>

/** A client of an engine with tickets. To the tests both are one. */
export function withTickets(engine: EngineName, { db, client }: Opened) {
  const onPg = () => db.$extends(stock<string, number>(TICKETS))
  const onPrisma = () => client.$extends(concurrency()).$extends(prismaStock(TICKETS))
  return engine === 'pg' ? onPg() : (onPrisma() as unknown as ReturnType<typeof onPg>)
}

export type TicketDb = ReturnType<typeof withTickets>
