/** Runs work later in the async context (such as AsyncLocalStorage) of the code that made this: of a call, say. */
export class CallersContext {
  #resume: (work: () => void) => void = () => {}

  constructor() {
    this.#arm()
  }

  run<R>(work: () => R | PromiseLike<R>): Promise<R> {
    return new Promise((resolve, reject) => {
      this.#resume(() => {
        this.#arm()
        try {
          resolve(work())
        } catch (error) {
          reject(error)
        }
      })
    })
  }

  /** A function that is chained to a promise runs in the context in which it was chained, and not in that of the code that settles the promise. */
  #arm(): void {
    const resumed = new Promise<() => void>((resolve) => {
      this.#resume = resolve
    })
    void resumed.then((work) => work())
  }
}
