import type { Context } from 'hono'
import { isConcurrencyError, type Shortage } from 'prisma-extension-concurrency'
import { Prisma } from '../../generated/prisma/client.js'
import { answerProblem, notFound, Problem } from '../http-api/problem.js'

/** The handler of everything that is thrown. */
export const answerError = (error: Error, c: Context): Response => answerProblem(problemOf(error), c)

/** Any other error is 500. To send the request again, under the same key, is right in any case. */
function problemOf(error: Error): Error {
  if (isConcurrencyError(error, 'INSUFFICIENT_STOCK')) {
    const detail = 'Nothing was taken. Ask for less, or send it again after a delivery.'
    return new Problem(409, 'Not enough in stock', detail, { members: { shortages: error.shortages.map(shortageOf) } })
  }
  if (isConcurrencyError(error, 'INSUFFICIENT_SERIALS')) {
    return new Problem(409, 'Not enough serial numbers', `${error.requested} are needed, and ${error.free} are free.`)
  }
  if (isConcurrencyError(error, 'DUPLICATE_SERIALS')) {
    const detail = 'Some of these serial numbers have come in before. Nothing was received.'
    return new Problem(409, 'Serial numbers known', detail, { members: { serials: error.numbers } })
  }
  if (isConcurrencyError(error, 'IDEMPOTENCY_MISMATCH')) {
    return new Problem(422, 'Used before', 'This Idempotency-Key came with another request then. Use a new one.')
  }
  if (isConcurrencyError(error, 'ITEM_NOT_FOUND')) {
    return new Problem(404, 'No such product', 'It is not kept in stock. Nothing was done.', {
      members: productOf(error.item),
    })
  }
  if (isConcurrencyError(error, 'RESERVATION_ENDED')) {
    return error.state === 'missing' ? notFound() : new Problem(410, 'Gone', `The basket has ended: ${error.state}.`)
  }
  if (isConcurrencyError(error, 'REVERSAL')) {
    const excesses = error.excesses.map(({ item, requested, left }) => ({ ...productOf(item), requested, left }))
    return new Problem(409, 'More than was sold', 'It has come back already. Nothing was done.', {
      members: { excesses },
    })
  }
  if (isConcurrencyError(error, 'OVERLOADED')) return busy('Too many requests wait already. Nothing was done.')
  if (
    isConcurrencyError(error, 'DEADLINE_EXCEEDED') ||
    isConcurrencyError(error, 'OUTCOME_UNKNOWN') ||
    isUnavailable(error)
  ) {
    console.error(error) // why it took so long is for us, not for the client
    return busy('It took too long. Send it again, with the same Idempotency-Key: it happens once.')
  }
  return error
}

const busy = (detail: string) => new Problem(503, 'Busy', detail, { headers: { 'retry-after': '1' } })

/**
 * No connection of the pool, or of the server, could be had (Prisma's codes), or a lock or a statement
 * ran into the limit that each transaction sets by its deadline (the codes of PostgreSQL).
 */
const UNAVAILABLE = new Set<unknown>(['P1001', 'P1017', 'P2024', 'P2028', '55P03', '57014'])

function isUnavailable(error: Error): boolean {
  if (!(error instanceof Prisma.PrismaClientKnownRequestError)) return false
  const { driverAdapterError } = (error.meta ?? {}) as { driverAdapterError?: { cause?: { originalCode?: unknown } } }
  return UNAVAILABLE.has(error.code) || UNAVAILABLE.has(driverAdapterError?.cause?.originalCode)
}

const shortageOf = ({ item, requested, available }: Shortage) => ({ ...productOf(item), requested, available })

const productOf = (item: unknown) => ({ productId: (item as { readonly productId: number }).productId })
