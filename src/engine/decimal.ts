import { rowOf, type Session } from './session.js'

/** A Decimal of an engine, whichever class that is. `toFixed()` gives all digits. */
interface Decimal {
  toFixed(): string
  toString(): string
}

/**
 * The engine's own class of a `numeric`, as a function. It is taken from a value that the engine has read: an
 * import would tie this package to one of Prisma's runtimes.
 */
export async function decimalMaker(session: Session): Promise<(text: string) => Decimal> {
  const { zero } = await rowOf<{ zero: object }>(session, { text: 'SELECT 0::numeric AS zero', values: [] })
  const Class = zero.constructor as new (text: string) => Decimal
  return (text) => new Class(text)
}
