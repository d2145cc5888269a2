import { rowOf, type Session, type SqlStatement } from '../engine/session.js'
import { ConfigurationError, SeriesOverflowError } from '../errors/index.js'
import { sqlTypeOf, stamps, touches } from '../mapping/columns.js'
import { confirm, readConfirmed } from '../retry/confirm.js'
import { claimOrFind } from '../sql/claim.js'
import { columnOf } from '../sql/sql.js'
import { join, type Parameter, type Piece, param, raw, type Statement, sql } from '../sql/statement.js'
import { type Written, writtenOnce } from '../sql/written.js'
import type { Deadline } from '../sync/deadline.js'
import type { Format } from './format.js'
import type { Series, SeriesMap } from './mapping.js'
import { areEqual, bump, keyOf, labelParts, localMoment, numberText, periodStart, type Wanted } from './statements.js'

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
  /** Why, where it is known: they are void, or free for the next transactions of a parallel series. */
  readonly why?: 'void' | 'free'
  /** The reason for which they are void. */
  readonly reason?: string
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

/** A place that a number of a transaction id comes from. */
export interface NumberSource {
  /** The part of the statement that takes one, unless `known` has a row: `taken` has its period, and its value as `last`. */
  taken(wanted: Wanted, key: readonly Parameter[]): Statement
  /** The statements that take one, by the format of the series: each definition has one of its own. */
  readonly statements: WeakMap<Format, Written>
  giveBack(tx: Session, series: Series, number: NumberPlace): Promise<void>
}

/** A number, by its period and its value. */
export interface NumberPlace {
  readonly period: string
  readonly value: bigint
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

type NumberRow = Omit<GivenNumber, 'replayed'>

export const MOST_TRIES = 3

/** The user's tables of series and numbers. */
export class SeriesStore {
  readonly map: SeriesMap
  /** Those of `take`, by the format of the series. */
  readonly #statements = new WeakMap<Format, Written>()

  constructor(map: SeriesMap) {
    this.map = map
  }

  /** @throws SeriesOverflowError */
  async take(tx: Session, wanted: Wanted): Promise<GivenNumber> {
    await this.map.keys.check(tx)
    const { series } = wanted
    const [key, at] = [keyOf(series), momentOf(wanted)]
    const write = () => sql`WITH ${label(wanted, at)}, ${this.#bumped(series, key, raw('label'))}
SELECT taken.period, taken.last::int8 AS value,
  ${textOf(series)} AS text
FROM taken CROSS JOIN label`
    const [row] = await tx.rows<NumberRow>(writtenOnce(this.#statements, series.format, [...key, at], write))
    if (row === undefined) throw overflow(series)
    return numberOf(row, false)
  }

  /**
   * The number of the transaction id. A call with the same id waits for this transaction, at the
   * counter or at the unique key of the ids: always in that order.
   *
   * @throws SeriesOverflowError
   */
  async takeOnce(tx: Session, wanted: Wanted, transactionId: string): Promise<GivenNumber> {
    const number = await this.takeFrom(this.#counter, tx, wanted, transactionId)
    if (number === undefined) throw overflow(wanted.series)
    return number
  }

  /** The same from any source; `undefined` if that has no number. */
  async takeFrom(
    source: NumberSource,
    tx: Session,
    wanted: Wanted,
    transactionId: string,
  ): Promise<GivenNumber | undefined> {
    const { series } = wanted
    await this.map.keys.check(tx)
    const statement = this.#takeOnce(source, wanted, transactionId)
    for (let attempt = 1; attempt <= MOST_TRIES; attempt++) {
      const [row] = await tx.rows<NumberRow & { readonly outcome: string }>(statement)
      if (row?.outcome === 'known') await confirm(tx)
      if (row?.outcome === 'known' || row?.outcome === 'given') return numberOf(row, row.outcome === 'known')
      if (row !== undefined) await source.giveBack(tx, series, row)
      // The same id may have been given the number, the last one even, while this one waited.
      const known = await this.read(tx, series, transactionId)
      if (known !== undefined || row === undefined) return known
    }
    throw this.#suppressed()
  }

  /** The number that the transaction id has already. */
  async read(
    session: Session,
    series: Series,
    transactionId: string,
    deadline?: Deadline,
  ): Promise<GivenNumber | undefined> {
    const key = keyOf(series)
    const [row] = await readConfirmed(session, {
      deadline,
      read: () => session.rows<NumberRow>(this.#known(key, this.#id(transactionId))),
      isFound: ({ length }) => length > 0,
    })
    return row && numberOf(row, true)
  }

  /** Records a number from a block for the transaction id; resolves to the one that it has if that is another. */
  async record(tx: Session, series: Series, transactionId: string, number: GivenNumber): Promise<GivenNumber> {
    await this.map.keys.check(tx)
    const { table, updatedAt } = this.map.number
    const statement = sql`INSERT INTO ${table} (${this.#columns()})
SELECT ${join(keyOf(series))}, ${this.#id(transactionId)}, ${param(number.period, 'text')}, ${param(number.value, 'int8')}, ${param(number.text, 'text')}${stamps(updatedAt)}
${this.#unlessKnown()}
RETURNING 1 AS recorded`
    const claim = async () => ((await tx.rows(statement)).length === 1 ? number : undefined)
    const settled = await claimOrFind(claim, () => this.read(tx, series, transactionId))
    if (settled) return settled
    throw this.#suppressed()
  }

  /** Takes so many numbers; only their period if there are not so many. The counter's row stays locked. */
  async takeMany(tx: Session, wanted: Wanted, size: bigint): Promise<Taken | Pick<Taken, 'period'>> {
    await this.map.keys.check(tx)
    const key = keyOf(wanted.series)
    const count = param(size, 'int8')
    const row = await rowOf<TakenRow>(
      tx,
      sql`WITH ${label(wanted)}, taken AS (
  ${bump(this.map, wanted.series, key, { size: count, more: count, source: raw('label') })}
)
SELECT label.period, label.before, label.after, taken.last::int8 AS last,
  extract(epoch FROM clock_timestamp())::float8 * 1000 AS now,
  extract(epoch FROM label.begins)::float8 * 1000 AS begins,
  extract(epoch FROM label.ends)::float8 * 1000 AS ends
FROM label LEFT JOIN taken ON true`,
    )
    const { period, before, after, last, now } = row
    if (last === null) return { period }
    return {
      period,
      first: last - size + 1n,
      last,
      now,
      begins: row.begins ?? Number.NEGATIVE_INFINITY,
      ends: row.ends ?? Number.POSITIVE_INFINITY,
      write: (value) => before + String(value).padStart(wanted.series.format.width, '0') + after,
    }
  }

  /**
   * Takes the next number for the transaction id, unless it has one: in one statement, so that the
   * counter's row is held no longer than the rest of the caller's transaction. A number of the same id that
   * was committed meanwhile is not in the snapshot; it is met by the unique key, and the number that was
   * `taken` for nothing is to be given back.
   */
  #takeOnce(source: NumberSource, wanted: Wanted, transactionId: string): SqlStatement {
    const { number } = this.map
    const { series } = wanted
    const [key, id, at] = [keyOf(series), this.#id(transactionId), momentOf(wanted)]
    const write = () => sql`WITH ${label(wanted, at)}, known AS (
  ${this.#known(key, id)}
), ${source.taken(wanted, key)}, given AS (
  INSERT INTO ${number.table} (${this.#columns()})
  SELECT ${join(key)}, ${id}, taken.period, taken.last,
    ${textOf(series)}${stamps(number.updatedAt)}
  FROM taken CROSS JOIN label
  ${this.#unlessKnown()}
  RETURNING ${this.#numberOf()}
)
SELECT 'known' AS outcome, period, value, text FROM known
UNION ALL
SELECT 'given', period, value, text FROM given
UNION ALL
SELECT 'taken for nothing', period, last::int8, NULL FROM taken WHERE NOT EXISTS (SELECT FROM given)`
    return writtenOnce(source.statements, series.format, [...key, id, at], write)
  }

  /** The counter: it is locked from the statement on until the transaction ends. */
  readonly #counter: NumberSource = {
    statements: new WeakMap(),
    taken: ({ series }, key) => this.#bumped(series, key, raw('label WHERE NOT EXISTS (SELECT FROM known)')),
    // The number that this transaction took last: it still holds the row, and nobody has seen it.
    giveBack: async (tx, series, { period }) => {
      const { counter } = this.map
      const last = columnOf(counter.last)
      await tx.rows(sql`UPDATE ${counter.table} AS s SET ${last} = s.${last} - 1${touches(counter, 's')}
WHERE ${isPeriod(this.map, series, period)}`)
    },
  }

  /** One number of the counter. */
  #bumped(series: Series, key: readonly Parameter[], source: Piece): Statement {
    const one = param(1n, 'int8')
    return sql`taken AS (
  ${bump(this.map, series, key, { size: one, more: one, source })}
)`
  }

  #known(key: readonly Parameter[], id: Parameter): Statement {
    const { number } = this.map
    return sql`SELECT ${this.#numberOf()}
  FROM ${number.table}
  WHERE ${areEqual([...number.key, number.transactionId], [...key, id])}`
  }

  #numberOf() {
    const { period, value, text } = this.map.number
    return sql`${columnOf(period)} AS period, ${columnOf(value)}::int8 AS value, ${columnOf(text)} AS text`
  }

  #unlessKnown(): Statement {
    const { key, transactionId } = this.map.number
    return sql`ON CONFLICT (${join([...key, transactionId].map(columnOf))}) DO NOTHING`
  }

  #columns() {
    const { key, transactionId, period, value, text, updatedAt } = this.map.number
    return join([...key, transactionId, period, value, text, ...updatedAt].map(columnOf))
  }

  #id(transactionId: string): Parameter {
    return param(transactionId, sqlTypeOf(this.map.number.transactionId))
  }

  #suppressed(): ConfigurationError {
    const message = `${this.map.number.model.name} does not keep what is inserted: a BEFORE trigger or a policy suppresses it`
    return new ConfigurationError([{ path: 'number.model', message }])
  }
}

function momentOf({ at }: Wanted): Parameter {
  return param(at?.toISOString() ?? null, 'timestamptz')
}

/** The text of a number that was taken. */
function textOf({ format }: Series): Statement {
  const parts = { before: raw('label.before'), value: raw('taken.last'), after: raw('label.after') }
  return numberText(parts, param(format.width, 'int4'))
}

/** The form of the numbers in a moment's period, and when it begins and ends. */
export function label(wanted: Wanted, at = momentOf(wanted)): Statement {
  const { format, timeZone } = wanted.series
  const zone = param(timeZone, 'text')
  const unit = param(format.unit ?? null, 'text')
  const begins = periodStart(unit, format.shift)
  return sql`moment AS (
  -- the transaction's own moment, as in all its CURRENT_TIMESTAMPs
  SELECT ${localMoment(at, zone)}
), label AS (
  SELECT ${labelParts(format)},
    ${begins} AT TIME ZONE ${zone} AS begins,
    (${begins} + ('1 ' || ${unit})::interval) AT TIME ZONE ${zone} AS ends
  FROM moment
)`
}

/** The row of the counter for a period. */
export function isPeriod({ counter: { key, period } }: SeriesMap, { scope, name }: Series, value: string): Statement {
  return areEqual([...key, period], [...scope, param(name), param(value)])
}

/** A number out of a block, as it is given out. */
export function given(taken: Pick<Taken, 'period' | 'write'>, value: bigint): GivenNumber {
  return { value, text: taken.write(value), period: taken.period, replayed: false }
}

function numberOf({ value, text, period }: NumberRow, replayed: boolean): GivenNumber {
  return { value, text, period, replayed }
}

export function overflow({ name, highest }: Series): SeriesOverflowError {
  return new SeriesOverflowError(name, highest)
}
