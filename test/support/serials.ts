import { randomInt, randomUUID } from 'node:crypto'
import { concurrency } from '../../src/index.js'
import { serials } from '../../src/serials/extension.js'
import { type ClientOptions, useDatabase } from './clients.js'

/** A database for this test file, clients of it with serials, and products with serials of their own. */
export function useSerials() {
  const database = useDatabase()
  const connect = (options?: ClientOptions) => {
    const made = database.connect(options)
    return { ...made, db: made.client.$extends(concurrency()).$extends(serials()) }
  }
  /** A product that nobody else uses, with the free serials S-1 to S-`count`. */
  const newProduct = async (count: number) => {
    const productId = randomInt(1, 2 ** 31)
    await database.query(
      `INSERT INTO "Serial" ("productId", number) SELECT $1, 'S-' || n FROM generate_series(1, $2::int) AS n`,
      [productId, count],
    )
    return productId
  }
  /** The owner of each serial of the product, by its number. */
  const owners = async (productId: number): Promise<Record<string, string | null>> => {
    const rows = await database.query(
      'SELECT number, "transactionId" FROM "Serial" WHERE "productId" = $1 ORDER BY number',
      [productId],
    )
    return Object.fromEntries(rows.map(({ number, transactionId }) => [number, transactionId]))
  }
  /** Whether anything is noted under the transaction id. */
  const isNoted = async (transactionId: string) =>
    (await database.query('SELECT FROM "SerialAllocation" WHERE "transactionId" = $1', [transactionId])).length > 0
  return { database, connect, newProduct, owners, isNoted }
}

/** A transaction id that nobody else uses. */
export const newId = () => randomUUID()

export const numbersOf = ({ serials }: { readonly serials: readonly { readonly number: string }[] }) =>
  serials.map(({ number }) => number)
