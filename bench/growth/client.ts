import { PrismaPg } from '@prisma/adapter-pg'
import { serials, series, stock } from '../../dist/erp.js'
import { concurrency } from '../../dist/index.js'
import { PrismaClient } from '../../generated/bench/client.js'
import { statementNameGenerator } from '../support/statement-names.js'

/** In ms: 5,000 callers of which one works at a time wait for longer than any default allows. */
const PATIENCE = 120_000

export function openOurs(url: string) {
  const adapter = new PrismaPg({ connectionString: url, max: 10 }, { statementNameGenerator })
  return new PrismaClient({ adapter, transactionOptions: { maxWait: PATIENCE } })
    .$extends(concurrency({ retry: { deadline: PATIENCE } }))
    .$extends(stock({ item: { model: 'Stock', key: 'itemId' }, movement: { model: 'StockMovement' } }))
    .$extends(
      stock({
        name: 'past',
        item: { model: 'HistoryStock', key: 'itemId' },
        movement: { model: 'HistoryStockMovement' },
      }),
    )
    .$extends(serials())
    .$extends(series({ counter: { model: 'SeriesCounter' } }))
}
