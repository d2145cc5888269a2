import * as z from 'zod/mini'
import { InvalidArgumentError, TransactionRequiredError } from '../errors/index.js'
import type { ConcurrencyClient } from '../mapping/client.js'
import { serializeInTransaction } from '../mapping/client.js'
import { isTransactionClient, type PrismaClientLike } from '../prisma/client.js'
import { callOptions, patienceOf } from '../retry/call-options.js'
import { DEFAULT_POLICY } from '../retry/policy.js'
import { keyText } from '../sql/key-text.js'
import { isStorableText, NOT_STORABLE } from '../values/text.js'
import { checkArguments, isRecord, keyTextSchema } from '../values/validation.js'
import { BlockAllocator } from './block-allocator.js'
import type { SeriesMap } from './mapping.js'
import { type Series, settled } from './options.js'
import { type Gap, type GivenNumber, SeriesStore } from './store.js'

const nextSchema = z.strictObject({
  series: keyTextSchema,
  transactionId: z.optional(keyTextSchema),
  at: z.optional(
    z
      .date('must be a Date')
      .check(
        z.gte(new Date('0001-01-02'), 'must be after the year 1'),
        z.lte(new Date('9999-12-30'), 'must be before the year 10000'),
      ),
  ),
  signal: callOptions.signal,
})
const gapsSchema = z.strictObject({
  series: keyTextSchema,
  // The period of a series that never begins again is empty.
  period: z.optional(z.string('must be a string').check(z.refine(isStorableText, NOT_STORABLE))),
})

/**
 * How long a caller in a transaction waits for a block, in ms, counted from when it was asked for. The
 * fetch needs a connection, and it may be such callers who have them all.
 */
const PATIENCE_IN_TRANSACTION = 100

/** The methods of this feature, as they are called: they check the arguments. */
export class SeriesMethods {
  readonly #map: SeriesMap
  readonly #root: ConcurrencyClient
  readonly #store: SeriesStore
  readonly #blocks: BlockAllocator

  constructor(map: SeriesMap, root: ConcurrencyClient) {
    this.#map = map
    this.#root = root
    this.#store = new SeriesStore(map)
    this.#blocks = new BlockAllocator(this.#store, root)
  }

  /** `$series.next` */
  async next(client: PrismaClientLike, name: unknown, options: unknown): Promise<GivenNumber> {
    const call = checkArguments(nextSchema, withName(name, options))
    const { at, signal } = call
    const transactionId = this.#transactionId(call.transactionId)
    signal?.throwIfAborted()
    const series = this.#seriesOf(call.series)
    if (isTransactionClient(client)) {
      const { deadline } = patienceOf(DEFAULT_POLICY, { signal })
      return serializeInTransaction(client, deadline, async () => {
        const number = series.blocks && (await this.#fromBlock(client, series, at, transactionId, signal))
        return number || this.#gapless(client, series, at, transactionId)
      })
    }
    if (series.blocks === undefined) {
      throw new TransactionRequiredError(
        '$series.next',
        'a gapless number would be used up whatever became of what it is for',
        `allow gaps: series({ series: { ${JSON.stringify(series.name)}: { blocks: 100 } } })`,
      )
    }
    return this.#onRoot(series, at, transactionId, signal)
  }

  /** `$series.gaps` */
  async gaps(client: PrismaClientLike, name: unknown, options: unknown): Promise<Gap[]> {
    const call = checkArguments(gapsSchema, withName(name, options))
    return this.#store.gaps(client, this.#seriesOf(call.series), call.period)
  }

  #gapless(tx: PrismaClientLike, series: Series, at: Date | undefined, transactionId: string | undefined) {
    return transactionId === undefined
      ? this.#store.take(tx, series, at)
      : this.#store.takeOnce(tx, series, at, transactionId)
  }

  /** `undefined` if no block can be had soon: then the number is taken in the caller's transaction, like a gapless one. */
  async #fromBlock(
    tx: PrismaClientLike,
    series: Series,
    at: Date | undefined,
    transactionId: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<GivenNumber | undefined> {
    const known = transactionId !== undefined && (await this.#store.read(tx, series, transactionId))
    if (known) return known
    const number = await this.#blocks.take(series, at, { signal, patience: PATIENCE_IN_TRANSACTION })
    if (number === undefined || transactionId === undefined) return number
    return this.#store.record(tx, series, transactionId, number)
  }

  async #onRoot(
    series: Series,
    at: Date | undefined,
    transactionId: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<GivenNumber> {
    const known = transactionId !== undefined && (await this.#store.read(this.#root, series, transactionId))
    if (known) return known
    // Before the transaction, so that no connection is held by callers who wait for a block.
    const number = (await this.#blocks.take(series, at, { signal })) as GivenNumber // its patience has no end
    if (transactionId === undefined) return number
    return this.#root.$transactionWithRetry((tx) => this.#store.record(tx, series, transactionId, number), {
      isolationLevel: 'ReadCommitted',
      signal,
    })
  }

  #seriesOf(name: string): Series {
    const { counter, number, series, largest } = this.#map
    for (const field of [counter.name, number.series]) keyText(name, field, 'series')
    return series.get(name) ?? settled(name, {}, largest)
  }

  #transactionId(id: string | undefined): string | undefined {
    return id === undefined ? undefined : keyText(id, this.#map.number.transactionId, 'transactionId')
  }
}

/** The arguments of a call as one object, in which each mistake has a name. */
function withName(series: unknown, options: unknown): object {
  if (options === undefined) return { series }
  if (!isRecord(options) || 'series' in options) {
    throw new InvalidArgumentError('options', 'must be an object of options.')
  }
  return { ...options, series }
}
