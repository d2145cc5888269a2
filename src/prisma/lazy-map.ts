/** Values by name, each made when it is first asked for. A client may have hundreds of models, and use ten. */
export interface LazyMap<V> {
  has(name: string): boolean
  get(name: string): V | undefined
  keys(): Iterable<string>
  values(): Iterable<V>
}

export function lazyMap<V>(names: Iterable<string>, make: (name: string) => V | undefined): LazyMap<V> {
  const all = new Set(names)
  const made = new Map<string, V | undefined>()
  const read = (name: string) => {
    if (all.has(name) && !made.has(name)) made.set(name, make(name))
    return made.get(name)
  }
  return {
    has: (name) => all.has(name),
    get: read,
    keys: () => all.keys(),
    values: () => Array.from(all).flatMap((name) => read(name) ?? []),
  }
}
