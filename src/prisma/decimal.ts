import type { DecimalLike } from '../errors/index.js'
import type { PrismaClientLike } from './client.js'

/**
 * Prisma's own Decimal class, as a function. It is taken from a value that Prisma made: an import
 * would tie this package to one of Prisma's runtimes.
 */
export async function decimalMaker(client: PrismaClientLike): Promise<(text: string) => DecimalLike> {
  const [row] = (await client.$queryRawUnsafe('SELECT 0::numeric AS zero')) as [{ zero: object }]
  const Decimal = row.zero.constructor as new (text: string) => DecimalLike
  return (text) => new Decimal(text)
}
