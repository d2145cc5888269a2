import { type Row, rowOf, type Session } from '../engine/session.js'
import {
  InsufficientSerialsError,
  isConcurrencyError,
  SerialsUnavailableError,
  WriteSuppressedError,
} from '../errors/index.js'
import { readAgain } from '../retry/read-again.js'
import type { Table } from '../sql/catalogue.js'
import { columnOf } from '../sql/sql.js'
import { param, sql } from '../sql/statement.js'
import { type Look, lookFor, readTaken } from './look.js'
import type { SerialsMap } from './mapping.js'
import { type Request, readRecorded } from './request.js'
import type { Run } from './run.js'
import { isFree, isOf, matches, type Owner } from './statements.js'
import { type Taken, take } from './take.js'
import { jsonOf, type Values } from './values.js'

/** A call of `allocate` that has been checked. */
export interface AllocateCall extends Owner {
  readonly where: Values
  readonly data: Values
  /** The serials by their numbers; `undefined` is any of `where`. */
  readonly numbers: readonly string[] | undefined
  readonly count: number
  readonly partial: boolean
  readonly request: Request
}

export interface Allocation {
  readonly serials: readonly Row[]
  readonly replayed: boolean
}

/** The serials of a transaction id, by a model call: for models whose rows raw SQL gives in another form. */
export type ReadSerials = (session: Session, owner: Owner) => Promise<Row[]>

/**
 * The table of the serials, once the keys of both tables were found to be there: without them, a duplicate would take
 * serials again.
 *
 * @throws ConfigurationError if one of them is not there
 */
export type ReadyFor = (session: Session) => Promise<Table>

/** How often it is looked again for serials that became free while it was waited for others. */
const MOST_LOOKS = 5

const NOTHING: Taken = { claimed: false, found: 0, taken: [] }

/** The serials that are free, locked or not. */
type Left = Pick<Look, 'free' | 'unavailable'>

/** A look that found too few: how many it took, and what is free besides. */
interface Short extends Left {
  readonly found: number
  readonly look: number
}

/** The refusal of a call for which too few serials are free, or not all that it names. */
export function tooFew({ transactionId, count, numbers }: AllocateCall, { free, unavailable }: Left) {
  if (numbers === undefined) return new InsufficientSerialsError(transactionId, count, free)
  return new SerialsUnavailableError(transactionId, unavailable?.taken ?? numbers, unavailable?.missing ?? [])
}

type TooFew = ReturnType<typeof tooFew>

export function isTooFew(error: unknown): error is TooFew {
  return isConcurrencyError(error, 'INSUFFICIENT_SERIALS') || isConcurrencyError(error, 'SERIALS_UNAVAILABLE')
}

function freeOf(error: TooFew, { count }: AllocateCall): number {
  return 'free' in error ? error.free : count - error.taken.length - error.missing.length
}

/** Takes free serials for a call by itself, and reads those that a transaction id has. */
export class Allocator {
  readonly map: SerialsMap
  readonly #readSerials: ReadSerials

  constructor(
    map: SerialsMap,
    readonly readyFor: ReadyFor,
    readSerials: ReadSerials,
  ) {
    this.map = map
    this.#readSerials = readSerials
  }

  /**
   * Takes those first that nobody else is about to take. Where these are too few, it
   * looks again without its locks: two calls that wait for each other's last ones would
   * otherwise never end, and two that pass over each other's would leave some behind.
   */
  async allocate(run: Run, call: AllocateCall): Promise<Allocation> {
    const { session } = run
    const ready = () => this.readyFor(session)
    const columns = await (session.inTransaction ? ready() : readAgain(run, ready))
    for (let look = 0; ; look++) {
      try {
        return await run.contained((tx) => this.#take(tx, columns, call, look))
      } catch (error) {
        if (!isTooFew(error)) throw error
        const isFinal = !call.partial && freeOf(error, call) < call.count
        if (isFinal || look === MOST_LOOKS) throw error
      }
    }
  }

  /** How many serials are free, those that somebody is about to take included. */
  async countFree(session: Session, where: Values, columns: Table): Promise<number> {
    const { table } = this.map.serial
    const json = param(jsonOf(where))
    const { free } = await rowOf<{ free: number }>(
      session,
      sql`SELECT count(*)::float8 AS free
FROM ${table} AS s
WHERE ${isFree(this.map)} AND ${json}::json IS NOT NULL${matches(where, columns, json)}`,
    )
    return free
  }

  /**
   * The first look passes over what others have locked, for they are about to take it, and most likely there
   * is more; not so where the call names its serials. The next ones wait for it, so that what they find is all there is.
   *
   * @throws InsufficientSerialsError or SerialsUnavailableError where it is to be looked again, or where there are too few
   */
  async #take(tx: Session, columns: Table, call: AllocateCall, look: number): Promise<Allocation> {
    const { transactionId, numbers, count, partial } = call
    const { serial, allocation } = this.map
    const skips = look === 0 && numbers === undefined
    const [{ claimed, found, taken } = NOTHING] = await take(tx, this.map, [call], { columns, skips })
    if (!claimed) {
      if (await readRecorded(tx, this.map, call)) return this.#replay(tx, call)
      throw new WriteSuppressedError(allocation.model.name, { transactionId })
    }
    if (found < count) {
      // without those that were taken a moment ago
      const [left] = numbers ? await lookFor(tx, this.map, columns, [call]) : []
      await this.#settleFor(tx, call, {
        found,
        look,
        ...(left ?? { free: await this.countFree(tx, call.where, columns) }),
      })
    }
    if (taken.length < (partial ? found : count)) throw new WriteSuppressedError(serial.model.name, {})
    return { serials: serial.readable ? taken : await this.#readSerials(tx, call), replayed: false }
  }

  /**
   * Too few were free. The count takes no lock: serials that others are about to take count as free,
   * as they may roll back, and so do serials released while this one waited. If these would be
   * enough, the call looks again; if there are too few even with them, that is final.
   */
  async #settleFor(tx: Session, call: AllocateCall, { found, look, free, unavailable }: Short) {
    const { count, partial } = call
    const isLast = look === MOST_LOOKS
    if (partial && look > 0 && (free === 0 || isLast)) return this.#noteCount(tx, call, found)
    throw tooFew(call, isLast && free >= count ? { free: found } : { free, unavailable })
  }

  async #noteCount(tx: Session, owner: Owner, found: number): Promise<void> {
    const { table, count } = this.map.allocation
    await tx.rows(
      sql`UPDATE ${table} SET ${columnOf(count)} = ${param(found, 'int4')} WHERE ${isOf(this.map, this.map.allocation, owner)}`,
    )
  }

  /** The serials that the transaction id has now: those that it took, without those that it has given back. */
  async #replay(session: Session, owner: Owner): Promise<Allocation> {
    const { readable } = this.map.serial
    if (!readable) return { serials: await this.#readSerials(session, owner), replayed: true }
    const [serials = []] = await readTaken(session, this.map, [owner])
    return { serials, replayed: true }
  }
}
