import type { Session } from '../engine/session.js'
import { touches } from '../mapping/columns.js'
import { patienceOf } from '../retry/call-options.js'
import { DEFAULT_POLICY } from '../retry/policy.js'
import { columnOf } from '../sql/sql.js'
import { join, type Parameter, param, raw, type Statement, sql } from '../sql/statement.js'
import { type Clock, systemClock } from '../sync/clock.js'
import { Deadline } from '../sync/deadline.js'
import { SingleFlight } from '../sync/single-flight.js'
import type { RetryingRoot } from '../transactions/method.js'
import { ownStatements } from '../transactions/own-statements.js'
import { momentOf } from './block-allocator.js'
import type { Series, SeriesMap } from './mapping.js'
import { areEqual, bump, keyOf, type Wanted } from './statements.js'
import { type GivenNumber, label, type NumberPlace, type NumberSource, type SeriesStore } from './store.js'

/** A call for a number of a transaction id. */
export interface OwnedCall extends Wanted {
  readonly transactionId: string
  readonly deadline: Deadline
}

/** How many numbers are opened at a time: as many are left over at the end of a period, at most. */
const BLOCK = 20n
/** How often a call has a block opened, before it opens one itself. */
const MOST_OPENINGS = 5
/** How long a caller waits for one, in ms: it needs a connection, and such callers may have them all. */
const PATIENCE = 100
const WAITED_FOR = 'free numbers of the series'

/**
 * The numbers of series with `parallel`. Each number up to the counter's last one is in one of three tables: it has a
 * transaction id, or is void, or is free. A transaction takes the lowest free number that no other has locked; a rollback
 * gives it back. Only transactions of our own, which wait for nobody, lock the counter to open more.
 *
 * Where that does not help, the caller's own transaction does the same, and keeps the counter locked to its end: at
 * REPEATABLE READ, since the snapshot is older than the block, and where all connections are in use.
 */
export class FreeNumbers implements NumberSource {
  readonly #map: SeriesMap
  readonly #free: NonNullable<SeriesMap['free']>
  readonly #store: SeriesStore
  readonly #root: RetryingRoot
  readonly #clock: Clock
  readonly #openings: SingleFlight<void>
  readonly statements: NumberSource['statements'] = new WeakMap()

  constructor(map: SeriesMap, store: SeriesStore, root: RetryingRoot, clock: Clock = systemClock) {
    if (map.free === undefined) throw new Error('There are free numbers in parallel series alone.')
    this.#map = map
    this.#free = map.free
    this.#store = store
    this.#root = root
    this.#clock = clock
    this.#openings = new SingleFlight(clock)
  }

  /** @throws SeriesOverflowError */
  async take(tx: Session, call: OwnedCall): Promise<GivenNumber> {
    for (let opened = 0; ; opened++) {
      const number = await this.#store.takeFrom(this, tx, call, call.transactionId)
      if (number) return number
      if (opened === MOST_OPENINGS || !(await this.#open(call))) break
    }
    await this.#openIn(tx, call)
    const number = await this.#store.takeFrom(this, tx, call, call.transactionId)
    return number ?? this.#store.takeOnce(tx, call, call.transactionId)
  }

  /** The lowest that is not locked: one that another transaction has taken is passed over, not waited for. */
  taken(_: Wanted, key: readonly Parameter[]): Statement {
    const { table, period, value } = this.#free
    const isOwn = areEqual(this.#free.key, key, 'f.')
    return sql`lowest AS MATERIALIZED (
  SELECT f.${columnOf(period)} AS period, f.${columnOf(value)} AS value
  FROM ${table} AS f
  WHERE ${isOwn} AND f.${columnOf(period)} = (SELECT period FROM label) AND NOT EXISTS (SELECT FROM known)
  ORDER BY f.${columnOf(value)}
  LIMIT 1
  FOR UPDATE SKIP LOCKED
), taken AS (
  DELETE FROM ${table} AS f
  USING lowest
  WHERE ${isOwn} AND f.${columnOf(period)} = lowest.period AND f.${columnOf(value)} = lowest.value
  RETURNING lowest.period, lowest.value AS last
)`
  }

  async giveBack(tx: Session, series: Series, number: NumberPlace): Promise<void> {
    await tx.rows(sql`INSERT INTO ${this.#free.table} (${this.#columns()})
VALUES (${join([...keyOf(series), param(number.period, 'text'), param(number.value, 'int8')])})`)
  }

  /** Whether the call is to look again. Calls of this process share what is under way. */
  async #open(call: OwnedCall): Promise<boolean> {
    const { deadline, series, at } = call
    const opening = this.#openings.join(JSON.stringify([series.id, momentOf(series, at)]), () => this.#openBlock(call))
    const left = Math.min(opening.startedAt + PATIENCE - this.#clock.now(), deadline.left())
    try {
      await new Deadline(left, deadline.signal, this.#clock, deadline.duration).race(opening.done, WAITED_FOR)
      return true
    } catch (error) {
      // Any other fault will show at the counter.
      if (deadline.signal?.aborted) throw error
      return false
    }
  }

  #openBlock(call: OwnedCall): Promise<void> {
    const { policy, deadline } = patienceOf(DEFAULT_POLICY, {})
    deadline.events = call.deadline.events
    return ownStatements(this.#root, { policy, deadline, waitedFor: WAITED_FOR }, (tx) => this.#openIn(tx, call))
  }

  async #openIn(tx: Session, wanted: Wanted): Promise<void> {
    await this.#map.keys.check(tx)
    const counter = await this.#lockCounter(tx, wanted)
    if (counter) await this.#addBlock(tx, wanted.series, counter)
  }

  /** From now on this transaction alone opens numbers of the period. */
  async #lockCounter(tx: Session, wanted: Wanted): Promise<NumberPlace | undefined> {
    const { series } = wanted
    const none = param(0n, 'int8')
    const [counter] = await tx.rows<NumberPlace>(sql`WITH ${label(wanted)}, counter AS (
  ${bump(this.#map, series, keyOf(series), { size: none, more: none, source: raw('label') })}
)
SELECT period, last::int8 AS value FROM counter`)
    return counter
  }

  /** Unless there are free numbers again: the look is a statement of its own, so that it sees those of the one before. */
  async #addBlock(tx: Session, series: Series, { period, value: last }: NumberPlace): Promise<void> {
    const { counter } = this.#map
    const left = series.highest - last
    const size = left < BLOCK ? left : BLOCK
    if (size <= 0n) return
    const own = [...keyOf(series), param(period, 'text')]
    const free = this.#free
    await tx.rows(sql`WITH look AS MATERIALIZED (
  SELECT 1
  FROM ${free.table} AS f
  WHERE ${areEqual([...free.key, free.period], own, 'f.')}
  ORDER BY f.${columnOf(free.value)}
  LIMIT 1
  FOR UPDATE SKIP LOCKED
), opened AS (
  UPDATE ${counter.table} AS c SET ${columnOf(counter.last)} = ${param(last + size, 'int8')}${touches(counter, 'c')}
  WHERE ${areEqual([...counter.key, counter.period], own, 'c.')} AND NOT EXISTS (SELECT FROM look)
  RETURNING 1
)
INSERT INTO ${free.table} (${this.#columns()})
SELECT ${join(own)}, value
FROM opened, generate_series(${param(last + 1n, 'int8')}, ${param(last + size, 'int8')}) AS value`)
  }

  #columns() {
    const { key, period, value } = this.#free
    return join([...key, period, value].map(columnOf))
  }
}
