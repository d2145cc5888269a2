import { isTransactionConflict } from '../engine/error-facts.js'
import type { Session } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import { type Patience, patienceOf } from '../retry/call-options.js'
import { retry } from '../retry/loop.js'
import { keyValue } from '../sql/key-value.js'
import { ownStatements } from '../transactions/own-statements.js'
import { inSavepoint, serializeInTransaction } from '../transactions/serialize.js'
import * as s from '../values/schema.js'
import { checkArguments, isRecord } from '../values/validation.js'
import { audit } from './audit.js'
import { CALL, granted, movedOf, settle, singleOf } from './call.js'
import { closePeriods, type PageRunner } from './close.js'
import { moveCreating, readNewRow } from './create-missing.js'
import { decideMove } from './decide-move.js'
import { defer } from './defer.js'
import { foldCounted } from './fold-counted.js'
import { readItem } from './item.js'
import { columnsFor, dataOfLines } from './line-data.js'
import { type Args, hasData, hasSources, isCreating, oneLine, oneOrMany, readLines, withData } from './lines.js'
import type { StockMap } from './mapping.js'
import { decideCount, decideTake } from './other-decisions.js'
import { type Applying, foldAll, type RunOne } from './project.js'
import { prune } from './prune.js'
import type { Decision, Line, Request } from './request.js'
import { isFlexible, positive, ReservationMethods } from './reservation-methods.js'
import { decideReverse, withOriginal } from './reverse.js'
import { withRoom } from './room.js'
import { readSources } from './sources.js'
import { readTrace } from './trace.js'

const projectSchema = s.object({
  batchSize: s.optional(s.whole().check(s.gte(1), s.lte(100_000, 'must be at most 100,000'))),
})
export const ARGUMENTS = {
  count: [...CALL, 'item', 'counted', 'data', 'date'],
  defer: [...CALL, 'item', 'quantity', 'lines', 'data', 'date'],
  project: ['batchSize', 'signal'],
  close: ['until', 'reopen', 'batchSize', 'signal'],
  prune: ['forgetBefore', 'batchSize', 'signal'],
  reserve: [...CALL, 'item', 'quantity', 'lines', 'from', 'minimum', 'expiresIn', 'take', 'data'],
  release: CALL,
  fulfil: [...CALL, 'of', 'lines', 'rest', 'minimum', 'data', 'date'],
  extend: [...CALL, 'expiresIn'],
  change: [...CALL, 'lines', 'minimum'],
  reverse: [...CALL, 'of', 'lines', 'minimum', 'data', 'date'],
  setSlots: ['item', 'count', 'retry', 'signal'],
  trace: ['item', 'after', 'limit'],
  balance: ['item'],
  balances: ['items', 'where', 'after', 'limit'],
  history: ['item', 'slot', 'after', 'order', 'limit'],
  balanceAt: ['item', 'at'],
  reservations: ['item', 'state', 'after', 'limit'],
  statement: ['transactionId'],
  audit: [],
} satisfies Record<string, readonly string[]>
export type OtherMethod = keyof typeof ARGUMENTS

const WITH_DATA: readonly string[] = ['move', 'moveAll', 'count', 'defer', 'reserve', 'fulfil', 'reverse']

/** The methods of `$stock` besides `move` and `moveAll`, and these two where they choose or create items. */
export class OtherMethods extends ReservationMethods {
  move(session: Session, args: Args, events?: CallEvents) {
    const { map } = this.parts
    if (args.take !== undefined) return this.#take(session, args, events)
    const request = this.#moving(args, [oneLine(map, args)], events)
    return this.#move(session, args, request, (decision) => singleOf(granted(decision), map.quantities))
  }

  moveAll(session: Session, args: Args, events?: CallEvents) {
    const { map } = this.parts
    const answer = (decision: Decision) => movedOf(granted(decision), map.quantities)
    if (!hasSources(args)) {
      return this.#move(session, args, this.#moving(args, readLines(map, args), events), answer)
    }
    if (isCreating(args)) {
      throw new InvalidArgumentError('createMissing', 'cannot be given together with from.')
    }
    const { lines, sources } = readSources(map, args)
    return this.sourcing.settle(session, { ...this.#moving(args, lines, events), sources }, answer)
  }

  #moving(args: Args, lines: readonly Line[], events: CallEvents | undefined): Request {
    return withRoom(this.parts.map, this.dated({ kind: 'move', decide: decideMove, lines }, args, events), args)
  }

  #move<R>(session: Session, args: Args, request: Request, answer: (decision: Decision) => R): Promise<R> {
    if (!isCreating(args)) return settle(this.parts, session, request, answer)
    const row = readNewRow(this.parts.map, args.createMissing)
    return moveCreating(this.parts, session, request, row).then(answer)
  }

  /** The arguments of a call with the data of their lines, which goes into columns of the table. */
  withData(method: string, args: Args): Args {
    const { movement, reservation, catalogue } = this.parts.map
    const table = method === 'reserve' ? reservation : movement
    if (!WITH_DATA.includes(method) || !table || !hasData(table, args)) return args
    // The data of a reversal is for all of its lines.
    const given = method === 'reverse' ? { data: args.data } : args
    return { ...args, lineData: dataOfLines(columnsFor(table, catalogue), given) }
  }

  /** A stocktake: as much as was found. */
  count(session: Session, args: Args, events?: CallEvents) {
    const { item, quantities } = this.parts.map
    const counted = {
      item: readItem(item, args.scope, args.item, 'item'),
      quantity: quantities.read(args.counted, 'counted'),
    }
    const lines = [withData(counted, args.lineData?.[0])]
    const counting = this.dated({ kind: 'count', decide: decideCount, lines }, args, events)
    const request = { ...counting, folds: foldCounted }
    return settle(this.parts, session, request, (decision) => singleOf(granted(decision), quantities))
  }

  /** A `move` of as much as there is. */
  #take(session: Session, args: Args, events?: CallEvents) {
    const { map } = this.parts
    isFlexible(args)
    if (isCreating(args)) throw new InvalidArgumentError('take', 'cannot be given together with createMissing.')
    const line = oneLine(map, args)
    if (line.quantity > 0n) {
      throw new InvalidArgumentError('quantity', 'must be negative: only what goes out can be as much as there is.')
    }
    const request = this.dated({ kind: 'take', decide: decideTake, lines: [line] }, args, events)
    return settle(this.parts, session, withRoom(map, request, args), (decision) =>
      singleOf(granted(decision), map.quantities),
    )
  }

  reverse(session: Session, args: Args, events?: CallEvents) {
    const { map } = this.parts
    requireReverses(map)
    const { lineData, ...given } = args
    const asked = {
      of: keyValue(args.of, map.movement.transactionId, 'of'),
      lines: args.lines === undefined ? undefined : readUndone(map, given),
      data: lineData?.[0],
    }
    const own = this.dated({ kind: 'reverse', decide: decideReverse, lines: [] }, args, events)
    const request = withRoom(map, own, args)
    const complete = (reading: Session) => withOriginal(reading, map, request, asked)
    return this.settleCompleted(session, { request, complete }, (decision) =>
      movedOf(granted(decision), map.quantities),
    )
  }

  async defer(session: Session, args: Args, events?: CallEvents): Promise<{ readonly replayed: boolean }> {
    const { map } = this.parts
    requireApplied(map)
    const request = this.dated({ kind: 'move', decide: decideMove, lines: oneOrMany(map, args) }, args, events)
    const run = () => defer(session, map, request)
    return { replayed: await (session.inTransaction ? serializeInTransaction(session, request.deadline, run) : run()) }
  }

  async project(session: Session, args: Args, events?: CallEvents) {
    const map = requireApplied(this.parts.map)
    const { batchSize = 1_000 } = checkArguments(projectSchema, { batchSize: args.batchSize })
    return foldAll(this.#folding(session, args, events), map, { scope: args.scope, batchSize })
  }

  #folding(session: Session, args: Args, events?: CallEvents): RunOne {
    return async (statement) => {
      const { policy, deadline } = this.#patience(args, events)
      if (!session.inTransaction) return retry(() => statement(session), policy, deadline, isTransactionConflict)
      // A savepoint keeps the failure of one item from ending all of the transaction.
      return serializeInTransaction(session, deadline, () => inSavepoint(session, deadline, statement))
    }
  }

  /** That of a part of a call, which has any number of them. */
  #patience({ signal }: Args, events: CallEvents | undefined): Patience {
    const patience = patienceOf(this.parts.policy, { signal })
    events?.begin(patience.deadline)
    patience.deadline.signal?.throwIfAborted()
    return patience
  }

  #pages(session: Session, args: Args, events?: CallEvents): PageRunner {
    const page: PageRunner['page'] = async (body) => {
      const patience = this.#patience(args, events)
      if (session.inTransaction) return serializeInTransaction(session, patience.deadline, () => body(session))
      return ownStatements(this.parts.executor.root, { ...patience, waitedFor: 'the items' }, body)
    }
    return { inTransaction: session.inTransaction, page, fold: this.#folding(session, args, events) }
  }

  async close(session: Session, args: Args, events?: CallEvents) {
    return closePeriods(this.#pages(session, args, events), this.parts.map, args)
  }

  async prune(session: Session, args: Args, events?: CallEvents) {
    return prune(this.#pages(session, args, events), this.parts.map, args)
  }

  /** Those of a ledger with slots have their own. */
  async setSlots(_: Session, _args: Args, _events?: CallEvents): Promise<unknown> {
    const message = `must name an Int field of ${this.parts.map.item.model.name}, for items to have slots`
    throw new ConfigurationError([{ path: 'item.slots', message }])
  }

  trace(session: Session, args: Args) {
    return this.look(session, args, readTrace)
  }

  async audit(session: Session, { scope }: Args) {
    const { map, policy } = this.parts
    const run = () => audit(session, map, scope)
    return session.inTransaction ? serializeInTransaction(session, patienceOf(policy, {}).deadline, run) : run()
  }
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

function requireApplied(map: StockMap): Applying {
  const { applied, ...movement } = map.movement
  if (applied) return { ...map, movement: { ...movement, applied } }
  const message = `must name a Boolean field of ${movement.model.name}, for movements to be deferred`
  throw new ConfigurationError([{ path: 'movement.applied', message }])
}
