import { InvalidArgumentError } from '../errors/index.js'
import type { Scope } from '../sql/scope.js'
import { isRecord } from '../values/validation.js'
import { readItem } from './item.js'
import type { LineData } from './line-data.js'
import type { LinesMap, StockMap } from './mapping.js'
import type { Line } from './request.js'

/** The arguments of a call, with the scope that it is made in, and the data of its lines once that was read. */
export type Args = Readonly<Record<string, unknown>> & {
  readonly scope: Scope
  readonly lineData?: readonly LineData[]
}

/** The arguments of a call as they are given. */
export type Unchecked = Readonly<Record<string, unknown>>

/** The ids of their items. */
export function idsOf(lines: readonly Line[]): string | readonly string[] {
  const [line] = lines
  return line && lines.length === 1 ? line.item.id : lines.map(({ item }) => item.id)
}

export function oneOrMany(map: StockMap, args: Args): readonly Line[] {
  if (args.lines === undefined) return [oneLine(map, args)]
  if (args.item !== undefined || args.quantity !== undefined) {
    throw new InvalidArgumentError('lines', 'cannot be given together with item and quantity.')
  }
  return readLines(map, args)
}

/** Whether the items of some lines are to be chosen when the call is carried out. */
export function hasSources({ from, lines }: Unchecked): boolean {
  return from !== undefined || (Array.isArray(lines) && lines.some((line) => line?.from !== undefined))
}

/** Whether a call fills in columns of the user's own. */
export function hasData({ needsData }: LinesMap, { data, lines }: Unchecked): boolean {
  const isGiven = data !== undefined || (Array.isArray(lines) && lines.some((line) => line?.data !== undefined))
  return isGiven || needsData
}

/** Whether a call creates the items that it adds to, where they are missing. */
export function isCreating({ createMissing }: Unchecked): boolean {
  return createMissing !== undefined && createMissing !== false
}

/** The lines, with those of one item added up. `skipsSources` leaves out those whose items are to be chosen. */
export function readLines(map: StockMap, { scope, lines, lineData }: Args, skipsSources = false): readonly Line[] {
  if (!Array.isArray(lines) || lines.length === 0)
    throw new InvalidArgumentError('lines', 'must be a list of at least one line.')
  const merged = new Map<string, Line>()
  lines.forEach((given: unknown, i) => {
    if (!isRecord(given)) throw new InvalidArgumentError(`lines[${i}]`, 'must be an object with item and quantity.')
    if (skipsSources && given.from !== undefined) return
    const stranger = Object.keys(given).find((name) => !['item', 'quantity', 'data'].includes(name))
    if (stranger !== undefined) throw new InvalidArgumentError(`lines[${i}].${stranger}`, 'is not part of a line.')
    const line = withData(readLine(map, scope, given, `lines[${i}].`), lineData?.[i])
    const before = merged.get(line.item.id)
    if (before && before.data?.text !== line.data?.text)
      throw new InvalidArgumentError(`lines[${i}].data`, 'must be the same in all lines of an item: they are added up.')
    merged.set(line.item.id, before ? { ...before, quantity: before.quantity + line.quantity } : line)
  })
  for (const { quantity, item } of merged.values()) {
    if (quantity === 0n)
      throw new InvalidArgumentError(
        'lines',
        `of the item ${String(JSON.stringify(item.key.slice(scope.length)))} add up to nothing.`,
      )
    if (!map.quantities.fits(quantity))
      throw new InvalidArgumentError('lines', 'add up to more than a movement can hold.')
  }
  return [...merged.values()]
}

export function oneLine(map: StockMap, args: Args): Line {
  return withData(readLine(map, args.scope, args, ''), args.lineData?.[0])
}

export function withData(line: Line, data: LineData | undefined): Line {
  return data ? { ...line, data } : line
}

function readLine(
  map: StockMap,
  scope: Scope,
  { item, quantity }: Readonly<Record<string, unknown>>,
  path: string,
): Line {
  const line = {
    item: readItem(map.item, scope, item, `${path}item`),
    quantity: map.quantities.read(quantity, `${path}quantity`),
  }
  if (line.quantity === 0n) throw new InvalidArgumentError(`${path}quantity`, 'must not be 0: nothing would be moved.')
  return line
}
