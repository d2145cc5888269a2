import { onTestFinished } from 'vitest'
import { concurrency } from '../../src/index.js'
import { stock } from '../../src/stock/extension.js'
import type { StockOptions } from '../../src/stock/options.js'
import { createClient } from './clients.js'
import { STOCK } from './stock.js'

type Options = Pick<StockOptions, 'maxWaiting' | 'retry'> & { readonly poolSize?: number }

/** A client of its own, as in another process, at a URL of the test's own, until the test ends. It is patient. */
export function connectStock(url: string, { poolSize = 10, ...options }: Options = {}) {
  const made = createClient(url, { poolSize })
  onTestFinished(() => made.client.$disconnect())
  const db = made.client
    .$extends(concurrency())
    .$extends(stock({ ...STOCK, ...options, retry: { deadline: 100_000, ...options.retry } }))
  return { ...made, db }
}

export type StockClient = ReturnType<typeof connectStock>['db']
