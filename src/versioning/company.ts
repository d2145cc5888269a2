import type { Field } from '../engine/data-model.js'
import { isConnectionLost } from '../engine/error-facts.js'
import type { Row } from '../engine/session.js'
import { OutcomeUnknownError, type VersionValue } from '../errors/index.js'
import type { Session } from '../prisma/session.js'
import { isUnconstrained, type Table } from '../sql/catalogue.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'
import { GivenColumns } from '../sql/given-columns.js'
import { returning, toRecord } from '../sql/raw-record.js'
import { columnOf, tableOf } from '../sql/sql.js'
import { applied, type DirectData, directData, isMoment } from './direct-data.js'
import type { Answer, Passenger } from './passenger.js'
import type { DirectRow } from './together.js'
import type { Place } from './turns.js'
import type { VersionedModel } from './versioned-models.js'

/** The one who has the turn, and whose write the others join. */
export interface Leader extends DirectRow {
  readonly versioned: VersionedModel
  readonly place: Place<Passenger>
  readonly table: Table
}

/** The row after so many of the functions. */
interface Step {
  readonly record: Row
  readonly written: ReadonlySet<Field>
  /** Columns whose new value was computed from the old one by the database's rules. */
  readonly summed: ReadonlySet<Field>
}

interface Member {
  readonly place: Place<Passenger>
  readonly passenger: Passenger
  readonly verdict: { readonly status: 'updated' | 'unchanged'; readonly step: Step } | { readonly error: unknown }
}

/** The most functions in one write. */
const LARGEST_COMPANY = 200

/**
 * Functions that wait for one row, as one write: each gets the record as the one before leaves it,
 * and the version goes up by one for each. It is exact because the states that are passed over make
 * no difference to anybody: only columns are written that nothing in the database depends on, with
 * values and sums that JavaScript knows exactly. Whatever goes wrong, nothing was written, and
 * everybody goes alone; what a function threw or decided counts only if the write was done, for
 * only then has there been the record on which it did.
 */
export class Company {
  readonly #leader: Leader
  readonly #read: Row
  readonly #first: Step
  readonly #last: Step
  readonly #members: readonly Member[]
  #written: Row | undefined

  /** `undefined` if the leader has to go alone, or nobody is fit to join it. */
  static async gather(
    leader: Leader,
    current: Row,
    data: Readonly<Record<string, unknown>>,
  ): Promise<Company | undefined> {
    const start: Step = { record: current, written: new Set(), summed: new Set() }
    const plain = directData(data, leader.versioned.model)
    const first = plain && next(start, plain, leader)
    if (!first) return undefined
    let last = first
    const members: Member[] = []
    for (const place of leader.place.behind()) {
      const { passenger } = place
      // First come, first served: nobody is taken past one who has to go alone.
      if (!passenger?.isFit || members.length >= LARGEST_COMPANY) break
      const asked = passenger.ask(copyOf(last.record, leader.scalars))
      place.take()
      const answer = await asked
      let verdict: Member['verdict'] | undefined
      try {
        verdict = judge(answer, passenger, last, leader)
      } catch (error) {
        verdict = { error } // its data is wrong, or its `retryOn` threw
      }
      if (!verdict) {
        // What its function has done is worth nothing: it runs again, in its own turn.
        passenger.goAlone()
        place.giveBack()
        passenger.arrive(undefined)
        break
      }
      if ('step' in verdict) last = verdict.step
      members.push({ place, passenger, verdict })
    }
    return members.length === 0 ? undefined : new Company(leader, current, first, last, members)
  }

  private constructor(leader: Leader, read: Row, first: Step, last: Step, members: readonly Member[]) {
    this.#leader = leader
    this.#read = read
    this.#first = first
    this.#last = last
    this.#members = members
  }

  /** The leader's record; `undefined` if nothing was written. Rejects only if the connection was lost. */
  async send(scope: Session): Promise<Row | undefined> {
    try {
      // In a transaction, what fails would end it: there it fails in a savepoint.
      this.#written = await scope.contained((inner) => this.#update(inner))
    } catch (error) {
      this.#written = undefined
      if (isConnectionLost(error)) throw error
    }
    return this.#written && this.#recordAt(this.#first, this.#leader.selected)
  }

  /** The write is done, and committed. */
  arrive(): void {
    for (const { place, passenger, verdict } of this.#members) {
      if ('error' in verdict) passenger.fail(verdict.error)
      else passenger.arrive({ status: verdict.status, record: this.#recordAt(verdict.step, passenger.selected) })
      place.leave()
    }
  }

  /** Nothing was written: they wait on, in their old places. */
  giveBack(): void {
    for (const { place, passenger } of this.#members) {
      place.giveBack()
      passenger.arrive(undefined)
    }
  }

  /** The answer was lost; the leader is about to find out. */
  noteLost(): void {
    for (const { passenger } of this.#members) passenger.noteLost()
  }

  /** The answer was lost, and nobody will find out. */
  strand(cause: unknown): void {
    const reason = cause instanceof OutcomeUnknownError ? cause.cause : cause
    for (const { place, passenger } of this.#members) {
      passenger.fail(new OutcomeUnknownError('the connection was lost before the answer came', { cause: reason }))
      place.leave()
    }
  }

  /**
   * Guarded by the version, and also by the old value of every sum: a writer who does not raise the
   * version must not be overwritten by a sum that does not know of it. A trigger that has changed
   * what was written makes it fail, by the cast of a text to a number.
   */
  async #update(scope: Session): Promise<Row | undefined> {
    const { versioned, key, scalars, table } = this.#leader
    const old = [...this.#last.summed, versioned.version]
    const version = columnOf(versioned.version)
    const written = [...this.#last.written, versioned.version]
    const columns = (alias: string) => written.map((field) => `${alias}.${columnOf(field)}`).join(', ')
    const conditions = [...key.fields.map(columnOf), version].map((column) => `t.${column} = o.${column}`)
    for (const field of this.#last.summed) {
      conditions.push(`t.${columnOf(field)} IS NOT DISTINCT FROM o.${columnOf(field)}`)
    }
    const [row] = await scope.query(
      `UPDATE ${tableOf(versioned.model)} AS t
SET ${written.map((field) => `${columnOf(field)} = n.${columnOf(field)}`).join(', ')}
FROM ${GivenColumns.of([...new Set([...key.fields, ...old])], table).record('$1', 'o')},
  ${GivenColumns.of(written, table).record('$2', 'n')}
WHERE ${conditions.join(' AND ')}
RETURNING ${returning(scalars, 't')},
  CASE WHEN ROW(${columns('t')}) IS DISTINCT FROM ROW(${columns('n')})
    THEN ('not as composed, at version ' || t.${version})::int
  END AS "#"`,
      JSON.stringify({ ...key.json, ...toJson(this.#read, old) }),
      JSON.stringify(toJson(this.#last.record, written)),
    )
    return row && toRecord(row, scalars)
  }

  /** What is not written by any of the functions, or by the clock, is as the database has it. */
  #recordAt(step: Step, selected: readonly Field[]): Row {
    const { version } = this.#leader.versioned
    const isKnown = (field: Field) => (this.#last.written.has(field) && !field.isUpdatedAt) || field === version
    return copy(selected, (field) => (isKnown(field) ? step.record : (this.#written as Row))[field.name])
  }
}

/** What the answer of a function means, on top of those before it. `undefined`: it has to go alone. */
function judge(answer: Answer, passenger: Passenger, last: Step, leader: Leader): Member['verdict'] | undefined {
  if ('isAsync' in answer) return undefined
  if ('error' in answer) return passenger.retriesOn(answer.error) ? undefined : answer
  if (answer.data === undefined) return { status: 'unchanged', step: last }
  const plain = directData(passenger.dataOf(answer.data), leader.versioned.model)
  const step = plain && next(last, plain, leader)
  return step && { status: 'updated', step }
}

/** The row after one more write, if it can be told exactly. */
function next(last: Step, data: DirectData, { versioned, table }: Leader): Step | undefined {
  const { model, version, highest } = versioned
  const before = last.record[version.name] as VersionValue
  if (BigInt(before) >= highest) return undefined
  const values = applied(data, last.record)
  if (!values) return undefined
  const record = { ...last.record, [version.name]: typeof before === 'bigint' ? before + 1n : before + 1 }
  const written = new Set(last.written)
  const summed = new Set(last.summed)
  for (const [field, value] of values) {
    if (!isUnconstrained(field, table) || field.isUpdatedAt) return undefined
    record[field.name] = value
    written.add(field)
    if (data.get(field)?.operation !== 'set') summed.add(field)
  }
  for (const field of model.fields.values()) {
    if (!field.isUpdatedAt) continue
    if (!isUnconstrained(field, table) || !isMoment(field)) return undefined
    record[field.name] = new Date()
    written.add(field)
  }
  return { record, written, summed }
}

function toJson(record: Row, fields: readonly Field[]): Record<string, ColumnValue> {
  const entries = fields.map((field): [string, ColumnValue] => {
    const stored = columnValue(record[field.name], field)
    if (stored === undefined) throw new TypeError(`The value of ${field.name} is for Prisma to write.`)
    return [field.column, stored]
  })
  return Object.fromEntries(entries)
}

/** A record of one's own, that can be changed without changing that of another. */
export function copyOf(record: Row, scalars: readonly Field[]): Row {
  return copy(scalars, ({ name }) => record[name])
}

function copy(fields: readonly Field[], of: (field: Field) => unknown): Row {
  return Object.fromEntries(fields.map((field) => [field.name, copyValue(of(field), field)]))
}

function copyValue(value: unknown, { type }: Field): unknown {
  if (value instanceof Date) return new Date(value)
  if (ArrayBuffer.isView(value) || (type === 'Json' && typeof value === 'object')) return structuredClone(value)
  return value
}
