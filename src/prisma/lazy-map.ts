/** Values by name, each made when it is first asked for. A client may have hundreds of models, and use ten. */
export interface LazyMap<V> {
  has(name: string): boolean
  get(name: string): V | undefined
  keys(): Iterable<string>
}

export function lazyMap<V>(names: Iterable<string>, make: (name: string) => V): LazyMap<V> {
  const all = new Set(names)
  const made = new Map<string, V>()
  return {
    has: (name) => all.has(name),
    keys: () => all.keys(),
    get(name) {
      if (all.has(name) && !made.has(name)) made.set(name, make(name))
      return made.get(name)
    },
  }
}
