import { InvalidArgumentError } from '../errors/index.js'
import { DEEPEST } from '../values/snapshot.js'

/** Makes the error for a part that cannot be taken. */
export type Refuse = (path: string, what: string) => InvalidArgumentError

/** Goes into the objects of some data, and comes to an end whatever they are. */
export class Walk {
  readonly #refuse: Refuse
  readonly #parents = new Set<object>()

  constructor(refuse: Refuse) {
    this.#refuse = refuse
  }

  /**
   * Reads the parts of an object. Errors of the reading come from the data: a getter of its own, or a Proxy.
   *
   * @throws InvalidArgumentError that names the part
   */
  into<T>(value: object, path: string, read: () => T): T {
    if (this.#parents.has(value)) throw this.#refuse(path, 'contains itself')
    if (this.#parents.size >= DEEPEST) throw this.#refuse(path, `is nested deeper than ${DEEPEST} levels`)
    this.#parents.add(value)
    try {
      return read()
    } catch (error) {
      throw error instanceof InvalidArgumentError ? error : this.#refuse(path, 'cannot be read')
    } finally {
      this.#parents.delete(value)
    }
  }
}
