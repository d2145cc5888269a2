import { BatchTransactionError } from '../errors/index.js'

/**
 * A promise that starts when it is first awaited, like Prisma's own. It carries Prisma's tag, so
 * that an array `$transaction([…])` asks it to join, which it refuses with the reason.
 *
 * The arguments are read at once: the caller may change its own objects before the start.
 */
export function lazyPromise<A, T>(method: string, read: () => A, run: (given: A) => Promise<T>): Promise<T> {
  return new LazyPromise(method, read, run)
}

/** A promise that Prisma takes for one of its own, and that starts when it is awaited. */
export abstract class PrismaLikePromise<T> implements Promise<T> {
  protected abstract start(): Promise<T>

  get [Symbol.toStringTag](): string {
    return 'PrismaPromise'
  }

  // biome-ignore lint/suspicious/noThenProperty: being awaited is what starts it
  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.start().then(onFulfilled, onRejected)
  }

  catch<B = never>(onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<T | B> {
    return this.start().catch(onRejected)
  }

  finally(onFinally?: (() => void) | null): Promise<T> {
    return this.start().finally(onFinally)
  }
}

/** A class, so that a hundred thousand that wait do not have closures of their own. */
class LazyPromise<A, T> extends PrismaLikePromise<T> {
  readonly #method: string
  readonly #run: (given: A) => Promise<T>
  readonly #given: { readonly value: A } | { readonly error: unknown }
  #started: Promise<T> | undefined

  constructor(method: string, read: () => A, run: (given: A) => Promise<T>) {
    super()
    this.#method = method
    this.#run = run
    this.#given = settled(read)
  }

  requestTransaction(): never {
    throw new BatchTransactionError(this.#method)
  }

  protected override start(): Promise<T> {
    const given = this.#given
    this.#started ??= 'error' in given ? Promise.reject(given.error) : this.#run(given.value)
    return this.#started
  }
}

function settled<A>(read: () => A): { readonly value: A } | { readonly error: unknown } {
  try {
    return { value: read() }
  } catch (error) {
    return { error }
  }
}
