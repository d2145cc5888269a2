import type { Field } from '../engine/data-model.js'
import { isConnectionLost } from '../engine/error-facts.js'
import type { RecordSession } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import type { OutcomeUnknownError } from '../errors/index.js'
import { AmbiguousOutcome } from '../retry/ambiguous-outcome.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'
import { GivenColumns } from '../sql/given-columns.js'
import { returning, toRecord } from '../sql/raw-record.js'
import { refusal } from '../sql/refusal.js'
import { keyJson } from '../sql/row-key.js'
import { columnOf, tableOf } from '../sql/sql.js'
import { join, param, raw, type Statement, sql } from '../sql/statement.js'
import type { Queue, QueuedJob } from '../sync/batcher.js'
import type { Deadline } from '../sync/deadline.js'
import type { Data } from './arguments.js'
import {
  type ComposableTable,
  type Composed,
  composeUpdates,
  copyOf,
  nextState,
  type RowFunction,
  type RowState,
  startState,
} from './compose.js'
import type { DirectRow } from './direct-rows.js'
import type { Outcome } from './guarded-write.js'

/** A call whose function may be in the write of another call. */
export interface JoiningCall extends RowFunction {
  readonly deadline: Deadline
  /** The fields of the record that it wants back. */
  readonly selected: readonly Field[]
  /** Whether it may be: a call whose function could not be composed has its own turn from then on. */
  canJoin: boolean
}

/** The call whose turn it is, and the calls behind it. */
export interface Leader extends DirectRow, ComposableTable {
  readonly queue: Queue<JoiningCall, Outcome>
}

interface Member {
  readonly job: QueuedJob<JoiningCall, Outcome>
  readonly composed: Composed
}

/** The most functions in one write, besides that of the leader. */
const MOST_MEMBERS = 200

/**
 * The functions of the calls that wait for a row, in the write of the call whose turn it is. If it fails
 * nothing was written, and each call goes alone. A function's error or decision counts only if the
 * write was done, for only then there was the record that the function had read.
 */
export class JointWrite {
  readonly #leader: Leader
  readonly #members: readonly Member[]
  readonly #read: Row
  readonly #first: RowState
  readonly #last: RowState
  readonly #over: Promise<void>
  #end = () => {}
  #isLost = false
  #written: Row | undefined

  /** `undefined` if the leader has to go alone, or no call can join it. */
  static async of(leader: Leader, read: Row, data: Data): Promise<JointWrite | undefined> {
    const { queue } = leader
    const first = nextState(startState(read), data, leader)
    // First come, first served: no call is taken past one that has to go alone.
    const jobs = first ? queue.join(({ canJoin }) => canJoin, MOST_MEMBERS) : []
    if (!first || jobs.length === 0) return undefined
    const functions = jobs.map(({ task }) => task)
    const composed = await composeUpdates(first, functions, leader)
    const [stopped] = functions.slice(composed.length)
    if (stopped) stopped.canJoin = false
    queue.putBack(jobs.slice(composed.length))
    const members = jobs.flatMap((job, i) => (composed[i] ? { job, composed: composed[i] } : []))
    return members.length === 0 ? undefined : new JointWrite(leader, members, read, first)
  }

  private constructor(leader: Leader, members: readonly Member[], read: Row, first: RowState) {
    this.#leader = leader
    this.#members = members
    this.#read = read
    this.#first = first
    this.#last = members.reduce((last, { composed }) => ('state' in composed ? composed.state : last), first)
    this.#over = new Promise((resolve) => {
      this.#end = resolve
    })
  }

  /** Those of the calls of the others. */
  get deadlines(): readonly Deadline[] {
    return this.#members.map(({ job }) => job.task.deadline)
  }

  /** The leader's record; `undefined` if nothing was written. Rejects only if the connection was lost. */
  async send(session: RecordSession): Promise<Row | undefined> {
    const { scalars, selected } = this.#leader
    try {
      const statement = this.#statement()
      // In a transaction, what fails would end it: there it fails in a savepoint.
      const [row] = await session.contained((inner) => inner.rows(statement))
      this.#written = row && toRecord(row, scalars)
    } catch (error) {
      this.#written = undefined
      if (isConnectionLost(error)) throw error
    }
    return this.#written && this.#recordAt(this.#first, this.#written, selected)
  }

  /** The first of the calls that have not been told. */
  get open(): QueuedJob<JoiningCall, Outcome> | undefined {
    return this.#members.find(({ job }) => !job.isOver)?.job
  }

  /** The write is done, and committed. */
  settle(): void {
    const written = this.#written
    this.#end()
    for (const { job, composed } of this.#members) {
      if ('error' in composed) job.reject(composed.error)
      else if (written)
        job.resolve({ status: composed.status, record: this.#recordAt(composed.state, written, job.task.selected) })
    }
  }

  /** Nothing was written: the calls wait on, in their old places. */
  putBack(): void {
    this.#end()
    this.#leader.queue.putBack(this.#members.map(({ job }) => job))
  }

  /**
   * The answer was lost, and the leader is about to find out. Until now the members could not be called off, like
   * any statement under way; now their own deadlines and signals count again.
   */
  lose(): void {
    if (this.#isLost) return
    this.#isLost = true
    for (const { job } of this.#members) {
      job.task.deadline
        .race(this.#over, 'the database')
        .catch((error: unknown) => job.reject(UNKNOWN.error(undefined, error)))
    }
  }

  /** The answer was lost, and nobody can find out. */
  giveUp(reason: OutcomeUnknownError): void {
    this.#end()
    for (const { job } of this.#members) job.reject(UNKNOWN.error(undefined, reason.cause))
  }

  /** Fields that no function has written are as the database has them, and so is the time of the write. */
  #recordAt({ record }: RowState, written: Row, selected: readonly Field[]): Row {
    const { version } = this.#leader.versioned
    const isComputed = (field: Field) => (this.#last.written.has(field) && !field.isUpdatedAt) || field === version
    const computed = selected.filter(isComputed).map(({ name }) => [name, record[name]])
    return copyOf({ ...written, ...Object.fromEntries(computed) }, selected)
  }

  /**
   * Guarded by the version, and also by the old value of every sum: a writer who does not raise the
   * version must not be overwritten by a sum that does not know of it. A trigger that has changed
   * what was written makes it take itself back.
   */
  #statement(): Statement {
    const { versioned, key, scalars, table } = this.#leader
    const { written, summed, record } = this.#last
    const keys = key.parts.map(({ field }) => field)
    const old = [...summed, versioned.version]
    const columns = [...written, versioned.version]
    const version = columnOf(versioned.version)
    const guards = [...keys.map(columnOf), version].map((column) => raw(`t.${column} = o.${column}`))
    for (const column of Array.from(summed, columnOf)) guards.push(raw(`t.${column} IS NOT DISTINCT FROM o.${column}`))
    const list = (alias: string) => join(columns.map((field) => raw(`${alias}.${columnOf(field)}`)))
    const before = param(JSON.stringify({ ...keyJson(key), ...toJson(this.#read, old) }))
    const after = param(JSON.stringify(toJson(record, columns)))
    return sql`UPDATE ${tableOf(versioned.model)} AS t
SET ${join(columns.map((field) => raw(`${columnOf(field)} = n.${columnOf(field)}`)))}
FROM ${GivenColumns.of([...new Set([...keys, ...old])], table).record(before, 'o')},
  ${GivenColumns.of(columns, table).record(after, 'n')}
WHERE ${join(guards, ' AND ')}
RETURNING ${returning(scalars, 't')},
  CASE WHEN ROW(${list('t')}) IS DISTINCT FROM ROW(${list('n')})
    THEN ${refusal('changed:', raw(`t.${version}`))}
  END AS "#"`
  }
}

const UNKNOWN = new AmbiguousOutcome()

function toJson(record: Row, fields: readonly Field[]): Record<string, ColumnValue> {
  const json: Record<string, ColumnValue> = {}
  for (const field of fields) {
    const stored = columnValue(record[field.name], field)
    if (stored === undefined) throw new TypeError(`The value of ${field.name} is for Prisma to write.`)
    json[field.column] = stored
  }
  return json
}
