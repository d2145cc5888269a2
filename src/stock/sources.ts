import { ConfigurationError, IdempotencyMismatchError, InvalidArgumentError } from '../errors/index.js'
import type { Scope } from '../sql/scope.js'
import * as s from '../values/schema.js'
import { isRecord } from '../values/validation.js'
import { type Item, type ItemFields, readFields, readItem } from './item.js'
import type { LineData } from './line-data.js'
import { type Args, readLines, withData } from './lines.js'
import type { StockMap } from './mapping.js'
import type { Line, Request } from './request.js'

/** So much of items that are chosen when the call is carried out. */
export interface Source {
  /** The keys without the field of the lot, in the order in which they are asked. */
  readonly places: readonly Item[]
  /** How much is taken, so it is positive. */
  readonly quantity: bigint
  /** The lots that expire first are taken first; else those that came in first. */
  readonly isByExpiry: boolean
  /** Whether the quantity may be taken from several places. */
  readonly isSplit: boolean
  readonly data?: LineData
}

/** A request of which a part of the lines is not known before the items are chosen. */
export interface SourcedRequest extends Request {
  readonly sources: readonly Source[]
}

const sourceSchema = s.strictObject(
  {
    item: s.optional(s.unknown()),
    items: s.optional(s.array(s.unknown()).check(s.minLength(1, 'must not be empty'))),
    quantity: s.unknown(),
    by: s.optional(s.oneOf(['fefo', 'fifo'])),
    split: s.optional(s.boolean()),
  },
  'must be an object with item, or items, and quantity',
)

/** Reads the sources of a call, and its lines that name their items. */
export function readSources(map: StockMap, args: Args): Pick<SourcedRequest, 'sources' | 'lines'> {
  if (map.rememberRefusals) {
    const message = 'must be off for from: a refusal would be recorded of a lot, and none was chosen'
    throw new ConfigurationError([{ path: 'rememberRefusals', message }])
  }
  const { from, item, quantity, lines, scope, lineData } = args
  if (from !== undefined && [item, quantity, lines].some((value) => value !== undefined)) {
    throw new InvalidArgumentError('from', 'cannot be given together with item, quantity or lines.')
  }
  const given: readonly unknown[] = Array.isArray(lines) ? lines : [{ from }]
  const sources = given.flatMap((line, i) => {
    if (!isRecord(line) || line.from === undefined) return []
    const path = from === undefined ? `lines[${i}].` : ''
    const stranger = Object.keys(line).find((name) => !['from', 'data'].includes(name))
    if (stranger !== undefined) throw new InvalidArgumentError(path + stranger, 'is not part of a line with from.')
    const data = lineData?.[i]
    return [{ ...readSource(map, scope, line.from, `${path}from`), ...(data && { data }) }]
  })
  const own = from === undefined ? readLines(map, args, true) : []
  checkApart(map, sources, own)
  return { sources, lines: own }
}

function readSource(map: StockMap, scope: Scope, given: unknown, path: string): Source {
  const [issue] = sourceSchema.find(given)
  if (issue) throw new InvalidArgumentError([path, ...issue.path].join('.'), `${issue.message}.`)
  const { item, items, quantity, by, split = false } = given as s.Output<typeof sourceSchema>
  if ((item === undefined) === (items === undefined)) {
    throw new InvalidArgumentError(path, 'must have an item, or several items.')
  }
  const places = items
    ? items.map((place, i) => readPlace(map, scope, place, `${path}.items[${i}]`))
    : [readPlace(map, scope, item, `${path}.item`)]
  const units = map.quantities.read(quantity, `${path}.quantity`)
  if (units <= 0n) throw new InvalidArgumentError(`${path}.quantity`, 'must be positive: it is what is taken.')
  const { model, expiresAt } = map.item
  if (by === 'fefo' && expiresAt === undefined) {
    const message = `must name a DateTime field of ${model.name}, for lots to be taken by their expiry`
    throw new ConfigurationError([{ path: 'item.expiresAt', message }])
  }
  return { places, quantity: units, isByExpiry: (by ?? (expiresAt && 'fefo')) === 'fefo', isSplit: split }
}

function readPlace(map: StockMap, scope: Scope, value: unknown, path: string): Item {
  const { item } = map
  // Of a key with a lot it is an object also where one field is left.
  return item.lot ? readFields(placeFields(map), scope, value, path) : readItem(item, scope, value, path)
}

/** The fields of the key but that of the lot. */
export function placeFields({ item: { scope, key, own, lot } }: StockMap): ItemFields {
  const isOfPlace = (field: (typeof key)[number]) => field !== lot
  return { scope, key: key.filter(isOfPlace), own: own.filter(isOfPlace) }
}

/** One text per place. */
export function nameOfPlace(key: readonly string[]): string {
  return JSON.stringify(key)
}

/** The place in which an item is. */
function placeOf({ item: { key: fields, lot } }: StockMap, { key }: Item): string {
  return nameOfPlace(key.filter((_, i) => lot === undefined || fields[i] !== lot))
}

/** Each item that is recorded must tell for which line it is. */
function checkApart(map: StockMap, sources: readonly Source[], lines: readonly Line[]): void {
  const seen = new Set(lines.map(({ item }) => placeOf(map, item)))
  for (const { places } of sources) {
    for (const { key } of places) {
      const name = nameOfPlace(key)
      if (seen.has(name)) throw new InvalidArgumentError('from', 'must not name a place that another line names, too.')
      seen.add(name)
    }
  }
}

/**
 * The lines that are recorded under the transaction id of a request, as lines of it.
 *
 * @throws IdempotencyMismatchError if other items or quantities were asked for
 */
export function recordedLines(map: StockMap, request: SourcedRequest, recorded: readonly Line[]): readonly Line[] {
  const { kind, transactionId, sources } = request
  const own = new Map(request.lines.map((line) => [line.item.id, line]))
  const byPlace = new Map(
    sources.flatMap((source) => source.places.map(({ key }) => [nameOfPlace(key), source] as const)),
  )
  const left = new Map(sources.map((source) => [source, kind === 'move' ? -source.quantity : source.quantity]))
  const fields = new Set<string>()
  const lines = recorded.flatMap((line) => {
    const named = own.get(line.item.id)
    own.delete(line.item.id)
    if (named) return [named]
    const source = byPlace.get(placeOf(map, line.item))
    if (source === undefined) {
      fields.add('item')
      return []
    }
    left.set(source, (left.get(source) ?? 0n) - line.quantity)
    return [withData(line, source.data)]
  })
  if (own.size > 0) fields.add('item')
  if ([...left.values()].some((quantity) => quantity !== 0n)) fields.add('quantity')
  if (fields.size === 0) return lines
  const { model } = (kind === 'reserve' && map.reservation) || map.movement
  throw new IdempotencyMismatchError(model.name, { transactionId }, [...fields])
}
