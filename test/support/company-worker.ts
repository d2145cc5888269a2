/** A process of its own, on either engine, that sends orders of companies: for stock alone, or for credit as well. */
import { withLedgers } from './company-models.js'
import { type EngineName, openEngine } from './engines.js'
import type { StockItem } from './stock-models.js'

export interface CompanyOrder {
  readonly companyId: number
  readonly transactionId: string
  readonly lines: readonly { readonly item: StockItem; readonly quantity: number }[]
  /** The customer who pays for it, in the same transaction. */
  readonly customer?: string
}

export interface CompanyWork {
  readonly engine: EngineName
  readonly url: string
  readonly orders: readonly CompanyOrder[]
  /** After so many orders it says so, and goes on. */
  readonly reportsAt?: number
}

const CALLERS = 20

process.once('message', async ({ engine, url, orders, reportsAt }: CompanyWork) => {
  const made = await openEngine(engine, { url })
  const db = withLedgers(engine, made)
  const retry = { deadline: 100_000, attempts: 1_000 }
  const send = async ({ companyId, transactionId, lines, customer }: CompanyOrder) => {
    const scope = { companyId }
    if (customer === undefined) return db.$stock.moveAll({ scope, transactionId, lines: [...lines], retry })
    return db.$transactionWithRetry(
      async (tx) => {
        await tx.$stock.moveAll({ scope, transactionId, lines: [...lines] })
        const quantity = BigInt(lines.reduce((sum, line) => sum + line.quantity, 0))
        return tx.$credit.move({ scope, transactionId, item: customer, quantity })
      },
      { retry },
    )
  }
  const failures: string[] = []
  const queue = [...orders]
  let sent = 0
  const caller = async () => {
    for (let order = queue.shift(); order; order = queue.shift()) {
      await send(order).catch((error: unknown) => failures.push(String(error)))
      if (++sent === reportsAt) process.send?.('so many')
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, caller))
  await made.close()
  process.send?.(failures, () => process.exit(0))
})
