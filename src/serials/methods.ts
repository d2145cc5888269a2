import type { Model } from '../engine/data-model.js'
import type { Row, Session } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError } from '../errors/index.js'
import type { CallEvents } from '../events/call-events.js'
import type { Feature, Use } from '../mapping/feature.js'
import { isFilledIn } from '../mapping/mapping.js'
import { callOptions } from '../retry/call-options.js'
import type { Table } from '../sql/catalogue.js'
import { checkKeyLength, keyText } from '../sql/key-text.js'
import { type Scope, scopeOfCall } from '../sql/scope.js'
import { literal } from '../sql/sql.js'
import { transactionOptions } from '../transactions/method.js'
import * as s from '../values/schema.js'
import { argumentsOf, snapshot } from '../values/snapshot.js'
import { checkArguments, isRecord, keyTextSchema } from '../values/validation.js'
import { type Allocation, Allocator, type ReadSerials } from './allocate.js'
import { SerialsExecutor } from './executor.js'
import { readFormat } from './format.js'
import type { ImportCall, Imported, Range } from './import.js'
import type { SerialsMap } from './mapping.js'
import { requestOf } from './request.js'
import type { Runner } from './run.js'
import { inScope, type Refusals, readData, readWhere, type Values } from './values.js'

const MOST = 2_147_483_647 // the count is recorded in an Int

const numbers = s.array(keyTextSchema, 'must be an array of serial numbers')
const whole = s.union([s.whole(), s.bigint()], 'must be a whole number').check(
  s.refine((value) => value >= 0, 'must not be negative'),
  s.refine((value) => value < 2n ** 63n, 'must fit into 64 bits'),
)

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
const historySchema = s.strictObject({
  after: s.optional(whole),
  limit: s.optional(s.whole().check(s.gte(1), s.lte(1_000))),
})
const importSchema = s.strictObject({
  ...callOptions,
  timeout: transactionOptions.timeout,
  transactionId: keyTextSchema,
  data: s.optional(s.unknown()),
  range: s.optional(s.strictObject({ from: whole, to: whole, format: keyTextSchema }, 'must be { from, to, format }')),
  numbers: s.optional(numbers.check(s.minLength(1, 'must not be empty'))),
})

/** Where a call works. */
interface At {
  readonly session: Session
  readonly scope: Scope
}

/** `$serials` on any engine: checks the arguments, and carries them out. */
export class SerialsFeature implements Feature {
  readonly errorModel
  readonly models
  readonly scope
  readonly map: SerialsMap
  readonly #runner: Runner
  readonly #allocator: Allocator
  readonly #executor: SerialsExecutor
  /** Fields that `where` and `data` must not name. */
  readonly #owned: Refusals
  readonly #scoped: Refusals
  readonly #kept: Refusals
  readonly #released: Refusals
  readonly #new: Refusals

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
    this.#runner = runner
    this.#allocator = new Allocator(map, (at) => this.#readyFor(at), readSerials)
    this.#executor = new SerialsExecutor(runner.root, this.#allocator, maxWaiting)
    this.#scoped = new Map(scoped)
    this.#owned = new Map([...scoped, owner])
    this.#new = new Map([...scoped, ...versions, [number.name, 'is given by `numbers` or `range`.'], owner])
    const keys = key.map(({ name }) => [name, 'is part of the key of a serial, which stays.'] as const)
    this.#released = new Map([...versions, ...keys, owner])
    this.#kept = new Map([...this.#released, ...states])
  }

  uses(method: string): readonly (readonly [Model, Use])[] {
    const { serial, history } = this.map
    const recorded = (use: Use) => (history ? [[history.model, use] as const] : [])
    if (method === 'history') return recorded('reads')
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
      import: call((at, args, events) => this.#import(at, args, events)),
      history: (serial: unknown, options?: unknown) => {
        const given = snapshot(serial, 'serial', 'serial')
        const page = snapshot(options, 'options')
        return async () => {
          const [scope, rest] = this.#scopeOf(given, bound)
          return this.#history({ session, scope }, rest, page)
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
    const id = this.#transactionId(transactionId)
    const numbers = given.numbers && sorted(given.numbers)
    const filter = readWhere('where', given.where ?? (numbers && {}), model, this.#owned)
    const count = numbers ? this.#countOf(numbers, filter, { count: given.count, partial }) : given.count
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
    return this.#runner.run(session, { ...given, told }, (run) => by.allocate(run, call))
  }

  /** How many numbers a call names, each of which can be of one serial alone. */
  #countOf(
    numbers: readonly string[],
    { fields }: Values,
    { count, partial }: { count?: number; partial?: boolean },
  ): number {
    const { number, key, scope } = this.map.serial
    if (count !== undefined) throw new InvalidArgumentError('count', 'or `numbers` is needed, one of the two.')
    if (partial) throw new InvalidArgumentError('partial', 'is for `count`: of `numbers`, all are taken or none.')
    if (fields.includes(number)) throw new InvalidArgumentError(`where.${number.name}`, 'is given by `numbers`.')
    const missing = key.find((field) => field !== number && !scope.includes(field) && !fields.includes(field))
    if (missing) {
      const why = `is needed: without it, a number of ${this.map.serial.model.name} can be of several serials.`
      throw new InvalidArgumentError(`where.${missing.name}`, why)
    }
    for (const [i, text] of numbers.entries()) keyText(text, number, `numbers.${i}`)
    return numbers.length
  }

  async #release({ session, scope }: At, args: unknown, events?: CallEvents): Promise<{ released: number }> {
    const { transactionId, numbers, ...given } = checkArguments(releaseSchema, args)
    const data = readData('data', given.data, this.map.serial.model, this.#released)
    this.#checkState(data)
    const call = { scope, transactionId: this.#transactionId(transactionId), numbers, data }
    const told = { events, key: call.transactionId, transactionId: call.transactionId }
    return this.#runner.run(session, { ...given, told }, ({ contained }) =>
      contained(async (tx) => {
        const columns = await this.#readyFor(tx)
        const { release } = await import('./release.js')
        return release(tx, this.map, { ...call, columns })
      }),
    )
  }

  /** The state of an owner is none of a serial without one. */
  #checkState({ fields, stored }: Values): void {
    const { state, states } = this.map.serial
    const i = state ? fields.indexOf(state) : -1
    if (i === -1 || literal(String(stored[i])) !== states?.allocated) return
    throw new InvalidArgumentError(`data.${state?.name}`, 'is the state of serials that somebody has.')
  }

  async #history({ session, scope }: At, serial: unknown, page: unknown = {}): Promise<Row[]> {
    const { history } = this.map
    if (history === undefined) {
      throw new ConfigurationError([
        { path: 'history', message: 'is needed by $serials.history: the model of the changes' },
      ])
    }
    const { after = 0, limit = 100 } = checkArguments(historySchema, page)
    const given = readWhere('serial', serial, history.model, this.#scoped)
    for (const { name } of history.key) {
      const isGiven =
        this.scope.some((field) => field.name === name) || given.fields.some((field) => field.name === name)
      if (!isGiven) throw new InvalidArgumentError(`serial.${name}`, 'is needed: it is part of the key of a serial.')
    }
    const other = given.fields.find((field) => !history.key.includes(field))
    if (other) throw new InvalidArgumentError(`serial.${other.name}`, 'is not part of the key of a serial.')
    const fields = history.key.filter(({ name }) => this.scope.some((field) => field.name === name))
    const call = { serial: inScope(given, fields, scope), after, limit }
    const columns = await this.map.catalogue.of(history.model, session)
    const { readHistory } = await import('./history.js')
    return readHistory(session, history, columns, call)
  }

  async #import({ session, scope }: At, args: unknown, events?: CallEvents): Promise<Imported> {
    const { transactionId, range, numbers, ...given } = checkArguments(importSchema, args)
    const id = this.#transactionId(transactionId)
    const values = readData('data', given.data, this.map.serial.model, this.#new)
    this.#checkState(values)
    const data = inScope(values, this.scope, scope)
    this.#checkComplete(data)
    const { source, count } = sourceOf(range, numbers)
    this.#checkNumbers(source, data)
    const parts = 'numbers' in source ? { numbers: source.numbers } : { ...range }
    const request = requestOf('import', parts, { data: values })
    const call = { scope, transactionId: id, data, source, count, request }
    const told = { events, key: id, transactionId: id }
    // Loaded by the first import of the process, before its deadline begins: most programs import elsewhere.
    const { analyzeAfterImport, importSerials } = await import('./import.js')
    return this.#runner.run(session, { ...given, told }, async (run) => {
      const result = await run.contained(async (tx) =>
        importSerials(tx, this.map, { ...call, columns: await this.#readyFor(tx) }),
      )
      await analyzeAfterImport(run.session, this.map, result)
      return result
    })
  }

  async #free({ session, scope }: At, where: unknown): Promise<number> {
    const given = readWhere('where', where, this.map.serial.model, this.#owned)
    const values = inScope(given, this.scope, scope)
    return this.#allocator.countFree(session, values, await this.#columns(session))
  }

  async #readyFor(session: Session): Promise<Table> {
    await this.map.keys.check(session)
    return this.#columns(session)
  }

  #columns(session: Session): Promise<Table> {
    return this.map.catalogue.of(this.map.serial.model, session)
  }

  /** Both tables keep it: the noted one, and the one of the serials. */
  #transactionId(id: string): string {
    const { serial, allocation } = this.map
    return keyText(keyText(id, allocation.transactionId, 'transactionId'), serial.transactionId, 'transactionId')
  }

  #checkComplete({ fields }: Values): void {
    const { model, number } = this.map.serial
    for (const field of model.fields.values()) {
      if (isFilledIn(field) || field === number || fields.includes(field)) continue
      throw new InvalidArgumentError(`data.${field.name}`, 'is required, and the database has no default for it.')
    }
  }

  /** The longest number stands for all of a range. */
  #checkNumbers(source: ImportCall['source'], { given }: Values): void {
    const { number, key } = this.map.serial
    const isList = 'numbers' in source
    const path = isList ? 'numbers' : 'range.format'
    const others = key.filter((field) => field !== number).map(({ name }) => given[name])
    for (const text of isList ? source.numbers : [longestOf(source)]) {
      keyText(text, number, path)
      checkKeyLength([text, ...others], path)
    }
  }
}

type GivenRange = NonNullable<s.Output<typeof importSchema>['range']>

function sourceOf(range: GivenRange | undefined, numbers: string[] | undefined): Pick<ImportCall, 'source' | 'count'> {
  if (numbers && !range) return { source: { numbers: sorted(numbers) }, count: numbers.length }
  if (!range || numbers) throw new InvalidArgumentError('range', 'or `numbers` is needed, one of the two.')
  const [from, to] = [BigInt(range.from), BigInt(range.to)]
  const count = to - from + 1n
  if (count < 1n) throw new InvalidArgumentError('range.to', `is less than \`from\`.`)
  if (count > MOST)
    throw new InvalidArgumentError('range', `has ${count} numbers; at most ${MOST} can be imported at once.`)
  return { source: { from, to, format: readFormat(range.format, to) }, count: Number(count) }
}

/** In one order, whichever they came in: it is the order in which the database is to meet them. */
function sorted(numbers: readonly string[]): string[] {
  const result = [...numbers].sort()
  const twice = result.find((number, i) => number === result[i + 1])
  if (twice !== undefined) throw new InvalidArgumentError('numbers', `has ${JSON.stringify(twice)} twice.`)
  return result
}

function longestOf({ to, format }: Range): string {
  return format.before + String(to).padStart(format.width, '0') + format.after
}
