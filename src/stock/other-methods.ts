import { isTransactionConflict } from '../engine/error-facts.js'
import type { Session } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { patienceOf } from '../retry/call-options.js'
import { retry } from '../retry/loop.js'
import { LONGEST_TIMER } from '../retry/policy.js'
import { readAgain } from '../retry/read-again.js'
import { keyValue } from '../sql/key-value.js'
import { inSavepoint, serializeInTransaction } from '../transactions/serialize.js'
import * as s from '../values/schema.js'
import { checkArguments, isRecord } from '../values/validation.js'
import { audit } from './audit.js'
import { granted, movedOf, requestOf, type StockParts, settle, singleOf } from './call.js'
import { moveCreating, readNewRow } from './create-missing.js'
import { decideCount } from './decide-count.js'
import { decideMove } from './decide-move.js'
import { defer } from './defer.js'
import { executeInTransaction } from './execute-in-transaction.js'
import { readItem } from './item.js'
import { columnsFor, dataOfLines, type LineData } from './line-data.js'
import { type Args, hasSources, idsOf, isCreating, oneLine, oneOrMany, readLines, withData } from './lines.js'
import { readReservations } from './load-snapshot.js'
import type { LinesMap, StockMap } from './mapping.js'
import { type Applying, foldAll, type RunOne } from './project.js'
import { type Decision, type Line, nameOf, type Request } from './request.js'
import { decideFulfil, decideRelease, decideReserve } from './reservation-decisions.js'
import { decideReverse, withOriginal } from './reverse.js'
import { readSources } from './sources.js'
import { Sourcing } from './sourcing.js'
import { readTrace } from './trace.js'

const projectSchema = s.object({
  batchSize: s.optional(s.whole().check(s.gte(1), s.lte(100_000, 'must be at most 100,000'))),
})
const reserveSchema = s.object({
  expiresIn: s
    .number('must be a number of ms')
    .check(s.gte(1, 'must be at least 1 ms'), s.lte(LONGEST_TIMER, `must be at most ${LONGEST_TIMER} ms`)),
})

/** The methods of `$stock` besides `move` and `moveAll`, and these two where they choose or create items. */
export class OtherMethods {
  readonly #parts: StockParts
  readonly #sourcing: Sourcing

  constructor(parts: StockParts) {
    this.#parts = parts
    this.#sourcing = new Sourcing(parts.map, parts.executor)
  }

  async move(session: Session, args: Args, events?: CallEvents) {
    const { map } = this.#parts
    return singleOf(await this.#creating(session, args, [oneLine(map, args)], events), map.quantities)
  }

  async moveAll(session: Session, args: Args, events?: CallEvents) {
    const { map } = this.#parts
    const { quantities } = map
    if (!hasSources(args)) {
      return movedOf(await this.#creating(session, args, readLines(map, args), events), quantities)
    }
    if (isCreating(args)) {
      throw new InvalidArgumentError('createMissing', 'cannot be given together with from.')
    }
    const { lines, sources } = readSources(map, args)
    const request = { ...requestOf(this.#parts, { kind: 'move', decide: decideMove, lines }, args, events), sources }
    return this.#sourcing.settle(session, request, (decision) => movedOf(granted(decision), quantities))
  }

  async #creating(session: Session, args: Args, lines: readonly Line[], events: CallEvents | undefined) {
    const row = readNewRow(this.#parts.map, args.createMissing)
    const request = requestOf(this.#parts, { kind: 'move', decide: decideMove, lines }, args, events)
    return granted(await moveCreating(this.#parts, session, request, row))
  }

  /** The arguments with the data of their lines, which goes into columns of the table. */
  withData(table: LinesMap, args: Args): Args {
    const columns = columnsFor(table, this.#parts.map.catalogue)
    // The data of a reversal is for all of its lines.
    return { ...args, lineData: dataOfLines(columns, 'of' in args ? { data: args.data } : args) }
  }

  /** A stocktake: as much as was found. */
  count(session: Session, args: Args, events?: CallEvents) {
    const { item, quantities } = this.#parts.map
    const counted = {
      item: readItem(item, args.scope, args.item, 'item'),
      quantity: quantities.read(args.counted, 'counted'),
    }
    const lines = [withData(counted, args.lineData?.[0])]
    const request = requestOf(this.#parts, { kind: 'count', decide: decideCount, lines }, args, events)
    return settle(this.#parts, session, request, (decision) => singleOf(granted(decision), quantities))
  }

  reserve(session: Session, args: Args, events?: CallEvents) {
    const { map } = this.#parts
    requireReservation(map)
    const isChosen = hasSources(args)
    const { lines, sources } = isChosen ? readSources(map, args) : { lines: oneOrMany(map, args), sources: [] }
    if (lines.some(({ quantity }) => quantity < 0n)) {
      throw new InvalidArgumentError('quantity', 'must be positive: it is what is to be reserved.')
    }
    const { expiresIn } = checkArguments(reserveSchema, { expiresIn: args.expiresIn })
    const request = {
      ...requestOf(this.#parts, { kind: 'reserve', decide: decideReserve, lines }, args, events),
      expiresIn,
    }
    const answer = (decision: Decision) => {
      const { expiresAt, state, replayed, lines } = granted(decision)
      const found = lines.map(({ item, quantity }) => ({ item: item.given, quantity: map.quantities.value(quantity) }))
      return { expiresAt, state, replayed, ...(isChosen && { lines: found }) }
    }
    if (isChosen) return this.#sourcing.settle(session, { ...request, sources }, answer)
    return settle(this.#parts, session, request, answer)
  }

  release(session: Session, args: Args, events?: CallEvents) {
    const request = requestOf(this.#parts, { kind: 'release', decide: decideRelease, lines: [] }, args, events)
    return this.#endReservation(session, request, (decision) => {
      const { replayed, state } = granted(decision)
      return { released: !replayed, state }
    })
  }

  fulfil(session: Session, args: Args, events?: CallEvents) {
    const request = requestOf(this.#parts, { kind: 'fulfil', decide: decideFulfil, lines: [] }, args, events)
    const answer = (decision: Decision) => movedOf(granted(decision), this.#parts.map.quantities)
    return this.#endReservation(session, request, answer, args.lineData?.[0])
  }

  /** The lines of a reservation never change, so they can be read before anything is locked. */
  #endReservation<R>(
    session: Session,
    request: Request,
    answer: (decision: Decision) => R,
    data?: LineData,
  ): Promise<R> {
    const { map } = this.#parts
    requireReservation(map)
    const complete = async (reading: Session) => {
      const reserved = (await readReservations(reading, map, [request])).get(nameOf(request))?.lines ?? []
      const lines = data ? reserved.map((line) => ({ ...line, data })) : reserved
      return { ...request, lines, resources: idsOf(lines) }
    }
    return this.#settleCompleted(session, { request, complete }, answer)
  }

  reverse(session: Session, args: Args, events?: CallEvents) {
    const { map } = this.#parts
    requireReverses(map)
    const { lineData, ...given } = args
    const asked = {
      of: keyValue(args.of, map.movement.transactionId, 'of'),
      lines: args.lines === undefined ? undefined : readUndone(map, given),
      data: lineData?.[0],
    }
    const request = requestOf(this.#parts, { kind: 'reverse', decide: decideReverse, lines: [] }, args, events)
    const complete = (reading: Session) => withOriginal(reading, map, request, asked)
    return this.#settleCompleted(session, { request, complete }, (decision) =>
      movedOf(granted(decision), map.quantities),
    )
  }

  /**
   * Settles a request whose lines the database has. In a transaction they are not read before its own turn, for the call
   * before it may be the one that records them.
   */
  async #settleCompleted<R>(
    session: Session,
    { request, complete }: { request: Request; complete(reading: Session): Promise<Request> },
    answer: (decision: Decision) => R,
  ): Promise<R> {
    const { map, executor } = this.#parts
    const { deadline } = request
    const read = () => complete(session.until(deadline))
    if (!session.inTransaction) return executor.execute(await readAgain(request, read), answer)
    return serializeInTransaction(session, deadline, async () =>
      answer((await executeInTransaction(session, map, await read())).decision),
    )
  }

  async defer(session: Session, args: Args, events?: CallEvents): Promise<{ readonly replayed: boolean }> {
    const { map } = this.#parts
    requireApplied(map)
    const request = requestOf(
      this.#parts,
      { kind: 'move', decide: decideMove, lines: oneOrMany(map, args) },
      args,
      events,
    )
    const run = () => defer(session, map, request)
    return { replayed: await (session.inTransaction ? serializeInTransaction(session, request.deadline, run) : run()) }
  }

  async project(session: Session, args: Args, events?: CallEvents) {
    const map = requireApplied(this.#parts.map)
    const { batchSize = 1_000 } = checkArguments(projectSchema, { batchSize: args.batchSize })
    const run: RunOne = async (statement) => {
      const { policy, deadline } = patienceOf(this.#parts.policy, { signal: args.signal })
      events?.begin(deadline)
      deadline.signal?.throwIfAborted()
      if (!session.inTransaction) return retry(() => statement(session), policy, deadline, isTransactionConflict)
      // A savepoint keeps the failure of one item from ending all of the transaction.
      return serializeInTransaction(session, deadline, () => inSavepoint(session, deadline, statement))
    }
    return foldAll(run, map, { scope: args.scope, batchSize })
  }

  async trace(session: Session, args: Args) {
    const { map, policy } = this.#parts
    const run = () => readTrace(session, map, args)
    return session.inTransaction ? serializeInTransaction(session, patienceOf(policy, {}).deadline, run) : run()
  }

  async audit(session: Session, { scope }: Args) {
    const { map, policy } = this.#parts
    const run = () => audit(session, map, scope)
    return session.inTransaction ? serializeInTransaction(session, patienceOf(policy, {}).deadline, run) : run()
  }
}

function requireReservation({ reservation }: StockMap): void {
  if (reservation) return
  const message = 'must be mapped to a model, for stock to be reserved'
  throw new ConfigurationError([{ path: 'reservation', message }])
}

function requireReverses({ movement }: StockMap): void {
  if (movement.reverses) return
  const message = `must name a field of ${movement.model.name} for the transaction id that a movement undoes`
  throw new ConfigurationError([{ path: 'movement.reverses', message }])
}

/** Its data is for all lines. */
function readUndone(map: StockMap, args: Args): readonly Line[] {
  const { lines } = args
  const other = Array.isArray(lines) ? lines.findIndex((line) => isRecord(line) && line.data !== undefined) : -1
  if (other >= 0) throw new InvalidArgumentError(`lines[${other}].data`, 'is given once, as data, for all lines.')
  return positive(readLines(map, args), 'it is how much is to be undone')
}

function positive(lines: readonly Line[], because: string): readonly Line[] {
  if (lines.every(({ quantity }) => quantity > 0n)) return lines
  throw new InvalidArgumentError('quantity', `must be positive: ${because}.`)
}

function requireApplied(map: StockMap): Applying {
  const { applied, ...movement } = map.movement
  if (applied) return { ...map, movement: { ...movement, applied } }
  const message = `must name a Boolean field of ${movement.model.name}, for movements to be deferred`
  throw new ConfigurationError([{ path: 'movement.applied', message }])
}
