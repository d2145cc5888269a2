/** Values by name, each made when it is first asked for. A client may have hundreds of models, and use ten. */
export interface LazyMap<V> {
  has(name: string): boolean
  get(name: string): V | undefined
  keys(): Iterable<string>
  values(): Iterable<V>
}

export function lazyMap<V>(names: Iterable<string>, make: (name: string) => V): LazyMap<V> {
  const all = new Set(names)
  const made = new Map<string, V>()
  const valueOf = (name: string) => {
    const value = made.get(name) ?? make(name)
    made.set(name, value)
    return value
  }
  return {
    has: (name) => all.has(name),
    get: (name) => (all.has(name) ? valueOf(name) : undefined),
    keys: () => all.keys(),
    values: () => Array.from(all, valueOf),
  }
}
