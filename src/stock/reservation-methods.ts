import type { Session } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { LONGEST_TIMER } from '../retry/policy.js'
import { readAgain } from '../retry/read-again.js'
import { keyValue } from '../sql/key-value.js'
import { serializeInTransaction } from '../transactions/serialize.js'
import * as s from '../values/schema.js'
import { checkArguments, isRecord } from '../values/validation.js'
import { type Asked, granted, movedOf, requestOf, type StockParts, settle } from './call.js'
import { readItem } from './item.js'
import { type Args, hasSources, idsOf, oneOrMany, readLines, withData } from './lines.js'
import { LookMethods } from './look-methods.js'
import type { ReservationMap, StockMap } from './mapping.js'
import { withPeriod } from './period.js'
import { periodSql } from './period-sql.js'
import type { Quantities } from './quantity.js'
import { readReservations } from './read-reservations.js'
import { type Decision, type Line, nameOf, type Request } from './request.js'
import { decideChange, decideExtend, decideFulfil, decideRelease, decideReserve } from './reservation-decisions.js'
import { readSources } from './sources.js'
import { Sourcing } from './sourcing.js'

const lastingSchema = s.object({
  expiresIn: s
    .number('must be a number of ms')
    .check(s.gte(1, 'must be at least 1 ms'), s.lte(LONGEST_TIMER, `must be at most ${LONGEST_TIMER} ms`)),
})
const restSchema = s.object({ rest: s.optional(s.oneOf(['keep', 'release'])) })

/** The methods of `$stock` for reservations. */
export class ReservationMethods extends LookMethods {
  protected readonly sourcing: Sourcing

  constructor(parts: StockParts) {
    super(parts)
    const { period } = parts.map
    if (period) period.sql = periodSql(period)
    this.sourcing = new Sourcing(parts.map, parts.executor)
  }

  reserve(session: Session, args: Args, events?: CallEvents) {
    const { map } = this.parts
    const reserving = { expiresIn: readLasting(requireReservation(map), args), isFlexible: isFlexible(args) }
    const isChosen = hasSources(args)
    if (isChosen && reserving.isFlexible) throw new InvalidArgumentError('take', 'cannot be given together with from.')
    const { lines, sources } = isChosen ? readSources(map, args) : { lines: oneOrMany(map, args), sources: [] }
    positive(lines, 'it is what is to be reserved')
    const request = requestOf(this.parts, { kind: 'reserve', decide: decideReserve(reserving), lines }, args, events)
    const answer = (decision: Decision) => {
      const { expiresAt, state, replayed, lines: taken } = granted(decision)
      const asked = isChosen ? taken : lines
      const found = (isChosen || reserving.isFlexible) && { lines: takenOf(asked, taken, map.quantities) }
      return { expiresAt, state, replayed, ...found }
    }
    if (isChosen) return this.sourcing.settle(session, { ...request, sources }, answer)
    return settle(this.parts, session, request, answer)
  }

  release(session: Session, args: Args, events?: CallEvents) {
    const request = requestOf(this.parts, { kind: 'release', decide: decideRelease, lines: [] }, args, events)
    return this.#ofReservation(session, request, (decision) => {
      const { replayed, state } = granted(decision)
      return { released: !replayed, state }
    })
  }

  fulfil(session: Session, args: Args, events?: CallEvents) {
    const { map } = this.parts
    const reservation = requireReservation(map)
    const isPart = args.lines !== undefined || args.of !== undefined
    if (isPart && !reservation.fulfilled)
      throw missing(reservation, 'fulfilled', 'reservations to be fulfilled in part')
    const { rest = 'keep' } = checkArguments(restSchema, { rest: args.rest })
    const because = 'it is what is to be taken'
    const lines = args.lines === undefined ? undefined : positive(readLines(map, args), because)
    const decide = decideFulfil({ lines, rest })
    const request = this.dated({ kind: 'fulfil', decide, lines: lines ?? [] }, args, events)
    const id = args.of === undefined ? request.transactionId : keyValue(args.of, reservation.transactionId, 'of')
    const of = id === request.transactionId ? undefined : { scope: request.scope, transactionId: id }
    const all = args.lineData?.[0]
    const dataOf = ({ item }: Line) => (lines ? lines.find((line) => line.item.id === item.id)?.data : all)
    const answer = (decision: Decision) => movedOf(granted(decision), map.quantities)
    return this.#ofReservation(session, { ...request, ...(of && { of }) }, answer, dataOf)
  }

  extend(session: Session, args: Args, events?: CallEvents) {
    const decide = decideExtend(readLasting(requireReservation(this.parts.map), args))
    const request = requestOf(this.parts, { kind: 'extend', decide, lines: [] }, args, events)
    return this.#ofReservation(session, request, (decision) => ({ expiresAt: granted(decision).expiresAt }))
  }

  change(session: Session, args: Args, events?: CallEvents) {
    const { map } = this.parts
    const reservation = requireReservation(map)
    if (!reservation.original) throw missing(reservation, 'original', 'the quantities of a reservation to be changed')
    const decide = decideChange(readWanted(map, args))
    const request = requestOf(this.parts, { kind: 'change', decide, lines: [] }, args, events)
    return this.#ofReservation(session, request, (decision) => {
      const { state, lines } = granted(decision)
      return { state, lines: takenOf(lines, lines, map.quantities) }
    })
  }

  /** A request that records movements, with their date. */
  protected dated(asked: Asked, args: Args, events: CallEvents | undefined): Request {
    return withPeriod(this.parts.map, requestOf(this.parts, asked, args, events), args)
  }

  /** The items of a reservation never change, so they can be read before anything is locked. */
  #ofReservation<R>(
    session: Session,
    request: Request,
    answer: (decision: Decision) => R,
    dataOf: (line: Line) => Line['data'] = () => undefined,
  ): Promise<R> {
    const { map } = this.parts
    requireReservation(map)
    const of = request.of ?? request
    const complete = async (reading: Session) => {
      const reserved = (await readReservations(reading, map, [of])).get(nameOf(of))?.lines ?? []
      const lines = reserved.map(({ item, quantity }) => withData({ item, quantity }, dataOf({ item, quantity })))
      return { ...request, lines, resources: idsOf(lines) }
    }
    return this.settleCompleted(session, { request, complete }, answer)
  }

  /**
   * Settles a request whose lines the database has. In a transaction they are not read before its own turn, for the call
   * before it may be the one that records them.
   */
  protected async settleCompleted<R>(
    session: Session,
    { request, complete }: { request: Request; complete(reading: Session): Promise<Request> },
    answer: (decision: Decision) => R,
  ): Promise<R> {
    const { executor } = this.parts
    const { deadline } = request
    const read = () => complete(session.until(deadline))
    if (!session.inTransaction) return executor.execute(await readAgain(request, read), answer)
    return serializeInTransaction(session, deadline, async () =>
      answer((await executor.inTransaction(session, await read())).decision),
    )
  }
}

/** Whether as much as there is will do. */
export function isFlexible({ take }: Args): boolean {
  if (take === undefined || take === 'available') return take !== undefined
  throw new InvalidArgumentError('take', "must be 'available'.")
}

export function positive(lines: readonly Line[], because: string): readonly Line[] {
  if (lines.every(({ quantity }) => quantity > 0n)) return lines
  throw new InvalidArgumentError('quantity', `must be positive: ${because}.`)
}

/** How much was taken of each of the lines that were asked for. */
function takenOf(asked: readonly Line[], taken: readonly Line[], quantities: Quantities) {
  const found = new Map(taken.map(({ item, quantity }) => [item.id, quantity]))
  return asked.map(({ item }) => ({ item: item.given, quantity: quantities.value(found.get(item.id) ?? 0n) }))
}

/** The lines of a change: 0 is a quantity, too, and an item has one. */
function readWanted({ item, quantities }: StockMap, { scope, lines }: Args): readonly Line[] {
  if (!Array.isArray(lines) || lines.length === 0) {
    throw new InvalidArgumentError('lines', 'must be a list of at least one line.')
  }
  const wanted = new Map<string, Line>()
  lines.forEach((given: unknown, i) => {
    const path = `lines[${i}]`
    if (!isRecord(given)) throw new InvalidArgumentError(path, 'must be an object with item and quantity.')
    const stranger = Object.keys(given).find((name) => !['item', 'quantity'].includes(name))
    if (stranger !== undefined) throw new InvalidArgumentError(`${path}.${stranger}`, 'is not part of a change.')
    const line = {
      item: readItem(item, scope, given.item, `${path}.item`),
      quantity: quantities.read(given.quantity, `${path}.quantity`),
    }
    if (line.quantity < 0n) throw new InvalidArgumentError(`${path}.quantity`, 'must not be negative.')
    if (wanted.has(line.item.id)) throw new InvalidArgumentError(`${path}.item`, 'has another line already.')
    wanted.set(line.item.id, line)
  })
  return [...wanted.values()]
}

/** How long a reservation lasts, in ms; `null` is no end. */
function readLasting(reservation: ReservationMap, { expiresIn }: Args): number | null {
  if (expiresIn !== null) return checkArguments(lastingSchema, { expiresIn }).expiresIn
  if (reservation.expiresAt.isOptional) return null
  const message = `must name an optional field of ${reservation.model.name}, for a reservation that does not end by itself (expiresIn: null)`
  throw new ConfigurationError([{ path: 'reservation.expiresAt', message }])
}

function missing({ model }: ReservationMap, option: 'fulfilled' | 'original', purpose: string): ConfigurationError {
  const message = `must name a field of ${model.name}, for ${purpose}`
  return new ConfigurationError([{ path: `reservation.${option}`, message }])
}

function requireReservation({ reservation }: StockMap): ReservationMap {
  if (reservation) return reservation
  const message = 'must be mapped to a model, for stock to be reserved'
  throw new ConfigurationError([{ path: 'reservation', message }])
}
