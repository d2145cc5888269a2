import { ConfigurationError, SeriesOverflowError } from '../errors/index.js'
import type { PrismaClientLike } from '../prisma/client.js'
import type { Unit } from './format.js'
import type { SeriesMap } from './mapping.js'
import type { Series } from './options.js'
import { gapsSql, giveBackSql, lastSql, readSql, recordSql, takeOnceSql, takeSql } from './statements.js'

/** A number as it was given out. */
export interface GivenNumber {
  readonly value: bigint
  /** The number as the series' format writes it, such as `INV-2026-000001`. */
  readonly text: string
  /** The period that it is counted in, such as `2026`; empty for a series that never begins again. */
  readonly period: string
  /** Whether the transaction id had it already. */
  readonly replayed: boolean
}

/** Numbers that were taken, but that no transaction id has: `from` and `to` are the first and the last of them. */
export interface Gap {
  readonly period: string
  readonly from: bigint
  readonly to: bigint
}

/** Numbers taken at one time, all of one period. */
export interface Taken {
  readonly period: string
  readonly first: bigint
  readonly last: bigint
  /** The database's clock, and when the period begins and ends by it: ms since 1970. */
  readonly now: number
  readonly begins: number
  readonly ends: number
  write(value: bigint): string
}

interface TakenRow {
  readonly period: string
  readonly before: string
  readonly after: string
  readonly last: bigint | null
  readonly now: number
  readonly begins: number | null
  readonly ends: number | null
}

interface NumberRow {
  readonly period: string
  readonly value: bigint
  readonly text: string
}

const PATTERNS: Readonly<Record<Unit, string>> = { year: 'YYYY', month: 'YYYY-MM', day: 'YYYY-MM-DD' }
const MOST_TRIES = 3

/** The user's tables of series and numbers. */
export class SeriesStore {
  readonly #map: SeriesMap

  constructor(map: SeriesMap) {
    this.#map = map
  }

  /** @throws SeriesOverflowError */
  async take(tx: PrismaClientLike, series: Series, at: Date | undefined): Promise<GivenNumber> {
    const taken = await this.#take(tx, series, at, 1n)
    if (taken === undefined) throw new SeriesOverflowError(series.name, series.highest)
    return given(taken, taken.last)
  }

  /**
   * The number of the transaction id. Whoever has the same id waits for this transaction, at the
   * counter or at the unique key of the ids: always in that order.
   *
   * @throws SeriesOverflowError
   */
  async takeOnce(
    tx: PrismaClientLike,
    series: Series,
    at: Date | undefined,
    transactionId: string,
  ): Promise<GivenNumber> {
    await this.#map.keys.check(tx)
    const sql = takeOnceSql(this.#map)
    const values = [...valuesOf(series, at, 1n), transactionId, series.format.width]
    for (let attempt = 1; attempt <= MOST_TRIES; attempt++) {
      const [row] = (await tx.$queryRawUnsafe(sql, ...values)) as (NumberRow & { readonly outcome: string })[]
      if (row?.outcome === 'known' || row?.outcome === 'given') return numberOf(row, row.outcome === 'known')
      if (row !== undefined) await tx.$queryRawUnsafe(giveBackSql(this.#map), series.name, row.period)
      // The same id may have been given the number, the last one even, while this one waited.
      const known = await this.read(tx, series, transactionId)
      if (known !== undefined) return known
      if (row === undefined) throw new SeriesOverflowError(series.name, series.highest)
    }
    throw this.#suppressed()
  }

  /** Takes a block of numbers, or what is left of them. @throws SeriesOverflowError */
  async takeBlock(tx: PrismaClientLike, series: Series, at: Date | undefined): Promise<Taken> {
    let size = smaller(series.blocks ?? 1n, series.highest - series.start + 1n)
    for (let attempt = 1; attempt <= MOST_TRIES && size > 0n; attempt++) {
      const taken = await this.#take(tx, series, at, size, (left) => {
        size = smaller(size, left)
      })
      if (taken !== undefined) return taken
    }
    throw new SeriesOverflowError(series.name, series.highest)
  }

  /** The number that the transaction id has already. */
  async read(client: PrismaClientLike, series: Series, transactionId: string): Promise<GivenNumber | undefined> {
    const [row] = (await client.$queryRawUnsafe(readSql(this.#map), series.name, transactionId)) as NumberRow[]
    return row && numberOf(row, true)
  }

  /** Notes a number from a block for the transaction id; resolves to the one that it has if that is another. */
  async record(tx: PrismaClientLike, series: Series, transactionId: string, number: GivenNumber): Promise<GivenNumber> {
    const { period, value, text } = number
    await this.#map.keys.check(tx)
    for (let attempt = 1; attempt <= MOST_TRIES; attempt++) {
      const sql = recordSql(this.#map)
      const rows = (await tx.$queryRawUnsafe(sql, series.name, transactionId, period, value, text)) as unknown[]
      if (rows.length === 1) return number
      const known = await this.read(tx, series, transactionId)
      if (known !== undefined) return known
    }
    throw this.#suppressed()
  }

  async gaps(client: PrismaClientLike, series: Series, period: string | undefined): Promise<Gap[]> {
    const sql = gapsSql(this.#map)
    return (await client.$queryRawUnsafe(sql, series.name, series.start, period ?? null)) as Gap[]
  }

  /** `undefined` if there are not so many: `onShort` is told how many are left. */
  async #take(
    tx: PrismaClientLike,
    series: Series,
    at: Date | undefined,
    size: bigint,
    onShort?: (left: bigint) => void,
  ): Promise<Taken | undefined> {
    await this.#map.keys.check(tx)
    const [row] = (await tx.$queryRawUnsafe(takeSql(this.#map), ...valuesOf(series, at, size))) as [TakenRow]
    const { period, before, after, last, now } = row
    if (last === null) {
      if (onShort) onShort(series.highest - (await this.#last(tx, series, period)))
      return undefined
    }
    return {
      period,
      first: last - size + 1n,
      last,
      now,
      begins: row.begins ?? Number.NEGATIVE_INFINITY,
      ends: row.ends ?? Number.POSITIVE_INFINITY,
      write: (value) => before + String(value).padStart(series.format.width, '0') + after,
    }
  }

  async #last(tx: PrismaClientLike, series: Series, period: string): Promise<bigint> {
    const [row] = (await tx.$queryRawUnsafe(lastSql(this.#map), series.name, period)) as { last: bigint }[]
    return row?.last ?? series.start - 1n
  }

  #suppressed(): ConfigurationError {
    const message = `${this.#map.number.model} does not keep what is inserted: a BEFORE trigger or a policy suppresses it`
    return new ConfigurationError([{ path: 'number.model', message }])
  }
}

/** What a caller is told of a number out of a block. */
export function given(taken: Pick<Taken, 'period' | 'write'>, value: bigint): GivenNumber {
  return { value, text: taken.write(value), period: taken.period, replayed: false }
}

const numberOf = ({ value, text, period }: NumberRow, replayed: boolean): GivenNumber => ({
  value,
  text,
  period,
  replayed,
})

function valuesOf({ name, format, start, highest, timeZone }: Series, at: Date | undefined, size: bigint): unknown[] {
  const { before, after, unit } = format
  const pattern = unit === undefined ? '' : PATTERNS[unit]
  return [name, at?.toISOString() ?? null, timeZone, pattern, before, after, unit ?? null, start, size, highest]
}

const smaller = (a: bigint, b: bigint) => (a < b ? a : b)
