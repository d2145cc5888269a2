import type { Session } from '../engine/session.js'
import { ConfigurationError } from '../errors/index.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { rootSession, transactionSession } from '../prisma/client-session.js'
import type { RetryingRoot, TransactionWithRetryOptions } from '../transactions/method.js'
import type { Body, TransactionContext } from '../transactions/with-retry.js'

/** A client with `concurrency()` on it: its public method is all that this entry point builds on. */
export interface ConcurrencyClient extends PrismaClientLike {
  $transactionWithRetry<R>(
    body: (tx: PrismaClientLike, context: TransactionContext) => Promise<R>,
    options?: TransactionWithRetryOptions,
  ): Promise<R>
}

/** The client that a session of Prisma's is of. */
export function clientOf({ client }: Session): PrismaClientLike {
  return client as PrismaClientLike
}

/** @throws ConfigurationError if `concurrency()` was not applied before */
export function withConcurrency(client: PrismaClientLike, extension: string): ConcurrencyClient {
  if (typeof (client as Partial<ConcurrencyClient>).$transactionWithRetry === 'function') {
    return client as ConcurrencyClient
  }
  const message = `${extension}() builds on concurrency(): apply that first, base.$extends(concurrency()).$extends(${extension}({ … }))`
  throw new ConfigurationError([{ path: '', message }])
}

/** The session of the client, with its retried transactions. With a model, errors are those of a call of it. */
export function retryingRoot(client: ConcurrencyClient, model?: string): RetryingRoot {
  return Object.assign(rootSession(client, model), {
    transactionWithRetry: <R>(body: Body<R>, options?: TransactionWithRetryOptions) =>
      client.$transactionWithRetry((tx, context) => body(transactionSession(tx, model), context), options),
  })
}
