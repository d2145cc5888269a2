/** Sets off a call that, like Prisma's own, does nothing before it is awaited. */
export function started<T>(call: PromiseLike<T>): Promise<T> {
  const promise = Promise.resolve(call)
  promise.catch(() => {}) // it may fail before the test comes to look at it
  return promise
}
