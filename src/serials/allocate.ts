import { isConnectionLost, isTransactionConflict } from '../engine/error-facts.js'
import { type Row, rowOf, type Session } from '../engine/session.js'
import { InsufficientSerialsError, isConcurrencyError, WriteSuppressedError } from '../errors/index.js'
import type { Table } from '../sql/catalogue.js'
import { returning, toRecord } from '../sql/raw-record.js'
import { refusalOf } from '../sql/refusal.js'
import { columnOf } from '../sql/sql.js'
import { param, raw, sql } from '../sql/statement.js'
import { wholeMilliseconds } from '../transactions/limits.js'
import type { SerialsMap } from './mapping.js'
import { type Request, readRecorded } from './request.js'
import type { Run } from './run.js'
import { idOf, inOrder, matches } from './statements.js'
import { claimAndTake } from './take.js'
import type { Values } from './values.js'

/** A call of `allocate` that has been checked. */
export interface AllocateCall {
  /** The table of the serials. */
  readonly columns: Table
  readonly transactionId: string
  readonly where: Values
  readonly data: Values
  readonly count: number
  readonly partial: boolean
  readonly request: Request
}

export interface Allocation {
  readonly serials: readonly Row[]
  readonly replayed: boolean
}

/** The serials of a transaction id, by a model call: for models whose rows raw SQL gives in another form. */
export type ReadSerials = (session: Session, transactionId: string) => Promise<Row[]>

/** How often it is looked again for serials that became free while it was waited for others. */
const MOST_LOOKS = 5

/** Takes free serials, and reads those that a transaction id has. */
export class Allocator {
  readonly #map: SerialsMap
  readonly #readSerials: ReadSerials

  constructor(map: SerialsMap, readSerials: ReadSerials) {
    this.#map = map
    this.#readSerials = readSerials
  }

  /**
   * Takes those first that nobody else is about to take. Where these are too few, it
   * looks again without its locks: two calls that wait for each other's last ones would
   * otherwise never end, and two that pass over each other's would leave some behind.
   */
  async allocate(run: Run, call: AllocateCall): Promise<Allocation> {
    const isSingle = !run.session.inTransaction && this.#map.serial.readable !== undefined
    const quick = isSingle ? await this.#takeInOneStatement(run, call) : 'look'
    if (typeof quick === 'object') return quick
    for (let look = quick === 'look' ? 0 : 1; ; look++) {
      try {
        return await run.contained((tx) => this.#take(tx, call, look))
      } catch (error) {
        if (!isConcurrencyError(error, 'INSUFFICIENT_SERIALS')) throw error
        const isFinal = !call.partial && error.free < call.count
        if (isFinal || look === MOST_LOOKS) throw error
      }
    }
  }

  /** How many serials are free, those that somebody is about to take included. */
  async countFree(session: Session, where: Values, columns: Table): Promise<number> {
    const { table, transactionId } = this.#map.serial
    const json = param(where.json)
    const { free } = await rowOf<{ free: number }>(
      session,
      sql`SELECT count(*)::float8 AS free
FROM ${table} AS s
WHERE s.${columnOf(transactionId)} IS NULL AND ${json}::json IS NOT NULL${matches(where, columns, json)}`,
    )
    return free
  }

  /**
   * The usual case, on the root: one statement that is its own transaction. It does nothing unless it
   * does all, so whatever keeps it from that is left to the longer way: a conflict, where the database's
   * default is a stricter isolation level; or a lost answer, after which the transaction id tells
   * whether the statement was carried out.
   */
  async #takeInOneStatement(run: Run, call: AllocateCall): Promise<Allocation | 'look' | 'look again'> {
    const { transactionId, count, partial } = call
    const { session, deadline } = run
    try {
      const locking = { skips: true, limit: wholeMilliseconds(deadline) }
      const { claimed, visible, taken } = await claimAndTake(session, this.#map, call, locking)
      if (claimed) return { serials: taken, replayed: false }
      const known = await this.#replay(session, call)
      if (known || visible === count) return known ?? 'look'
      if (!partial) throw new InsufficientSerialsError(transactionId, count, visible)
      return 'look again'
    } catch (error) {
      if (refusalOf(error) !== undefined) return 'look again'
      if (isTransactionConflict(error) || isConnectionLost(error)) return 'look'
      throw error
    }
  }

  /**
   * The first look passes over what others have locked, for they are about to take it, and most likely there
   * is more. The next ones wait for it, so that what they find is all there is.
   *
   * @throws InsufficientSerialsError where it is to be looked again, or where there are too few
   */
  async #take(tx: Session, call: AllocateCall, look: number): Promise<Allocation> {
    const { transactionId, count, partial } = call
    const { serial, allocation } = this.#map
    const { claimed, found, taken } = await claimAndTake(tx, this.#map, call, { skips: look === 0 })
    if (!claimed) {
      const known = await this.#replay(tx, call)
      if (known) return known
      throw new WriteSuppressedError(allocation.model.name, { transactionId })
    }
    if (found < count) await this.#settleFor(tx, call, found, look)
    if (taken.length < (partial ? found : count)) throw new WriteSuppressedError(serial.model.name, {})
    return { serials: serial.readable ? taken : await this.#readSerials(tx, transactionId), replayed: false }
  }

  /**
   * Too few were to be had. To be counted needs no lock: what others are about to take counts as free,
   * as they may roll back, and so does what was released while this one waited. If these would be
   * enough, it is looked again; if even with them there are too few, that is the truth.
   */
  async #settleFor(tx: Session, call: AllocateCall, found: number, look: number): Promise<void> {
    const { transactionId, where, count, partial, columns } = call
    const free = await this.countFree(tx, where, columns) // without those that were taken a moment ago
    const isLast = look === MOST_LOOKS
    if (partial && look > 0 && (free === 0 || isLast)) return this.#noteCount(tx, transactionId, found)
    throw new InsufficientSerialsError(transactionId, count, isLast && free >= count ? found : free)
  }

  async #noteCount(tx: Session, id: string, found: number): Promise<void> {
    const { table, transactionId, count } = this.#map.allocation
    await tx.rows(
      sql`UPDATE ${table} SET ${columnOf(count)} = ${param(found, 'int4')} WHERE ${columnOf(transactionId)} = ${idOf(this.#map, id)}`,
    )
  }

  /** The serials that the transaction id has now: what it took, without what it has given back. */
  async #replay(session: Session, call: AllocateCall): Promise<Allocation | undefined> {
    if (!(await readRecorded(session, this.#map, call))) return undefined
    const { table, transactionId, readable } = this.#map.serial
    if (!readable) return { serials: await this.#readSerials(session, call.transactionId), replayed: true }
    const rows = await session.rows(sql`SELECT ${raw(returning(readable, 's'))}
FROM ${table} AS s
WHERE s.${columnOf(transactionId)} = ${idOf(this.#map, call.transactionId)}
ORDER BY ${inOrder(this.#map)}`)
    return { serials: rows.map((row) => toRecord(row, readable)), replayed: true }
  }
}
