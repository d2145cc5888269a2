import type { Model } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import type { Feature, Use } from '../mapping/feature.js'
import { callOptions } from '../retry/call-options.js'
import type { Table } from '../sql/catalogue.js'
import { keyText } from '../sql/key-text.js'
import { type Scope, scopeOfCall } from '../sql/scope.js'
import { literal } from '../sql/sql.js'
import * as s from '../values/schema.js'
import { argumentsOf, snapshot } from '../values/snapshot.js'
import { checkArguments, isRecord, keyTextSchema } from '../values/validation.js'
import { type Allocation, Allocator, type ReadSerials } from './allocate.js'
import { SerialsExecutor } from './executor.js'
import type { SerialsMap } from './mapping.js'
import { MOST, numbers, sorted } from './numbers.js'
import { requestOf } from './request.js'
import type { Runner } from './run.js'
import { inScope, type Refusals, readData, readWhere, type Values } from './values.js'

const allocateSchema = s.strictObject({
  ...callOptions,
  transactionId: keyTextSchema,
  where: s.optional(s.unknown()),
  data: s.optional(s.unknown()),
  count: s.optional(s.whole().check(s.gte(1), s.lte(MOST))),
  numbers: s.optional(numbers.check(s.minLength(1, 'must not be empty'))),
  partial: s.optional(s.boolean()),
})
const releaseSchema = s.strictObject({
  ...callOptions,
  transactionId: keyTextSchema,
  numbers: s.optional(numbers),
  data: s.optional(s.unknown()),
})
/** Where a call works. */
export interface At {
  readonly session: Session
  readonly scope: Scope
}

/** The calls that most programs do not make: loaded by the first of them, before its deadline begins. */
const others = () => import('./other-calls.js')

/** `$serials` on any engine: checks the arguments, and carries them out. */
export class SerialsFeature implements Feature {
  readonly errorModel
  readonly models
  readonly scope
  readonly map: SerialsMap
  readonly runner: Runner
  readonly #allocator: Allocator
  readonly #executor: SerialsExecutor
  /** Fields that `where` and `data` must not name. */
  readonly #owned: Refusals
  readonly scoped: Refusals
  readonly #kept: Refusals
  readonly #released: Refusals
  readonly new: Refusals

  constructor(map: SerialsMap, runner: Runner, maxWaiting: number, readSerials: ReadSerials) {
    const { serial, allocation, history } = map
    const { transactionId, number, key, version, state, changes } = serial
    const scoped = serial.scope.map(({ name }) => [name, 'is part of the scope.'] as const)
    const owner = [transactionId.name, 'is written by allocate and release alone.'] as const
    const counters = [version, changes].flatMap((field) => field ?? [])
    const versions = counters.map(({ name }) => [name, 'cannot be set: it goes up by itself.'] as const)
    const states = state ? [[state.name, 'is written by allocate itself.'] as const] : []
    this.errorModel = serial.model
    this.models = [serial, allocation, ...(history ? [history] : [])].map(({ model }) => model)
    this.scope = serial.scope
    this.map = map
    this.runner = runner
    this.#allocator = new Allocator(map, (at) => this.readyFor(at), readSerials)
    this.#executor = new SerialsExecutor(runner.root, this.#allocator, maxWaiting)
    this.scoped = new Map(scoped)
    this.#owned = new Map([...scoped, owner])
    this.new = new Map([...scoped, ...versions, [number.name, 'is given by `numbers` or `range`.'], owner])
    const keys = key.map(({ name }) => [name, 'is part of the key of a serial, which stays.'] as const)
    this.#released = new Map([...versions, ...keys, owner])
    this.#kept = new Map([...this.#released, ...states])
  }

  uses(method: string): readonly (readonly [Model, Use])[] {
    const { serial, history } = this.map
    const recorded = (use: Use) => (history ? [[history.model, use] as const] : [])
    if (method === 'history') return recorded('reads')
    if (method === 'prune') return [[serial.model, 'reads'], ...recorded('writes')]
    if (method === 'free') return [[serial.model, 'reads']]
    return method === 'import' ? [[serial.model, 'creates']] : [[serial.model, 'updates'], ...recorded('creates')]
  }

  on(session: Session, bound?: Scope) {
    const call =
      <R>(run: (at: At, args: unknown, events?: CallEvents) => Promise<R>) =>
      (args: unknown) => {
        const given = argumentsOf(args)
        return async (events?: CallEvents) => {
          const [scope, rest] = this.#scopeOf(given, bound)
          return run({ session, scope }, rest, events)
        }
      }
    return {
      allocate: call((at, args, events) => this.#allocate(at, args, events)),
      release: call((at, args, events) => this.#release(at, args, events)),
      import: call(async (at, args, events) => (await others()).importBy(this, at, args, events)),
      prune: call(async (at, args, events) => (await others()).pruneBy(this, at, args, events)),
      history: (serial: unknown, options?: unknown) => {
        const given = snapshot(serial, 'serial', 'serial')
        const page = snapshot(options, 'options')
        return async () => {
          const [scope, rest] = this.#scopeOf(given, bound)
          return (await others()).historyBy(this, { session, scope }, rest, page)
        }
      },
      free: (where: unknown) => {
        const given = snapshot(where, 'where', 'where')
        return async () => {
          const [scope, rest] = this.#scopeOf(given, bound)
          return this.#free({ session, scope }, rest)
        }
      },
    }
  }

  /** The scope of a call, and its other arguments. */
  #scopeOf(args: unknown, bound: Scope | undefined): readonly [Scope, unknown] {
    const { scope: fields } = this
    if (fields.length === 0 || bound || !isRecord(args)) return [scopeOfCall(fields, undefined, bound), args]
    const { scope, ...others } = args
    return [scopeOfCall(fields, scope, bound), others]
  }

  async #allocate({ session, scope }: At, args: unknown, events?: CallEvents): Promise<Allocation> {
    const { model } = this.map.serial
    const { transactionId, partial = false, ...given } = checkArguments(allocateSchema, args)
    const id = this.idOf(transactionId)
    const numbers = given.numbers && sorted(given.numbers)
    const filter = readWhere('where', given.where ?? (numbers && {}), model, this.#owned)
    if (numbers) (await import('./pick.js')).checkPick(this.map, numbers, filter, { count: given.count, partial })
    const count = numbers ? numbers.length : given.count
    if (count === undefined) throw new InvalidArgumentError('count', 'or `numbers` is needed, one of the two.')
    const data = readData('data', given.data, model, this.#kept)
    const request = requestOf(
      'allocate',
      { count: given.count, numbers, partial: partial || undefined },
      { where: filter, data },
    )
    const where = inScope(filter, this.scope, scope)
    const call = { scope, transactionId: id, where, data, numbers, count, partial, request }
    // On the root the call joins a batch, if SQL gives its records; in a transaction it is carried out right there.
    const joins = !session.inTransaction && this.map.serial.readable !== undefined
    const by = joins ? this.#executor : this.#allocator
    const told = { events, key: where.given, transactionId: id }
    return this.runner.run(session, { ...given, told }, (run) => by.allocate(run, call))
  }

  async #release({ session, scope }: At, args: unknown, events?: CallEvents): Promise<{ released: number }> {
    const { transactionId, numbers, ...given } = checkArguments(releaseSchema, args)
    const data = readData('data', given.data, this.map.serial.model, this.#released)
    this.checkState(data)
    const call = { scope, transactionId: this.idOf(transactionId), numbers, data }
    const told = { events, key: call.transactionId, transactionId: call.transactionId }
    return this.runner.run(session, { ...given, told }, ({ contained }) =>
      contained(async (tx) => {
        const columns = await this.readyFor(tx)
        const { release } = await import('./release.js')
        return release(tx, this.map, { ...call, columns })
      }),
    )
  }

  /** The state of an owner is none of a serial without one. */
  checkState({ fields, stored }: Values): void {
    const { state, states } = this.map.serial
    const i = state ? fields.indexOf(state) : -1
    if (i === -1 || literal(String(stored[i])) !== states?.allocated) return
    throw new InvalidArgumentError(`data.${state?.name}`, 'is the state of serials that somebody has.')
  }

  async #free({ session, scope }: At, where: unknown): Promise<number> {
    const given = readWhere('where', where, this.map.serial.model, this.#owned)
    const values = inScope(given, this.scope, scope)
    return this.#allocator.countFree(session, values, await this.#columns(session))
  }

  async readyFor(session: Session): Promise<Table> {
    await this.map.keys.check(session)
    return this.#columns(session)
  }

  #columns(session: Session): Promise<Table> {
    return this.map.catalogue.of(this.map.serial.model, session)
  }

  /** Both tables keep it: the noted one, and the one of the serials. */
  idOf(id: string): string {
    const { serial, allocation } = this.map
    return keyText(keyText(id, allocation.transactionId, 'transactionId'), serial.transactionId, 'transactionId')
  }
}
