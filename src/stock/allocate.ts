import { InsufficientStockError, type Shortage } from '../errors/index.js'
import { withData } from './lines.js'
import { type Lot, type Lots, nameOfLook } from './lots.js'
import type { StockMap } from './mapping.js'
import type { Line, Request } from './request.js'
import type { Source, SourcedRequest } from './sources.js'

/** How much of each item the requests before have taken, by its id. */
export type Taken = Map<string, bigint>

/** A request with all of its lines; or a refusal; or nothing, where only those before it have left too little. */
export type Allocation = { readonly request: Request } | { readonly error: unknown } | undefined

/** Chooses the items of a request, all or none of them, from what those before it have left. */
export function allocate(map: StockMap, request: SourcedRequest, lots: Lots, taken: Taken): Allocation {
  const lotsOf = (source: Source) =>
    source.places.map((place) => lots.get(nameOfLook(place, source, request.minimum)) ?? [])
  const chosen = request.sources.map((source) => choose(source, lotsOf(source), taken))
  if (chosen.every((lines) => lines !== undefined)) {
    const found = chosen.flatMap((lines) => lines ?? [])
    for (const { item, quantity } of found) taken.set(item.id, (taken.get(item.id) ?? 0n) + quantity)
    const sign = request.kind === 'move' ? -1n : 1n
    const lines = found.map((line) => ({ ...line, quantity: sign * line.quantity }))
    return { request: withLines(request, [...lines, ...request.lines]) }
  }
  const short = request.sources.filter((source) => !choose(source, lotsOf(source), new Map()))
  const [first, ...others] = short.flatMap((source) => shortagesOf(map, source, lotsOf(source)))
  return first && { error: new InsufficientStockError(request.transactionId, [first, ...others]) }
}

export function withLines({ sources: _, ...request }: SourcedRequest, lines: readonly Line[]): Request {
  return { ...request, lines, resources: lines.map(({ item }) => item.id) }
}

/** The lines of a source: from all of its places in their order, or from the first one that has enough. */
function choose(source: Source, lots: readonly (readonly Lot[])[], taken: Taken): readonly Line[] | undefined {
  const choices = source.isSplit ? [lots.flat()] : lots
  for (const choice of choices) {
    const lines: Line[] = []
    let left = source.quantity
    for (const { item, free } of choice) {
      const rest = free - (taken.get(item.id) ?? 0n)
      if (rest <= 0n || left === 0n) continue
      const quantity = rest < left ? rest : left
      lines.push(withData({ item, quantity }, source.data))
      left -= quantity
    }
    if (left === 0n) return lines
  }
  return undefined
}

function shortagesOf(
  { quantities }: StockMap,
  { places, quantity }: Source,
  lots: readonly (readonly Lot[])[],
): readonly Shortage[] {
  const sum = (choice: readonly Lot[] = []) => choice.reduce((all, { free }) => all + free, 0n)
  return places.map(({ given }, i) => ({
    item: given,
    requested: quantities.value(quantity),
    available: quantities.value(sum(lots[i])),
  }))
}
