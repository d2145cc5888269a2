import { concurrency, stock as pgStock } from '../../src/pg.js'
import { stock } from '../../src/stock/extension.js'
import { COMPANIES, CREDIT } from '../support/company-models.js'
import { STOCK } from '../support/stock-models.js'
import { db as concurrent, type Equal, type Expect, type Resolved } from './support.js'

const credit = { ...CREDIT, name: 'credit' } as const
const scope = { companyId: 1 }
const transactionId = 'a'

// Each ledger is a member of its own name, with the types of its own models.
{
  const db = concurrent.$extends(stock(COMPANIES)).$extends(stock(credit))
  const call = db.$credit.move({ scope, transactionId, item: 'customer', quantity: -3n })
  type _balance = Expect<Equal<Resolved<typeof call>['balance'], bigint>>
  const other = db.$stock.in(scope).move({ transactionId, item: { productId: 1, warehouse: 'main' }, quantity: 1 })
  type _other = Expect<Equal<Resolved<typeof other>['balance'], number>>
  db.$transactionWithRetry((tx) =>
    tx.$credit.in(scope).moveAll({ transactionId, lines: [{ item: 'c', quantity: 1n }] }),
  )
  db.$transaction((tx) => tx.$credit.in(scope).audit())
  // @ts-expect-error: the item of the other ledger
  db.$credit.move({ scope, transactionId, item: { productId: 1, warehouse: 'main' }, quantity: 1n })
}

// One with a name alone is no `$stock`.
{
  const db = concurrent.$extends(stock(credit))
  // @ts-expect-error: it is called $credit
  db.$stock
  // @ts-expect-error: there is no other one
  db.$debit
}

// A name that only the running program knows is none to the types.
{
  const db = concurrent.$extends(stock({ ...CREDIT, name: String(transactionId) }))
  // @ts-expect-error: nobody knows the name
  db.$stock
  // @ts-expect-error: nobody knows the name
  db.$credit
}

// On node-postgres the name is the first type, or that of the options where no type is given.
{
  const client = await concurrency({} as never)
  const db = client
    .$extends(pgStock<{ productId: number; warehouse: string }, number>(STOCK))
    .$extends(pgStock<'credit', string, bigint, { companyId: number }>(credit))
  const call = db.$credit.in(scope).move({ transactionId, item: 'customer', quantity: 1n })
  type _balance = Expect<Equal<Resolved<typeof call>['balance'], bigint>>
  db.$stock.move({ transactionId, item: { productId: 1, warehouse: 'main' }, quantity: 1 })
  db.$transactionWithRetry((tx) => tx.$credit.move({ scope, transactionId, item: 'c', quantity: 1n }))
  const { scope: _, ...unscoped } = credit
  client.$extends(pgStock(unscoped)).$credit.move({ transactionId, item: 'c', quantity: 1 })
  // @ts-expect-error: the name that the type is of
  pgStock<'debit', string, bigint, { companyId: number }>(credit)
  // @ts-expect-error: the name has a type, too
  client.$extends(pgStock<string, bigint>(unscoped)).$credit
  // @ts-expect-error: it is called $credit
  client.$extends(pgStock(unscoped)).$stock
}
