import type { Field } from '../engine/data-model.js'
import { isConnectionLost } from '../engine/error-facts.js'
import type { RecordSession } from '../engine/records.js'
import type { Row } from '../engine/session.js'
import type { VersionValue } from '../errors/index.js'
import type { Catalogue, Table } from '../sql/catalogue.js'
import type { ColumnValue } from '../sql/column-value.js'
import { GivenColumns } from '../sql/given-columns.js'
import { returning, toRecord } from '../sql/raw-record.js'
import { keyJson, type RowKey } from '../sql/row-key.js'
import { columnOf, tableOf } from '../sql/sql.js'
import { join, param, raw, type Statement, sql } from '../sql/statement.js'
import { Batcher, type BatcherBounds, type Job, type Task } from '../sync/batcher.js'
import { systemClock } from '../sync/clock.js'
import type { DirectData } from './direct-data.js'
import type { VersionedModel } from './versioned-models.js'

/** A guarded write of one row that can be done together with those of other rows. */
export interface DirectUpdate {
  readonly session: RecordSession
  readonly versioned: VersionedModel
  readonly key: RowKey
  readonly expected: VersionValue
  readonly data: DirectData
  /** The fields of the record to return. */
  readonly selected: readonly Field[]
}

type UpdateJob = Job<DirectUpdate & Task, Row | undefined>

const BOUNDS: BatcherBounds = {
  largestBatch: 200,
  batchesAtOnce: 1,
  gatheringTurns: 1,
  longestWait: 10,
  waitedFor: 'the writes of other rows',
}

/**
 * Sends the guarded writes of one tick, of one model and one form, as a single statement. While one
 * is under way, the writes that come gather, and are the next: so they stay together under load.
 */
export class WriteBatches {
  readonly #batcher: Batcher<DirectUpdate & Task, Row | undefined>

  constructor(catalogue: Catalogue) {
    this.#batcher = new Batcher((batch) => writeTogether(batch, catalogue), BOUNDS, systemClock)
  }

  /**
   * The record as it was written. `undefined` if it was not, and must be tried alone, whatever the
   * reason: nobody else was there, the row is locked or stale, or another row's data was refused.
   * Rejects only if the connection was lost.
   */
  write(update: DirectUpdate): Promise<Row | undefined> {
    return this.#batcher.add(Object.assign(update, { group: formOf(update) }), (record) => record)
  }
}

/** Writes of the same form can be one statement. */
function formOf({ versioned, key, data, selected }: DirectUpdate): string {
  const names = (fields: readonly Field[]) => fields.map(({ name }) => name).join()
  const operations = Array.from(data, ([{ name }, { operation }]) => `${name}:${operation}`).join()
  return [versioned.model.name, names(key.parts.map(({ field }) => field)), operations, names(selected)].join(' ')
}

async function writeTogether(batch: readonly UpdateJob[], catalogue: Catalogue): Promise<void> {
  const [first] = batch
  let records: ReadonlyMap<number, Row> = new Map()
  try {
    if (first && batch.length > 1) {
      const { session, versioned, data } = first.task
      const table = await catalogue.of(versioned.model, session.query)
      const isAlone = [...data.keys()].every(({ column }) => table.columns.get(column)?.isUnkeyed)
      if (isAlone) records = await send(first.task, batch, table)
    }
  } catch (error) {
    if (isConnectionLost(error)) throw error
  }
  batch.forEach((job, i) => void job.resolve(records.get(i + 1)))
}

async function send(
  { session, selected }: DirectUpdate,
  batch: readonly UpdateJob[],
  table: Table,
): Promise<Map<number, Row>> {
  const updates = batch.map(({ task }) => task)
  const rows = await session.rows(updateTogether(updates, table))
  return new Map(rows.map((row) => [Number(row['#']), toRecord(row, selected)]))
}

/**
 * Each row is written if it still has its expected version, and if nobody else has it: a row that
 * is locked is skipped, so that no caller waits for the row of another, and batches that meet do
 * not deadlock. `free` returns a row as it is when it is locked, so what it has let through cannot
 * be stale in the UPDATE (PostgreSQL manual, SELECT, "The Locking Clause").
 */
function updateTogether(updates: readonly DirectUpdate[], table: Table): Statement {
  const [{ versioned, key, data, selected }] = updates as [DirectUpdate]
  const fields = key.parts.map(({ field }) => field)
  const given = GivenColumns.of([...new Set([...fields, versioned.version, ...data.keys()])], table)
  const name = tableOf(versioned.model)
  const version = columnOf(versioned.version)
  const isRow = (other: string) =>
    join(
      [...fields.map(columnOf), version].map((column) => raw(`t.${column} = ${other}.${column}`)),
      ' AND ',
    )
  const assignments = Array.from(data, ([field, { operation }]) => {
    const column = columnOf(field)
    if (operation === 'set') return raw(`${column} = free.${column}`)
    return raw(`${column} = t.${column} ${operation === 'increment' ? '+' : '-'} free.${column}`)
  })
  return sql`WITH free AS MATERIALIZED (
  SELECT v.*
  FROM ${given.numbered(param(JSON.stringify(updates.map(toJson))), 'v', '"#"')}
  JOIN ${name} AS t ON ${isRow('v')}
  FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE ${name} AS t
SET ${join([...assignments, raw(`${version} = t.${version} + 1`)])}
FROM free
WHERE ${isRow('free')}
RETURNING free."#", ${returning(selected, 't')}`
}

function toJson({ versioned, key, expected, data }: DirectUpdate): Record<string, ColumnValue> {
  const json: Record<string, ColumnValue> = { ...keyJson(key), [versioned.version.column]: String(expected) }
  for (const [field, { stored }] of data) json[field.column] = stored
  return json
}
