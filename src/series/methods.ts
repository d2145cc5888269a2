import type { Row, Session, TransactionSession } from '../engine/session.js'
import { ConfigurationError, InvalidArgumentError, TransactionRequiredError } from '../errors/index.js'
import { type CallEvents, timed } from '../events/call-events.js'
import type { Feature } from '../mapping/feature.js'
import { callOptions, type Patience, patienceOf } from '../retry/call-options.js'
import { DEFAULT_POLICY, type ResolvedPolicy, resolvePolicy } from '../retry/policy.js'
import { readAgain } from '../retry/read-again.js'
import { checkKeyLength, keyText } from '../sql/key-text.js'
import { type Scope, scopeOfCall } from '../sql/scope.js'
import { DEFAULT_MAX_WAITING } from '../sync/batcher.js'
import type { RetryingRoot } from '../transactions/method.js'
import { ownStatements } from '../transactions/own-statements.js'
import { serializeInTransaction } from '../transactions/serialize.js'
import * as s from '../values/schema.js'
import { argumentsOf, snapshot } from '../values/snapshot.js'
import { checkArguments, isRecord, keyTextSchema } from '../values/validation.js'
import type { BlockAllocator } from './block-allocator.js'
import { type CallArguments, numberOptions, type ReadArguments } from './call-arguments.js'
import type { CreatorParts, DocumentCreator, DocumentEngine } from './document-creator.js'
import type { FreeNumbers } from './free-numbers.js'
import { type DocumentSeries, inScope, ownTables, type Series, type SeriesMap, seriesOf } from './mapping.js'
import type { NumberMethods } from './number-methods.js'
import type { SeriesOptions } from './options.js'
import type { Wanted } from './statements.js'
import type { GivenNumber, SeriesStore } from './store.js'
import type { CreatedDocument } from './types.js'

const nextSchema = s.strictObject({ ...numberOptions, transactionId: s.optional(keyTextSchema) })
const createSchema = s.strictObject({
  ...callOptions,
  ...numberOptions,
  transactionId: keyTextSchema,
  record: s.unknown(),
})
/**
 * How long a caller in a transaction waits for a block, in ms, counted from when it was asked for. The
 * fetch needs a connection, and such callers may have them all.
 */
const PATIENCE_IN_TRANSACTION = 100

interface NumberCall extends Wanted, Patience {
  readonly transactionId: string | undefined
}

/** `$series` on any engine: checks the arguments, and takes numbers. */
export class SeriesFeature implements Feature {
  readonly errorModel
  readonly models
  readonly ownModels
  readonly scope
  readonly map: SeriesMap
  readonly #root: RetryingRoot
  readonly #policy: ResolvedPolicy
  readonly #engine: DocumentEngine
  readonly #maxWaiting: number
  #store: SeriesStore | undefined
  #blocks: BlockAllocator | undefined
  #creator: DocumentCreator | undefined
  #free: FreeNumbers | undefined
  #numbers: NumberMethods | undefined

  constructor(map: SeriesMap, root: RetryingRoot, engine: DocumentEngine, options: SeriesOptions) {
    this.errorModel = map.number.model
    this.scope = map.scope
    this.ownModels = ownTables(map).map(({ model }) => model)
    this.models = [...this.ownModels, ...documentsOf(map)]
    this.map = map
    this.#root = root
    this.#policy = resolvePolicy(DEFAULT_POLICY, options.retry)
    this.#engine = engine
    this.#maxWaiting = options.maxWaiting ?? DEFAULT_MAX_WAITING
  }

  uses(): [] {
    return []
  }

  on(session: Session, scope?: Scope) {
    return {
      next: (name: unknown, options: unknown) => {
        const args = { name, given: snapshot(options, 'options'), scope }
        return (events?: CallEvents) => this.#next(session, args, events)
      },
      create: (name: unknown, options: unknown) => {
        const args = { name, given: argumentsOf(options) ?? {}, scope }
        return (events?: CallEvents) => this.#create(session, args, events)
      },
      gaps: (name: unknown, options: unknown) => {
        const args = { name, given: snapshot(options, 'options'), scope }
        return async () => (await this.#loadNumberMethods()).gaps(session, args)
      },
      peek: (name: unknown, options: unknown) => {
        const args = { name, given: snapshot(options, 'options'), scope }
        return async () => (await this.#loadNumberMethods()).peek(session, args)
      },
      void: (name: unknown, options: unknown) => {
        const args = { name, given: argumentsOf(options) ?? {}, scope }
        return async (events?: CallEvents) => (await this.#loadNumberMethods()).void(session, args, events)
      },
      closePeriod: (name: unknown, options: unknown) => {
        const args = { name, given: argumentsOf(options) ?? {}, scope }
        return async (events?: CallEvents) => (await this.#loadNumberMethods()).closePeriod(session, args, events)
      },
    }
  }

  async #next(session: Session, args: CallArguments, events?: CallEvents): Promise<GivenNumber> {
    const { series, at, signal, ...given } = this.#read(nextSchema, args)
    const transactionId = given.transactionId && this.#transactionId(given.transactionId, series)
    signal?.throwIfAborted()
    const call = { series, at, transactionId, ...patienceOf(this.#policy, { signal }) }
    events?.begin(call.deadline, series.id, transactionId)
    if (session.inTransaction && series.parallel) return this.#inParallel(session, call)
    if (session.inTransaction) {
      return serializeInTransaction(session, call.deadline, async () => {
        const number = series.blocks && (await this.#fromBlock(session, call))
        return number || this.#gapless(session, call)
      })
    }
    if (series.blocks !== undefined) return this.#onRoot(call)
    throw new TransactionRequiredError(
      '$series.next',
      'a gapless number would be used up whatever became of what it is for',
      `allow gaps: series({ series: { ${JSON.stringify(series.name)}: { blocks: 100 } } })`,
    )
  }

  async #create(session: Session, args: CallArguments, events?: CallEvents): Promise<CreatedDocument<Row>> {
    const given = this.#read(createSchema, args)
    const { series } = given
    if (!hasDocument(series)) {
      const message = 'must be mapped to a model, for documents to be created'
      throw new ConfigurationError([{ path: `series.${series.name}.document`, message }])
    }
    const { document } = series
    const id = keyText(this.#transactionId(given.transactionId, series), document.transactionId, 'transactionId')
    const creator = this.#creator ?? (await this.#loadCreator())
    const record = creator.read(given.record, document)
    given.signal?.throwIfAborted()
    const patience = patienceOf(this.#policy, given)
    events?.begin(patience.deadline, series.id, id)
    return creator.create(session, {
      ...patience,
      series,
      transactionId: id,
      at: given.at,
      record,
    })
  }

  /** Loaded by the first call, before its deadline begins: many programs only take numbers. */
  async #loadCreator(): Promise<DocumentCreator> {
    const { DocumentCreator } = await import('./document-creator.js')
    const store = await this.#loadStore()
    const free = this.map.free && (await this.#loadFree())
    const take: CreatorParts['take'] = (tx, call) =>
      free && call.series.parallel ? free.take(tx, call) : store.takeOnce(tx, call, call.transactionId)
    const parts = { map: this.map, root: this.#root, take, engine: this.#engine }
    this.#creator ??= new DocumentCreator(parts, this.#maxWaiting)
    return this.#creator
  }

  /** Loaded by the first call: most programs make none of them. */
  async #loadNumberMethods(): Promise<NumberMethods> {
    const { NumberMethods } = await import('./number-methods.js')
    const read: ReadArguments = (schema, args) => this.#read(schema, args)
    this.#numbers ??= new NumberMethods({ map: this.map, root: this.#root, policy: this.#policy, read })
    return this.#numbers
  }

  async #inParallel(tx: TransactionSession, call: NumberCall): Promise<GivenNumber> {
    const { transactionId } = call
    if (transactionId === undefined) {
      throw new InvalidArgumentError('transactionId', 'must be given: each number of a parallel series has one.')
    }
    const free = this.#free ?? (await this.#loadFree())
    return serializeInTransaction(tx, call.deadline, () => free.take(tx, { ...call, transactionId }))
  }

  async #loadFree(): Promise<FreeNumbers> {
    const { FreeNumbers } = await import('./free-numbers.js')
    const store = await this.#loadStore()
    this.#free ??= new FreeNumbers(this.map, store, this.#root)
    return this.#free
  }

  /** Loaded in the turn of the first call: the calls on a `tx` keep their order. Most series have no blocks. */
  async #loadBlocks(): Promise<BlockAllocator> {
    const { BlockAllocator } = await import('./block-allocator.js')
    const store = await this.#loadStore()
    this.#blocks ??= new BlockAllocator(store, this.#root)
    return this.#blocks
  }

  /** Loaded by the first call, in its turn as well. */
  async #loadStore(): Promise<SeriesStore> {
    const { SeriesStore } = await import('./store.js')
    return (this.#store ??= new SeriesStore(this.map))
  }

  async #gapless(tx: Session, call: NumberCall): Promise<GivenNumber> {
    const { transactionId, deadline } = call
    const store = this.#store ?? (await this.#loadStore())
    // The counter's row is locked by the statement that takes the number.
    return timed(deadline.events, 'row', () =>
      transactionId === undefined ? store.take(tx, call) : store.takeOnce(tx, call, transactionId),
    )
  }

  /** `undefined` if no block can be had soon: then the number is taken in the caller's transaction, like a gapless one. */
  async #fromBlock(tx: Session, call: NumberCall): Promise<GivenNumber | undefined> {
    const { series, transactionId, deadline } = call
    const store = this.#store ?? (await this.#loadStore())
    const known = transactionId !== undefined && (await store.read(tx, series, transactionId))
    if (known) return known
    const blocks = this.#blocks ?? (await this.#loadBlocks())
    const number = await blocks.take(call, deadline, PATIENCE_IN_TRANSACTION)
    if (number === undefined || transactionId === undefined) return number
    return store.record(tx, series, transactionId, number)
  }

  async #onRoot(call: NumberCall): Promise<GivenNumber> {
    const { series, transactionId, policy, deadline } = call
    const root = this.#root.until(deadline)
    const store = this.#store ?? (await this.#loadStore())
    const known = transactionId && (await readAgain(call, () => store.read(root, series, transactionId, deadline)))
    if (known) return known
    // Before the transaction, so that a call that waits for a block holds no connection.
    const blocks = this.#blocks ?? (await this.#loadBlocks())
    const number = await blocks.take(call, deadline)
    if (transactionId === undefined) return number
    return ownStatements(this.#root, { policy, deadline, waitedFor: 'the same transaction id' }, (tx) =>
      store.record(tx, series, transactionId, number),
    )
  }

  /** The arguments of a call, with the series itself. */
  #read<T extends { readonly series: string }>(
    schema: s.Schema<T>,
    args: CallArguments,
  ): Omit<T, 'series'> & { readonly series: Series } {
    const fields = this.map.scope
    const { scope, ...others } = withName(args.name, args.given)
    const isBound = fields.length === 0 || args.scope !== undefined
    const given = checkArguments(schema, isBound && scope !== undefined ? { ...others, scope } : others)
    return { ...given, series: this.#seriesOf(given.series, scopeOfCall(fields, scope, args.scope)) }
  }

  #seriesOf(name: string, scope: Scope): Series {
    const { counter, number, patterns } = this.map
    for (const field of [counter.name, number.series]) keyText(name, field, 'series')
    const found = seriesOf(this.map, name)
    if (patterns.includes(found))
      throw new InvalidArgumentError('series', 'is a pattern: name a series that it is for.')
    return scope.length === 0 ? found : inScope(found, this.map.scope, scope)
  }

  #transactionId(text: string, { scope, name }: Series): string {
    const id = keyText(text, this.map.number.transactionId, 'transactionId')
    checkKeyLength([...scope.map(({ value }) => value), name, id], 'transactionId')
    return id
  }
}

function hasDocument(series: Series): series is DocumentSeries {
  return series.document !== undefined
}

/** The arguments of a call as one object, in which each mistake has a name. */
function withName(series: unknown, options: unknown): Readonly<Record<string, unknown>> {
  if (options === undefined) return { series }
  if (!isRecord(options) || 'series' in options) {
    throw new InvalidArgumentError('options', 'must be an object of options.')
  }
  return { ...options, series }
}

function documentsOf({ series }: SeriesMap) {
  return [...new Set([...series.values()].flatMap(({ document }) => document?.model ?? []))]
}
