import type { Field } from '../engine/data-model.js'
import type { Row, Session } from '../engine/session.js'
import { IdempotencyMismatchError, ReversalError, type ReversalExcess } from '../errors/index.js'
import { columnsOf, sqlTypeOf } from '../mapping/columns.js'
import { columnOf } from '../sql/sql.js'
import { join, raw, sql } from '../sql/statement.js'
import { decideMove } from './decide-move.js'
import type { Decider } from './decider.js'
import { itemOfRow } from './item.js'
import type { LineData } from './line-data.js'
import { withData } from './lines.js'
import { readLines } from './load-snapshot.js'
import type { StockMap } from './mapping.js'
import { prunableOf } from './prune.js'
import { type Decision, type Line, nameOf, type Request } from './request.js'
import type { RecordedMovement } from './snapshot.js'
import { column, idColumns, isOf, positions, rowsIn } from './statements.js'

/** The movement that a request is to undo. */
export interface Reversal {
  /** Its transaction id. */
  readonly of: string
  /** The quantities that are recorded under it, by the ids of their items. */
  readonly original: ReadonlyMap<string, bigint>
  /** Whether all is to be undone that is left of it, which is known once the items are locked. */
  readonly isWhole: boolean
  readonly read: typeof readReversals
}

/** How much of the originals of some requests is undone. */
export interface Reversals {
  /**
   * The lines that a request comes to; for a replay those that are recorded.
   *
   * @throws ReversalError if less is left of the original, or it was pruned meanwhile; IdempotencyMismatchError if the request's id stands for another
   */
  linesOf(request: Request, recorded: RecordedMovement | undefined): readonly Line[]
  /** They are undone by the request. */
  add(request: Request, lines: readonly Line[]): void
}

/** The arguments of a reversal. */
export interface ReversalArguments {
  readonly of: string
  /** How much of which items, as positive numbers; `undefined` is all that is left. */
  readonly lines: readonly Line[] | undefined
  readonly data: LineData | undefined
}

/**
 * The request with the lines that it undoes at most. The lines of the original never change, and one that is in the
 * balance stays there, so they can be read before anything is locked.
 *
 * @throws ReversalError if there is no such movement, or it is not in the balance
 */
export async function withOriginal(
  session: Session,
  map: StockMap,
  request: Request,
  asked: ReversalArguments,
): Promise<Request> {
  const { scope, transactionId } = request
  const { of, data } = asked
  const { applied, refused } = map.movement
  const flag = (field: Field | undefined, name: string) => (field ? `, t.${columnOf(field)} AS ${name}` : '')
  const more = raw(flag(applied, 'applied') + flag(refused, 'refused'))
  const found = await readLines(session, map, map.movement, { ids: [{ scope, transactionId: of }], more })
  const refuse = (reason: ReversalError['reason']) => new ReversalError(transactionId, of, reason)
  const recorded = found.length > 0 ? found : await readReplayed(session, map, request, of)
  if (recorded.length === 0) throw refuse(whyMissing(map))
  if (recorded.some(({ row }) => row.refused === true)) throw refuse('refused')
  const original = new Map(recorded.map(({ line }) => [line.item.id, 0n]))
  for (const { line } of recorded) original.set(line.item.id, (original.get(line.item.id) ?? 0n) + line.quantity)
  const named = new Set(asked.lines?.map(({ item }) => item.id) ?? original.keys())
  const isDeferred = recorded.some(({ line, row }) => row.applied === false && named.has(line.item.id))
  if (isDeferred) throw refuse('deferred')
  const given = new Map(recorded.map(({ line }) => [line.item.id, line.item]))
  const whole = () => Array.from(given, ([id, item]) => ({ item, quantity: -(original.get(id) ?? 0n) }))
  const part = asked.lines?.map(({ item, quantity }) => ({
    item,
    quantity: (original.get(item.id) ?? 0n) > 0n ? -quantity : quantity,
  }))
  const lines = (part ?? whole()).map((line) => ({ ...withData(line, data), reverses: of }))
  const reversal = { of, original, isWhole: part === undefined, read: readReversals }
  return { ...request, lines, resources: lines.map(({ item }) => item.id), reversal }
}

const NO_ROW: Row = {}

/** The lines of an original that is pruned, as far as the request undid them before: it may come again. */
async function readReplayed(session: Session, map: StockMap, { scope, transactionId }: Request, of: string) {
  const { reverses } = map.movement
  const more = raw(reverses ? `, t.${columnOf(reverses)}::text AS reverses` : '')
  const own = await readLines(session, map, map.movement, { ids: [{ scope, transactionId }], more })
  return own.flatMap(({ line, row }) =>
    row.reverses === of ? [{ line: { ...line, quantity: -line.quantity }, row: NO_ROW }] : [],
  )
}

/** Of what is pruned, nobody can tell whether it ever was. */
function whyMissing(map: StockMap): ReversalError['reason'] {
  return prunableOf(map) ? 'missing-or-pruned' : 'missing'
}

/** A movement of what is left of the original. */
export function decideReverse(decider: Decider, request: Request): Decision {
  const lines = decider.reversals?.linesOf(request, decider.recorded(request))
  const done = decideMove(decider, request, lines)
  if (!done.replayed) decider.reversals?.add(request, done.lines)
  return done
}

/**
 * How much of the originals is undone, of the items that the requests have locked, and whether they are still there: what
 * undid one that was pruned since it was read may be pruned as well.
 *
 * Each reversal changes its items, so it has them locked until it is committed: two of one original and item follow each
 * other. At READ COMMITTED this statement comes after the lock, and sees the reversals that were committed before. Above
 * that, the snapshot is older than the lock; but an item that a reversal has changed since the snapshot cannot be locked:
 * that is a serialization error.
 */
async function readReversals(session: Session, map: StockMap, all: readonly Request[]): Promise<Reversals> {
  const { movement } = map
  const { table, item, quantity, transactionId, refused, reverses } = movement
  const requests = all.filter(({ reversal }) => reversal)
  if (!reverses) throw new Error('Reversals are read of a model that has none.')
  const originals = { ...movement, transactionId: reverses }
  const ids = requests.map(({ scope, reversal }) => ({ scope, transactionId: reversal?.of ?? '' }))
  const from = rowsIn('m', [
    ...idColumns(originals, ids),
    column('own', sqlTypeOf(transactionId), requests, (request) => request.transactionId),
    positions(requests),
  ])
  const key = join(item.map((field) => raw(`t.${columnOf(field)}::text`)))
  const line = columnOf(movement.line)
  const sum = raw(`sum(t.${columnOf(quantity)})${refused ? ` FILTER (WHERE NOT t.${columnOf(refused)})` : ''}`)
  const rows = await session.rows<Undone & Row>(
    sql`SELECT m.position, ARRAY[${key}] AS key, coalesce(${sum}, 0)::text AS quantity,
  coalesce(bool_or(t.${columnOf(transactionId)} = m.own), false) AS "isOwn", bool_and(o.${line} IS NOT NULL) AS "isThere"
FROM ${from} LEFT JOIN ${table} AS t ON ${isOf(originals, 't')}
  LEFT JOIN ${table} AS o ON ${isOf(movement, 'o')} AND o.${line} = 0
GROUP BY m.position, ${columnsOf(item, 't')}`,
  )
  const undone = new UndoneLines(map)
  for (const { position, key, quantity, isOwn, isThere } of rows) {
    const request = requests[position - 1]
    if (request === undefined) throw new Error(`The database has named the request ${position} of ${requests.length}.`)
    if (key[0] !== null) undone.set(request, itemOfRow(map.item, key).id, map.quantities.parse(quantity))
    if (isOwn) undone.recorded.add(request)
    if (!isThere) undone.gone.add(request)
  }
  return undone
}

interface Undone {
  readonly position: number
  /** Of NULLs, where nothing has undone the original. */
  readonly key: string[]
  readonly quantity: string
  readonly isOwn: boolean
  readonly isThere: boolean
}

class UndoneLines implements Reversals {
  /** The requests that are recorded as reversals of their originals. */
  readonly recorded = new Set<Request>()
  /** The requests whose originals are not there any more. */
  readonly gone = new Set<Request>()
  readonly #map: StockMap
  /** By original and item, with the sign of a reversal. */
  readonly #undone = new Map<string, bigint>()

  constructor(map: StockMap) {
    this.#map = map
  }

  linesOf(request: Request, recorded: RecordedMovement | undefined): readonly Line[] {
    const { transactionId, lines, reversal } = request
    if (reversal === undefined) return lines
    const { of, isWhole } = reversal
    if (recorded === undefined && this.gone.has(request)) {
      throw new ReversalError(transactionId, of, whyMissing(this.#map))
    }
    if (recorded === undefined) return isWhole ? this.#rest(request, of) : this.#part(request, reversal)
    if (!this.recorded.has(request) && recorded.lines[0]?.reverses !== of) {
      throw new IdempotencyMismatchError(this.#map.movement.model.name, { transactionId }, ['of'])
    }
    return isWhole ? recorded.lines.map((line) => withData(line, lines[0]?.data)) : lines
  }

  add(request: Request, lines: readonly Line[]): void {
    for (const { item, quantity } of lines) this.set(request, item.id, this.#get(request, item.id) + quantity)
  }

  set(request: Request, item: string, quantity: bigint): void {
    this.#undone.set(keyOf(request, item), quantity)
  }

  #get(request: Request, item: string): bigint {
    return this.#undone.get(keyOf(request, item)) ?? 0n
  }

  #rest(request: Request, of: string): readonly Line[] {
    const lines = request.lines.map((line) => ({ ...line, quantity: line.quantity - this.#get(request, line.item.id) }))
    const left = lines.filter(({ quantity }, i) => quantity * (request.lines[i]?.quantity ?? 0n) > 0n)
    if (left.length === 0) throw new ReversalError(request.transactionId, of, 'reversed')
    return left
  }

  #part(request: Request, { of, original }: Reversal): readonly Line[] {
    const { quantities } = this.#map
    const excesses = request.lines.flatMap(({ item, quantity }): ReversalExcess[] => {
      const left = sizeOf((original.get(item.id) ?? 0n) + this.#get(request, item.id))
      const requested = quantities.value(sizeOf(quantity))
      return sizeOf(quantity) > left ? [{ item: item.given, requested, left: quantities.value(left) }] : []
    })
    if (excesses.length > 0) throw new ReversalError(request.transactionId, of, 'reversed', excesses)
    return request.lines
  }
}

function keyOf({ scope, reversal }: Request, item: string): string {
  return `${nameOf({ scope, transactionId: reversal?.of ?? '' })}\0${item}`
}

function sizeOf(quantity: bigint): bigint {
  return quantity < 0n ? -quantity : quantity
}
