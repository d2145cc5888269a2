import { PrismaPg } from '@prisma/adapter-pg'
import { concurrency, type TransactionClient } from 'prisma-extension-concurrency'
import { serials, series, stock } from 'prisma-extension-concurrency/erp'
import { PrismaClient } from '../../generated/prisma/client.js'

export type Database = ReturnType<typeof connect>
export type Transaction = TransactionClient<Database>

export interface ConnectOptions {
  /** How many calls may wait for stock in this process; the next one is turned away. Default 10,000. */
  readonly maxWaiting?: number | undefined
}

export function connect(url: string, { maxWaiting }: ConnectOptions = {}) {
  return new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })
    .$extends(concurrency({ contention: true }))
    .$extends(
      stock({
        item: { model: 'Stock', key: ['productId', 'warehouse'] },
        movement: { model: 'StockMovement' },
        reservation: { model: 'StockReservation' },
        ...(maxWaiting === undefined ? {} : { maxWaiting }),
      }),
    )
    .$extends(serials())
    .$extends(series({ series: { invoice: { format: 'INV-{000000}' } } }))
}
