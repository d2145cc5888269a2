/** A process of its own that sells tickets, on either engine. */
import type { ItemMapping } from '../../src/stock/options.js'
import { type EngineName, openEngine } from './engines.js'
import { withTickets } from './ticket-models.js'

export interface TicketOrder {
  readonly transactionId: string
  readonly lines: readonly { readonly item: string; readonly quantity: number }[]
}

export interface TicketWork {
  readonly engine: EngineName
  readonly url: string
  readonly orders: readonly TicketOrder[]
  readonly callers: number
  readonly slots?: ItemMapping['slots']
  /** After so many answers it says so, and goes on. */
  readonly reportsAt?: number
}

export interface TicketVerdict {
  readonly transactionId: string
  /** `done`, `replayed`, or the code of the error. */
  readonly verdict: string
}

process.once('message', async ({ engine, url, orders, callers, slots, reportsAt }: TicketWork) => {
  const made = await openEngine(engine, { url })
  const db = withTickets(engine, made, { slots })
  const retry = { deadline: 100_000, attempts: 1_000 }
  const verdicts: TicketVerdict[] = []
  const queue = [...orders]
  const caller = async () => {
    for (let order = queue.shift(); order; order = queue.shift()) {
      const { transactionId, lines } = order
      try {
        const { replayed } = await db.$stock.moveAll({ transactionId, lines: [...lines], retry })
        verdicts.push({ transactionId, verdict: replayed ? 'replayed' : 'done' })
      } catch (error) {
        verdicts.push({ transactionId, verdict: (error as { code?: string }).code ?? String(error) })
      }
      if (verdicts.length === reportsAt) process.send?.('so many')
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  await made.close()
  process.send?.(verdicts, () => process.exit(0))
})
