import { BatchTransactionError } from './errors.js'

/**
 * A promise that starts when it is first awaited, like Prisma's own. It carries Prisma's tag, so
 * that an array `$transaction([…])` asks it to join, which it refuses with the reason.
 */
export function lazily<T>(method: string, run: () => Promise<T>): Promise<T> {
  return new LazyPromise(method, run)
}

/** A class, so that a hundred thousand that wait do not have closures of their own. */
class LazyPromise<T> implements Promise<T> {
  readonly #method: string
  readonly #run: () => Promise<T>
  #started: Promise<T> | undefined

  constructor(method: string, run: () => Promise<T>) {
    this.#method = method
    this.#run = run
  }

  get [Symbol.toStringTag](): string {
    return 'PrismaPromise'
  }

  // biome-ignore lint/suspicious/noThenProperty: being awaited is what starts it
  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#start().then(onFulfilled, onRejected)
  }

  catch<B = never>(onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<T | B> {
    return this.#start().catch(onRejected)
  }

  finally(onFinally?: (() => void) | null): Promise<T> {
    return this.#start().finally(onFinally)
  }

  requestTransaction(): never {
    throw new BatchTransactionError(this.#method)
  }

  #start(): Promise<T> {
    this.#started ??= this.#run()
    return this.#started
  }
}
