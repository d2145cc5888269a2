import type { Model } from '../engine/data-model.js'
import { isTransactionConflict } from '../engine/error-facts.js'
import type { Session } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import type { Feature, Use } from '../mapping/feature.js'
import { patienceOf } from '../retry/call-options.js'
import { retry } from '../retry/loop.js'
import { LONGEST_TIMER, type ResolvedPolicy } from '../retry/policy.js'
import { readAgain } from '../retry/read-again.js'
import { checkKeyLength } from '../sql/key-text.js'
import { keyValue } from '../sql/key-value.js'
import { type Scope, scopeOfCall } from '../sql/scope.js'
import { inSavepoint, serializeInTransaction } from '../transactions/serialize.js'
import * as s from '../values/schema.js'
import { argumentsOf } from '../values/snapshot.js'
import { checkArguments, checkNames, isRecord } from '../values/validation.js'
import { executeInTransaction } from './execute-in-transaction.js'
import type { StockExecutor } from './executor.js'
import { readItem } from './item.js'
import type { LineData } from './line-data.js'
import { type Args, dataAt, idsOf, oneLine, oneOrMany, readLines } from './lines.js'
import { readReservations } from './load-snapshot.js'
import type { LinesMap, StockMap } from './mapping.js'
import type { Applying, RunOne } from './project.js'
import type { Quantities } from './quantity.js'
import { type Decision, type Done, type Kind, type Line, nameOf, type Request } from './request.js'

const CALL = ['transactionId', 'retry', 'signal']
const ARGUMENTS = {
  move: [...CALL, 'item', 'quantity', 'minimum', 'data'],
  moveAll: [...CALL, 'lines', 'minimum'],
  count: [...CALL, 'item', 'counted', 'data'],
  defer: [...CALL, 'item', 'quantity', 'lines', 'data'],
  project: ['batchSize', 'signal'],
  reserve: [...CALL, 'item', 'quantity', 'lines', 'minimum', 'expiresIn', 'data'],
  release: CALL,
  fulfil: [...CALL, 'minimum', 'data'],
  audit: [],
} as const satisfies Record<string, readonly string[]>
const WITHOUT_LINES: readonly string[] = ['project', 'release', 'audit']
const projectSchema = s.object({
  batchSize: s.optional(s.whole().check(s.gte(1), s.lte(100_000, 'must be at most 100,000'))),
})
const reserveSchema = s.object({
  expiresIn: s
    .number('must be a number of ms')
    .check(s.gte(1, 'must be at least 1 ms'), s.lte(LONGEST_TIMER, `must be at most ${LONGEST_TIMER} ms`)),
})

/** `$stock` on any engine: checks the arguments, and hands the requests on. */
export class StockFeature implements Feature {
  readonly errorModel
  readonly models
  readonly map: StockMap
  readonly scope
  readonly #policy: ResolvedPolicy
  readonly #executor: StockExecutor

  constructor(map: StockMap, policy: ResolvedPolicy, executor: StockExecutor) {
    const { item, movement, reservation } = map
    this.errorModel = movement.model
    this.models = [item.model, movement.model, ...(reservation ? [reservation.model] : [])]
    this.map = map
    this.scope = item.scope
    this.#policy = policy
    this.#executor = executor
  }

  uses() {
    return this.models.map((model): [Model, Use] => [model, model === this.map.item.model ? 'updates' : 'writes'])
  }

  on(session: Session, bound?: Scope) {
    const call =
      <R>(method: keyof typeof ARGUMENTS, run: (args: Args, events?: CallEvents) => Promise<R>) =>
      (given: unknown = {}) => {
        const args: unknown = argumentsOf(given)
        // No async function: it would keep a frame for each call, and a hundred thousand may wait.
        return (events?: CallEvents) => {
          try {
            const checked = this.#checked(method, args, bound)
            const filled = this.#filledBy(method, checked)
            return filled ? this.#withData(filled, checked).then((read) => run(read, events)) : run(checked, events)
          } catch (error) {
            return Promise.reject(error)
          }
        }
      }
    const { quantities } = this.map
    const moved = (decision: Decision) => movedOf(granted(decision), quantities)
    const single = (decision: Decision) => singleOf(granted(decision), quantities)
    return {
      move: call('move', (args, events) =>
        this.#settle(session, this.#request('move', args, [oneLine(this.map, args)], events), single),
      ),
      moveAll: call('moveAll', (args, events) =>
        this.#settle(session, this.#request('move', args, readLines(this.map, args), events), moved),
      ),
      count: call('count', (args, events) => this.#settle(session, this.#countRequest(args, events), single)),
      defer: call('defer', (args, events) => this.#defer(session, args, events)),
      project: call('project', (args, events) => this.#project(session, args, events)),
      reserve: call('reserve', (args, events) =>
        this.#settle(session, this.#reserveRequest(args, events), (decision) => {
          const { expiresAt, state, replayed } = granted(decision)
          return { expiresAt, state, replayed }
        }),
      ),
      release: call('release', (args, events) =>
        this.#endReservation(session, this.#request('release', args, [], events), (decision) => {
          const { replayed, state } = granted(decision)
          return { released: !replayed, state }
        }),
      ),
      fulfil: call('fulfil', (args, events) =>
        this.#endReservation(session, this.#request('fulfil', args, [], events), moved, args.lineData?.[0]),
      ),
      audit: call('audit', ({ scope }) => this.#audit(session, scope)),
    }
  }

  #checked(method: keyof typeof ARGUMENTS, args: unknown, bound: Scope | undefined): Args {
    if (!isRecord(args)) throw new InvalidArgumentError('args', 'must be an object.')
    const takesScope = this.scope.length > 0 && bound === undefined
    checkNames(args, takesScope ? [...ARGUMENTS[method], 'scope'] : ARGUMENTS[method])
    return { ...args, scope: scopeOfCall(this.scope, args.scope, bound) }
  }

  /** The table whose columns of the user's own the call fills in; none for most calls. */
  #filledBy(method: keyof typeof ARGUMENTS, { data, lines }: Args): LinesMap | undefined {
    if (WITHOUT_LINES.includes(method)) return undefined
    const table = method === 'reserve' ? this.map.reservation : this.map.movement
    const isGiven = data !== undefined || (Array.isArray(lines) && lines.some((line) => line?.data !== undefined))
    return isGiven || table?.needsData ? table : undefined
  }

  /** Its file is loaded by the first call with data, before the deadline of the call begins. */
  async #withData(table: LinesMap, args: Args): Promise<Args> {
    const { columnsFor, dataOfLines } = await import('./line-data.js')
    return { ...args, lineData: dataOfLines(columnsFor(table, this.map.catalogue), args) }
  }

  /** On the root the request joins a batch; in a transaction it is settled right there. */
  #settle<R>(session: Session, request: Request, answer: (decision: Decision) => R): Promise<R> {
    if (!session.inTransaction) return this.#executor.execute(request, answer)
    return serializeInTransaction(session, request.deadline, async () =>
      answer((await executeInTransaction(session, this.map, request)).decision),
    )
  }

  /**
   * The lines of a reservation never change, so they can be read before anything is locked; but in a
   * transaction not before its own turn, for the call before it may be the one that reserves.
   */
  async #endReservation<R>(
    session: Session,
    request: Request,
    answer: (decision: Decision) => R,
    data?: LineData,
  ): Promise<R> {
    requireReservation(this.map)
    const complete = async () => {
      const { deadline } = request
      const read = () => readReservations(session.until(deadline), this.map, [request])
      const reservations = await (session.inTransaction ? read() : readAgain(request, read))
      const reserved = reservations.get(nameOf(request))?.lines ?? []
      const lines = data ? reserved.map((line) => ({ ...line, data })) : reserved
      return { ...request, lines, resources: idsOf(lines) }
    }
    if (!session.inTransaction) return this.#executor.execute(await complete(), answer)
    return serializeInTransaction(session, request.deadline, async () =>
      answer((await executeInTransaction(session, this.map, await complete())).decision),
    )
  }

  async #defer(session: Session, args: Args, events?: CallEvents): Promise<{ readonly replayed: boolean }> {
    requireApplied(this.map)
    const { defer } = await import('./defer.js')
    const request = this.#request('move', args, oneOrMany(this.map, args), events)
    const run = () => defer(session, this.map, request)
    return { replayed: await (session.inTransaction ? serializeInTransaction(session, request.deadline, run) : run()) }
  }

  async #project(session: Session, args: Args, events?: CallEvents) {
    const map = requireApplied(this.map)
    const { batchSize = 1_000 } = checkArguments(projectSchema, { batchSize: args.batchSize })
    const run: RunOne = async (statement) => {
      const { policy, deadline } = patienceOf(this.#policy, { signal: args.signal })
      events?.begin(deadline)
      deadline.signal?.throwIfAborted()
      if (!session.inTransaction) return retry(() => statement(session), policy, deadline, isTransactionConflict)
      // A savepoint keeps the failure of one item from ending all of the transaction.
      return serializeInTransaction(session, deadline, () => inSavepoint(session, deadline, statement))
    }
    const { foldAll } = await import('./project.js')
    return foldAll(run, map, { scope: args.scope, batchSize })
  }

  // The files of these two are loaded by the first call of the process, before its deadline begins: they are for jobs
  // and checks, and not for requests.

  async #audit(session: Session, scope: Scope) {
    const { audit } = await import('./audit.js')
    const run = () => audit(session, this.map, scope)
    return session.inTransaction ? serializeInTransaction(session, patienceOf(this.#policy, {}).deadline, run) : run()
  }

  #countRequest(args: Args, events?: CallEvents): Request {
    const { item, quantities } = this.map
    const line = {
      item: readItem(item, args.scope, args.item, 'item'),
      quantity: quantities.read(args.counted, 'counted'),
      ...dataAt(args.lineData, 0),
    }
    return this.#request('count', args, [line], events)
  }

  #reserveRequest(args: Args, events?: CallEvents): Request {
    requireReservation(this.map)
    const lines = oneOrMany(this.map, args)
    if (lines.some(({ quantity }) => quantity < 0n)) {
      throw new InvalidArgumentError('quantity', 'must be positive: it is what is to be reserved.')
    }
    const { expiresIn } = checkArguments(reserveSchema, { expiresIn: args.expiresIn })
    return { ...this.#request('reserve', args, lines, events), expiresIn }
  }

  #request(kind: Kind, args: Args, lines: readonly Line[], events: CallEvents | undefined): Request {
    const { movement, quantities } = this.map
    const { scope, minimum, retry, signal } = args
    const { policy, deadline } = patienceOf(this.#policy, { retry, signal })
    const transactionId = keyValue(args.transactionId, movement.transactionId, 'transactionId')
    const resources = idsOf(lines)
    const group = args.lineData?.[0]?.group
    if (scope.length > 0) checkKeyLength([...scope, transactionId], 'transactionId')
    const name = nameOf({ scope, transactionId })
    events?.begin(deadline, lines.length === 0 ? name : resources, name)
    return {
      policy,
      deadline,
      kind,
      scope,
      transactionId,
      lines,
      resources,
      ...(group && { group }),
      minimum: minimum === undefined || minimum === null ? minimum : quantities.read(minimum, 'minimum'),
    }
  }
}

function granted(decision: Decision): Done {
  if (decision.status === 'refused') throw decision.error
  return decision
}

function movedOf({ lines, replayed }: Done, quantities: Quantities) {
  const moved = lines.map(({ item, quantity, balance }) => ({
    item: item.given,
    quantity: quantities.value(quantity),
    balance: quantities.value(balance),
  }))
  return { lines: moved, replayed }
}

function singleOf(done: Done, quantities: Quantities) {
  const { lines, replayed } = movedOf(done, quantities)
  const [line] = lines
  return { quantity: line?.quantity, balance: line?.balance, replayed }
}

function requireReservation({ reservation }: StockMap): void {
  if (reservation) return
  const message = 'must be mapped to a model, for stock to be reserved'
  throw new ConfigurationError([{ path: 'reservation', message }])
}

function requireApplied(map: StockMap): Applying {
  const { applied, ...movement } = map.movement
  if (applied) return { ...map, movement: { ...movement, applied } }
  const message = `must name a Boolean field of ${movement.model.name}, for movements to be deferred`
  throw new ConfigurationError([{ path: 'movement.applied', message }])
}
