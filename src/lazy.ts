import { BatchTransactionError } from './errors.js'

/**
 * A promise that starts when it is first awaited, like Prisma's own. It carries Prisma's tag, so
 * that an array `$transaction([…])` asks it to join, which it refuses with the reason.
 */
export function lazily<T>(method: string, run: () => Promise<T>): Promise<T> {
  let started: Promise<T> | undefined
  const start = () => (started ??= run())
  const promise = {
    // biome-ignore lint/suspicious/noThenProperty: being awaited is what starts it
    then: (onFulfilled, onRejected) => start().then(onFulfilled, onRejected),
    catch: (onRejected) => start().catch(onRejected),
    finally: (onFinally) => start().finally(onFinally),
    requestTransaction: () => {
      throw new BatchTransactionError(method)
    },
    [Symbol.toStringTag]: 'PrismaPromise',
  } satisfies Promise<T> & { requestTransaction(): never }
  return promise
}
