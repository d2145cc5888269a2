import type { Database } from '../../test/support/database.js'
import type { Product } from '../northwind/orders.js'
import type { Replay } from './replay.js'
import type { Sale } from './sell.js'

/** The outcome of one run, read from the database: the lines sold are there, and so is the stock. */
export interface Audit {
  readonly unitsAsked: number
  readonly unitsSold: number
  readonly unitsRefused: number
  readonly openingStock: number
  /** The opening stock less what was sold. */
  readonly expectedStock: number
  readonly foundStock: number
  /** Units sold that are still in the stock. */
  readonly unitsVanished: number
  /** Sales whose write of the stock was overwritten by one that did not know of it. */
  readonly updatesLost: number
  /** Products of which more was sold than there was. */
  readonly productsOversold: number
  /** Order lines that met another writer. */
  readonly conflicts: number
  readonly retries: number
  readonly milliseconds: number
  /** Nothing lost, nothing sold that was not there, and all that was asked for is accounted for. */
  readonly isExact: boolean
}

interface ProductAudit {
  readonly opening: number
  readonly sold: number
  readonly found: number
  readonly updatesLost: number
}

export async function audit(
  database: Database,
  products: readonly Product[],
  { sales, milliseconds }: Replay,
): Promise<Audit> {
  const audits = await auditProducts(database, products, sales)
  const refused = sales.filter(({ isSold }) => !isSold)
  const unitsAsked = sum(sales, ({ line }) => line.quantity)
  const unitsSold = sum(audits, ({ sold }) => sold)
  const unitsRefused = sum(refused, ({ line }) => line.quantity)
  const openingStock = sum(products, ({ stock }) => stock)
  const productsOversold = audits.filter(({ opening, sold }) => sold > opening).length
  return {
    unitsAsked,
    unitsSold,
    unitsRefused,
    openingStock,
    expectedStock: openingStock - unitsSold,
    foundStock: sum(audits, ({ found }) => found),
    unitsVanished: sum(audits, ({ opening, sold, found }) => found - (opening - sold)),
    updatesLost: sum(audits, ({ updatesLost }) => updatesLost),
    productsOversold,
    conflicts: sales.filter(({ attempts }) => attempts > 1).length,
    retries: sum(sales, ({ attempts }) => attempts - 1),
    milliseconds,
    isExact:
      productsOversold === 0 &&
      unitsSold + unitsRefused === unitsAsked &&
      audits.every(({ opening, sold, found, updatesLost }) => found === opening - sold && updatesLost === 0),
  }
}

async function auditProducts(
  database: Database,
  products: readonly Product[],
  sales: readonly Sale[],
): Promise<ProductAudit[]> {
  const rows = (await database.query(
    `SELECT p.id, p.stock AS found, coalesce(sum(l.quantity), 0)::int AS sold
     FROM "Product" AS p LEFT JOIN "OrderLine" AS l ON l."productId" = p.id
     GROUP BY p.id`,
  )) as { id: number; found: number; sold: number }[]
  const byId = new Map(rows.map((row) => [row.id, row]))
  return products.map(({ id, stock: opening }) => {
    const row = byId.get(id)
    if (row === undefined) throw new Error(`Product ${id} is gone.`)
    const own = sales.filter(({ line, isSold }) => isSold && line.productId === id)
    return { opening, sold: row.sold, found: row.found, updatesLost: own.length - survivors(own, opening, row.found) }
  })
}

/** From the stock that was found back to the opening stock: the sales on this path are those that count. */
function survivors(sales: readonly Sale[], opening: number, found: number): number {
  let count = 0
  let stock = found
  while (stock < opening) {
    const sale = sales.find(({ before, line }) => before - line.quantity === stock)
    if (sale === undefined) break
    stock = sale.before
    count++
  }
  return count
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0)
}
