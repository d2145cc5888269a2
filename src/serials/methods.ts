import * as z from 'zod/mini'
import { InvalidArgumentError } from '../errors/index.js'
import { refuseForeign } from '../mapping/foreign.js'
import type { PrismaClientLike } from '../prisma/client.js'
import { callOptions } from '../retry/call-options.js'
import type { RetryPolicy } from '../retry/policy.js'
import type { Catalogue, Table } from '../sql/catalogue.js'
import { checkKeyLength, keyText } from '../sql/key-text.js'
import { RequiredKeys } from '../sql/unique-keys.js'
import { transactionOptions } from '../transactions/method.js'
import { checkArguments, keyTextSchema, wholeNumber } from '../values/validation.js'
import { type Allocation, allocate, countFree } from './allocate.js'
import { readFormat } from './format.js'
import { analyzeAfterImport, type ImportCall, type Imported, importSerials } from './import.js'
import type { SerialsMap } from './mapping.js'
import { release } from './release.js'
import { requestOf } from './request.js'
import { run } from './run.js'
import { type Refusals, readData, readWhere, type Values } from './values.js'

const MOST = 2_147_483_647 // the count is noted in an Int

const numbers = z.array(keyTextSchema, 'must be an array of serial numbers')
const whole = z.union([wholeNumber(), z.bigint()], 'must be a whole number').check(
  z.refine((value) => value >= 0, 'must not be negative'),
  z.refine((value) => value < 2n ** 63n, 'must fit into 64 bits'),
)

const allocateSchema = z.strictObject({
  ...callOptions,
  transactionId: keyTextSchema,
  where: z.optional(z.unknown()),
  data: z.optional(z.unknown()),
  count: wholeNumber().check(z.gte(1, 'must be at least 1'), z.lte(MOST, `must be at most ${MOST}`)),
  partial: z.optional(z.boolean('must be true or false')),
})
const releaseSchema = z.strictObject({ ...callOptions, transactionId: keyTextSchema, numbers: z.optional(numbers) })
const importSchema = z.strictObject({
  ...callOptions,
  timeout: transactionOptions.timeout,
  transactionId: keyTextSchema,
  data: z.optional(z.unknown()),
  range: z.optional(z.strictObject({ from: whole, to: whole, format: keyTextSchema }, 'must be { from, to, format }')),
  numbers: z.optional(numbers.check(z.minLength(1, 'must not be empty'))),
})

/** The methods of this feature, as they are called: they check the arguments. */
export class SerialsMethods {
  readonly #map: SerialsMap
  readonly #catalogue: Catalogue
  readonly #keys: RequiredKeys
  readonly #retry: RetryPolicy | undefined
  /** Fields that `where` and `data` must not name. */
  readonly #owned: Refusals
  readonly #kept: Refusals
  readonly #new: Refusals

  constructor(map: SerialsMap, retry: RetryPolicy | undefined, catalogue: Catalogue) {
    const { transactionId, number, key, version } = map.serial
    const owner = [transactionId.name, 'is written by allocate and release alone.'] as const
    const versions = version ? [[version.name, 'cannot be set: it goes up with every write.'] as const] : []
    this.#map = map
    this.#catalogue = catalogue
    this.#keys = new RequiredKeys(catalogue, [
      { model: map.serial.model, fields: key },
      { model: map.allocation.model, fields: [map.allocation.transactionId] },
    ])
    this.#retry = retry
    this.#owned = new Map([owner])
    this.#new = new Map([...versions, [number.name, 'is given by `numbers` or `range`.'], owner])
    this.#kept = new Map([
      ...versions,
      ...key.map(({ name }) => [name, 'is part of the key of a serial, which stays.'] as const),
      owner,
    ])
  }

  /** `$serials.allocate` */
  async allocate(client: PrismaClientLike, args: unknown): Promise<Allocation> {
    const { model } = this.#map.serial
    const { transactionId, count, partial = false, ...given } = checkArguments(allocateSchema, args)
    const id = this.#transactionId(transactionId)
    const where = readWhere('where', given.where, model, this.#owned)
    const data = readData('data', given.data, model, this.#kept)
    const request = await requestOf('allocate', { count, partial: partial || undefined }, { where, data })
    const call = { transactionId: id, where, data, count, partial, request }
    refuseForeign(client, '$serials.allocate', model, 'updates')
    return run(client, this.#retry, given, async (ways) =>
      allocate(ways, this.#map, { ...call, columns: await this.#readyFor(client) }),
    )
  }

  /** `$serials.release` */
  async release(client: PrismaClientLike, args: unknown): Promise<{ released: number }> {
    const { transactionId, numbers, ...given } = checkArguments(releaseSchema, args)
    const call = { transactionId: this.#transactionId(transactionId), numbers }
    refuseForeign(client, '$serials.release', this.#map.serial.model, 'updates')
    return run(client, this.#retry, given, ({ contained }) =>
      contained(async (tx) => {
        await this.#readyFor(tx)
        return release(tx, this.#map, call)
      }),
    )
  }

  /** `$serials.import` */
  async import(client: PrismaClientLike, args: unknown): Promise<Imported> {
    const { model } = this.#map.serial
    const { transactionId, range, numbers, ...given } = checkArguments(importSchema, args)
    const id = this.#transactionId(transactionId)
    const data = readData('data', given.data, model, this.#new)
    this.#checkComplete(data)
    const { source, count } = sourceOf(range, numbers)
    this.#checkNumbers(source, data)
    const parts =
      'numbers' in source ? { numbers: source.numbers } : { from: range?.from, to: range?.to, format: range?.format }
    const call = { transactionId: id, data, source, count, request: await requestOf('import', parts, { data }) }
    refuseForeign(client, '$serials.import', model, 'creates')
    const result = await run(client, this.#retry, given, ({ contained }) =>
      contained(async (tx) => importSerials(tx, this.#map, { ...call, columns: await this.#readyFor(tx) })),
    )
    await analyzeAfterImport(client, this.#map, result)
    return result
  }

  /** `$serials.free` */
  async free(client: PrismaClientLike, where: unknown): Promise<number> {
    const { model } = this.#map.serial
    const values = readWhere('where', where, model, this.#owned)
    refuseForeign(client, '$serials.free', model, 'reads')
    return countFree(client, this.#map, values, await this.#columns(client))
  }

  /** Before anything is written: without its keys, a duplicate would take serials again. */
  async #readyFor(client: PrismaClientLike): Promise<Table> {
    await this.#keys.check(client)
    return this.#columns(client)
  }

  #columns(client: PrismaClientLike): Promise<Table> {
    return this.#catalogue.of(this.#map.serial.model, (sql, ...values) => client.$queryRawUnsafe(sql, ...values))
  }

  /** Both tables keep it: the noted one, and the one of the serials. */
  #transactionId(id: string): string {
    const { serial, allocation } = this.#map
    return keyText(keyText(id, allocation.transactionId, 'transactionId'), serial.transactionId, 'transactionId')
  }

  #checkComplete({ fields }: Values): void {
    const { model, number } = this.#map.serial
    for (const field of model.fields.values()) {
      const isFilledIn = field.isOptional || field.isList || field.hasDefault || field.isUpdatedAt
      if (field.kind === 'relation' || isFilledIn || field === number || fields.includes(field)) continue
      throw new InvalidArgumentError(`data.${field.name}`, 'is required, and the database has no default for it.')
    }
  }

  /** The longest number stands for all of a range. */
  #checkNumbers(source: ImportCall['source'], { given }: Values): void {
    const { number, key } = this.#map.serial
    const isList = 'numbers' in source
    const path = isList ? 'numbers' : 'range.format'
    const others = key.filter((field) => field !== number).map(({ name }) => given[name])
    for (const text of isList ? source.numbers : [longestOf(source)]) {
      keyText(text, number, path)
      checkKeyLength([text, ...others], path)
    }
  }
}

type GivenRange = NonNullable<z.infer<typeof importSchema>['range']>

function sourceOf(range: GivenRange | undefined, numbers: string[] | undefined): Pick<ImportCall, 'source' | 'count'> {
  if ((range === undefined) === (numbers === undefined)) {
    throw new InvalidArgumentError('range', 'or `numbers` is needed, one of the two.')
  }
  if (numbers) return { source: { numbers: sorted(numbers) }, count: numbers.length }
  const { from, to, format } = range as GivenRange
  const [first, last] = [BigInt(from), BigInt(to)]
  const count = last - first + 1n
  if (count < 1n) throw new InvalidArgumentError('range.to', `is less than \`from\`.`)
  if (count > MOST)
    throw new InvalidArgumentError('range', `has ${count} numbers; at most ${MOST} can be imported at once.`)
  return { source: { from: first, to: last, format: readFormat(format, last) }, count: Number(count) }
}

/** In one order, whichever they came in: it is the order in which the database is to meet them. */
function sorted(numbers: readonly string[]): string[] {
  const result = [...numbers].sort()
  const twice = result.find((number, i) => number === result[i + 1])
  if (twice !== undefined) throw new InvalidArgumentError('numbers', `has ${JSON.stringify(twice)} twice.`)
  return result
}

function longestOf({ to, format }: Exclude<ImportCall['source'], { numbers: readonly string[] }>): string {
  return format.before + String(to).padStart(format.width, '0') + format.after
}
