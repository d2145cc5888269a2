/** Values by name, each made when it is first asked for. A client may have hundreds of models, and use ten. */
export class LazyMap<V> {
  readonly #names: ReadonlySet<string>
  readonly #make: (name: string) => V
  readonly #made = new Map<string, V>()

  constructor(names: Iterable<string>, make: (name: string) => V) {
    this.#names = new Set(names)
    this.#make = make
  }

  has(name: string): boolean {
    return this.#names.has(name)
  }

  get(name: string): V | undefined {
    if (!this.#names.has(name)) return undefined
    const known = this.#made.get(name)
    if (known !== undefined) return known
    const made = this.#make(name)
    this.#made.set(name, made)
    return made
  }

  keys(): Iterable<string> {
    return this.#names
  }

  *values(): Iterable<V> {
    for (const [, value] of this) yield value
  }

  *[Symbol.iterator](): Iterator<[string, V]> {
    for (const name of this.#names) yield [name, this.get(name) as V]
  }
}
