import type { Model } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import type { Call, Feature, Use } from '../mapping/feature.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import { type Scope, scopeOfCall } from '../sql/scope.js'
import { type TakenFence, takeFence } from '../transactions/fence.js'
import { argumentsOf } from '../values/snapshot.js'
import { checkNames, isRecord } from '../values/validation.js'
import { CALL, granted, movedOf, requestOf, type StockParts, settle, singleOf } from './call.js'
import { decideMove } from './decide-move.js'
import type { StockExecutor } from './executor.js'
import { type Args, hasData, hasSources, isCreating, oneLine, readLines, type Unchecked } from './lines.js'
import type { StockMap } from './mapping.js'
import type { OtherMethod, OtherMethods } from './other-methods.js'
import type { Decision, Line } from './request.js'

/** The arguments of the methods that this file has. Those of the others are with them. */
const ARGUMENTS = {
  move: [...CALL, 'item', 'quantity', 'minimum', 'maximum', 'take', 'data', 'date', 'createMissing'],
  moveAll: [...CALL, 'lines', 'minimum', 'maximum', 'date', 'createMissing'],
}
/** The arguments of theirs that the others read. */
const MORE: ReadonlySet<string> = new Set(['take', 'maximum', 'date', 'createMissing', 'from'])
const OTHERS = [
  'count',
  'defer',
  'project',
  'close',
  'prune',
  'reserve',
  'release',
  'fulfil',
  'extend',
  'change',
  'reverse',
  'setSlots',
  'trace',
  'audit',
  'balance',
  'balances',
  'history',
  'balanceAt',
  'reservations',
  'statement',
] as const satisfies readonly OtherMethod[]
type Method = keyof typeof ARGUMENTS | OtherMethod

type Run = (args: Args, events?: CallEvents) => Promise<unknown>

const isOwn = (method: Method): method is keyof typeof ARGUMENTS => method in ARGUMENTS

/** A ledger, such as `$stock`, on any engine: checks the arguments, and hands the requests on. */
export class StockFeature implements Feature {
  readonly name
  readonly errorModel
  readonly models
  readonly map: StockMap
  readonly scope
  readonly #parts: StockParts
  readonly #creates: Pick<Call, 'uses'>
  #others: OtherMethods | undefined

  constructor(map: StockMap, policy: ResolvedPolicy, executor: StockExecutor) {
    const { item, movement, reservation } = map
    this.errorModel = movement.model
    this.models = [item.model, movement.model, ...(reservation ? [reservation.model] : [])]
    this.name = map.name
    this.map = map
    this.scope = item.scope
    this.#parts = { map, policy, executor }
    this.#creates = { uses: [[item.model, 'creates']] }
  }

  uses(method: string) {
    const updates = method === 'setSlots' ? undefined : this.map.item.model
    return this.models.map((model): [Model, Use] => [model, model === updates ? 'updates' : 'writes'])
  }

  on(session: Session, bound?: Scope) {
    const call =
      (method: Method, run: Run) =>
      (given: unknown = {}) => {
        const args: unknown = argumentsOf(given)
        const isGiven = isRecord(args)
        // No async function: it would keep a frame for each call, and a hundred thousand may wait.
        const plain: Call<unknown> = (events) => {
          try {
            if (!isGiven) throw new InvalidArgumentError('args', 'must be an object.')
            const isMore = !isOwn(method) || this.#isMore(method, args)
            const isOther = isMore || hasData(this.map.movement, args)
            const start = () => {
              const checked = this.#checked(method, args, bound)
              const carryOut = isMore ? later(method) : run
              return carryOut(isOther ? this.#loaded().withData(method, checked) : checked, events)
            }
            return isOther || loading ? loadedBefore(start) : start()
          } catch (error) {
            return Promise.reject(error)
          }
        }
        const taken = takeFence(args)
        const begin = taken ? fencedCall(method, args, taken) : plain
        return isGiven && isCreating(args) ? Object.assign(begin, this.#creates) : begin
      }
    const fencedCall =
      (method: Method, args: unknown, taken: TakenFence) =>
      async (events?: CallEvents): Promise<unknown> => {
        const { fencedStock } = await import('./fenced.js')
        return fencedStock(this.#parts, { session, method, taken, events }, async (tx) => {
          const [, read] = Object.entries(this.on(tx, bound)).find(([name]) => name === method) ?? []
          return read?.(args)(events)
        })
      }
    const later =
      (method: Method): Run =>
      (args, events) =>
        this.#loaded()[method](session, args, events)
    const { quantities } = this.map
    // Once for all calls, of which a hundred thousand may wait.
    const single = (decision: Decision) => singleOf(granted(decision), quantities)
    const moved = (decision: Decision) => movedOf(granted(decision), quantities)
    const moving = (lines: readonly Line[]) => ({ kind: 'move', decide: decideMove, lines }) as const
    const move: Run = (args, events) => {
      const request = requestOf(this.#parts, moving([oneLine(this.map, args)]), args, events)
      return settle(this.#parts, session, request, single)
    }
    const moveAll: Run = (args, events) => {
      const request = requestOf(this.#parts, moving(readLines(this.map, args)), args, events)
      return settle(this.#parts, session, request, moved)
    }
    const others = OTHERS.map((method) => [method, call(method, later(method))] as const)
    return { move: call('move', move), moveAll: call('moveAll', moveAll), ...Object.fromEntries(others) }
  }

  #checked(method: Method, args: Unchecked, bound: Scope | undefined): Args {
    const names = isOwn(method) ? ARGUMENTS[method] : (others?.ARGUMENTS[method] ?? [])
    const takesScope = this.scope.length > 0 && bound === undefined
    checkNames(args, takesScope ? [...names, 'scope'] : names)
    return { ...args, scope: scopeOfCall(this.scope, args.scope, bound) }
  }

  /** Whether a movement takes more than this file has. Only the names that are given are looked at: there are few. */
  #isMore(method: Method, args: Unchecked): boolean {
    const { item, period } = this.map
    if (item.maximum || item.slots || period) return true
    const isMore = Object.keys(args).some((name) => MORE.has(name) && args[name] !== undefined)
    return isMore || (method === 'moveAll' && hasSources(args))
  }

  #loaded(): OtherMethods {
    if (others === undefined) throw new Error('The other methods of $stock are not loaded yet.')
    this.#others ??= others.methodsFor(this.#parts)
    return this.#others
  }
}

let others: typeof import('./methods-for.js') | undefined
let loading: Promise<unknown> | undefined

/**
 * Runs a call once the other methods, and what reads data, are loaded: by the first call of the process that needs them,
 * before its deadline begins, for many programs only move. All calls that are made meanwhile wait, so that they are
 * carried out in their order.
 */
function loadedBefore<R>(start: () => Promise<R>): Promise<R> {
  if (others) return start()
  if (loading === undefined) {
    const loaded = import('./methods-for.js')
    loading = loaded
    // This comes first, and then the calls, with nothing in between.
    const end = (found?: typeof others) => {
      others = found
      loading = undefined
    }
    loaded.then(end, () => end())
  }
  return loading.then(start)
}
