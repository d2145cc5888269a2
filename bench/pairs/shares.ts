import type { Profiler } from 'node:inspector'

/** The owners of code, by the place of its file. */
const OWNERS: readonly (readonly [owner: string, place: RegExp])[] = [
  ['this library', /^(?!.*node_modules).*\/dist\//],
  ["Prisma's runtime", /@prisma\/(client|query|debug)|generated\/|^wasm:/],
  ["Prisma's adapter", /@prisma\//],
  ['node-postgres', /node_modules\/(pg|postgres)/],
]
const GARBAGE = 'garbage collector'
const NATIVE = 'Node, native code and the kernel'
const OTHERS = 'the bench'

/** The shares of the time in which something ran: by the owner of the code, and by the functions of this library. */
export function shares(profile: Profiler.Profile, root: string) {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const parents = new Map(profile.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])))
  const owners = new Map([...OWNERS.map(([owner]) => owner), GARBAGE, NATIVE, OTHERS].map((owner) => [owner, 0]))
  const functions = new Map<string, number>()
  let sum = 0
  for (const [i, id] of (profile.samples ?? []).entries()) {
    const frame = nodes.get(id)?.callFrame
    const time = profile.timeDeltas?.[i] ?? 0
    if (frame === undefined || frame.functionName === '(idle)') continue
    sum += time
    const { owner, name } = placeOf(id)
    owners.set(owner, (owners.get(owner) ?? 0) + time)
    if (owner === OWNERS[0]?.[0]) functions.set(name, (functions.get(name) ?? 0) + time)
  }
  const shared = (map: ReadonlyMap<string, number>) => new Map(Array.from(map, ([key, time]) => [key, time / sum]))
  return { owners: shared(owners), functions: shared(functions) }

  /** Built-in code belongs to the function that calls it. */
  function placeOf(id: number): { owner: string; name: string } {
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const { functionName = '', url = '', lineNumber = 0 } = nodes.get(at)?.callFrame ?? {}
      if (functionName === '(garbage collector)') return { owner: GARBAGE, name: functionName }
      if (url === '') continue
      const isNode = url.startsWith('node:')
      const [owner = isNode ? NATIVE : OTHERS] = OWNERS.find(([, place]) => place.test(url)) ?? []
      return { owner, name: `${functionName} ${url.replace(`file://${root}`, '')}:${lineNumber + 1}` }
    }
    return { owner: NATIVE, name: '' }
  }
}
