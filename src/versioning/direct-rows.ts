import type { Field } from '../engine/data-model.js'
import { isConnectionLost } from '../engine/error-facts.js'
import type { RecordSession } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import type { VersionValue } from '../errors/index.js'
import type { Catalogue, Table } from '../sql/catalogue.js'
import { toRecord } from '../sql/raw-record.js'
import type { RowKey } from '../sql/row-key.js'
import { type Statement, textOnce } from '../sql/statement.js'
import { Batcher, type BatcherBounds, type Job, type Task } from '../sync/batcher.js'
import { systemClock } from '../sync/clock.js'
import { type Deadline, soonest } from '../sync/deadline.js'
import type { DirectData } from './direct-data.js'
import { readRow, readRows, updateRow, updateRows } from './row-statements.js'
import type { VersionedModel } from './versioned-models.js'

/** A row, and what is wanted of it, that a statement of our own finds and returns exactly as Prisma would. */
export interface DirectRow {
  readonly versioned: VersionedModel
  readonly key: RowKey
  /** Every scalar of the model. */
  readonly scalars: readonly Field[]
  /** The fields of the record that the caller wants back. */
  readonly selected: readonly Field[]
  /** In a transaction: whether to lock the row before it is read. */
  readonly isLocking?: boolean
}

/** A guarded write of one row. */
export interface DirectUpdate extends DirectRow {
  readonly expected: VersionValue
  readonly data: DirectData
}

/** How calls of one kind are sent: one by itself, and several of one form together. */
interface Kind<C> {
  /** Calls of one form have the same statement, but for its values. */
  readonly form: (call: C) => string
  readonly alone: (call: C) => Statement
  /** The values of that statement. */
  readonly values: (call: C) => readonly unknown[]
  readonly fields: (call: C) => readonly Field[]
  /** Of the form that `one` of them has. Gives each row that it finds the number of its call, from 1 on, as `#`. */
  readonly together: (calls: readonly C[], one: C, table: Table) => Statement
  /** Whether calls of its form can go together. */
  readonly canJoin: (call: C, table: Table) => boolean
}

const READ: Kind<DirectRow> = {
  form: formOfKey,
  alone: readRow,
  values: ({ key }) => key.parts.map(({ value }) => value),
  fields: ({ scalars }) => scalars,
  together: readRows,
  canJoin: () => true,
}

const UPDATE: Kind<DirectUpdate> = {
  form(update) {
    let form = formOfKey(update)
    for (const [{ name }, { operation }] of update.data) form += ` ${operation} ${name}`
    for (const { name } of update.selected) form += `,${name}`
    return form
  },
  alone: updateRow,
  values(update) {
    const values: unknown[] = []
    for (const { stored } of update.data.values()) values.push(stored)
    for (const { value } of update.key.parts) values.push(value)
    values.push(String(update.expected))
    return values
  },
  fields: ({ selected }) => selected,
  together: updateRows,
  // No other row of any table decides, so that no call waits for an unrelated one, or fails with it.
  canJoin: ({ data }, table) => [...data.keys()].every(({ column }) => table.columns.get(column)?.isUnkeyed),
}

function formOfKey({ versioned, key, isLocking }: DirectRow): string {
  let form = isLocking ? `${versioned.model.name}!` : versioned.model.name
  for (const { field } of key.parts) form += ` ${field.name}`
  return form
}

const BOUNDS: BatcherBounds = {
  largestBatch: 200,
  batchesAtOnce: 1,
  gatheringTurns: 1,
  longestWait: 10,
  waitedFor: 'the writes of other rows',
}

/**
 * Reads and writes single rows by statements of our own. Those of one tick, of one model and one form, are a
 * single statement. While several are under way, those that come gather, and are the next.
 */
export class DirectRows {
  readonly #reads: RowCalls<DirectRow>
  readonly #updates: RowCalls<DirectUpdate>

  constructor(catalogue: Catalogue) {
    this.#reads = new RowCalls(READ, catalogue)
    this.#updates = new RowCalls(UPDATE, catalogue)
  }

  /** The record with all of its scalars. `undefined` if it is not there. */
  read(session: RecordSession, row: DirectRow, deadline: Deadline): Promise<Row | undefined> {
    return this.#reads.send(session, row, deadline)
  }

  /** The record as it is now written. `undefined` if it was not there at the expected version. */
  update(session: RecordSession, update: DirectUpdate, deadline: Deadline): Promise<Row | undefined> {
    return this.#updates.send(session, update, deadline)
  }
}

interface RowTask<C> extends Task {
  readonly session: RecordSession
  readonly call: C
  readonly deadline: Deadline
  readonly group: string
}

type RowJob<C> = Job<RowTask<C>, Row | undefined>

class RowCalls<C extends DirectRow> {
  readonly #kind: Kind<C>
  readonly #catalogue: Catalogue
  readonly #batcher: Batcher<RowTask<C>, Row | undefined>
  /** By the form: to write them anew takes 17 µs per statement, of 65 to 80 that a call costs the client. */
  readonly #texts = new Map<string, string>()

  constructor(kind: Kind<C>, catalogue: Catalogue) {
    this.#kind = kind
    this.#catalogue = catalogue
    this.#batcher = new Batcher((batch, release) => this.#run(batch, release), BOUNDS, systemClock)
  }

  send(session: RecordSession, call: C, deadline: Deadline): Promise<Row | undefined> {
    const task = { session, call, deadline, group: this.#kind.form(call) }
    // A transaction is one connection, on which nothing is gained.
    return session.inTransaction ? this.#alone(task) : this.#batcher.add(task, (record) => record)
  }

  /** A row that was not found together goes alone, and waits there if it is locked. */
  async #run(batch: readonly RowJob<C>[], release: (settled: readonly RowJob<C>[]) => void): Promise<void> {
    const records = batch.length > 1 ? await this.#together(batch) : []
    // A row that somebody holds must not hold up the others.
    release([])
    await Promise.all(batch.map((job, i) => (records[i] ? job.resolve(records[i]) : this.#settle(job))))
  }

  async #settle(job: RowJob<C>): Promise<void> {
    try {
      job.resolve(await this.#alone(job.task))
    } catch (error) {
      job.reject(error)
    }
  }

  /** The records by the order of their jobs; none if a row's data was refused. Rejects only if the connection was lost. */
  async #together(batch: readonly RowJob<C>[]): Promise<Row[]> {
    const { together, fields, canJoin } = this.#kind
    const records: Row[] = []
    const next = soonest(batch.map(({ task }) => task))
    if (!next) return records
    const { session, call } = next
    try {
      const table = await this.#catalogue.of(call.versioned.model, session)
      if (!canJoin(call, table)) return []
      const calls = batch.map(({ task }) => task.call)
      for (const row of await session.rows(together(calls, call, table))) {
        records[Number(row['#']) - 1] = toRecord(row, fields(call))
      }
    } catch (error) {
      if (isConnectionLost(error)) throw error
    }
    return records
  }

  async #alone({ session, call, group }: RowTask<C>): Promise<Row | undefined> {
    const { alone, values, fields } = this.#kind
    const text = textOnce(this.#texts, group, () => alone(call))
    const [row] = await session.rows({ text, values: values(call) })
    return row && toRecord(row, fields(call))
  }
}
