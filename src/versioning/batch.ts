import type { Field } from '../engine/data-model.js'
import { isConnectionLost } from '../engine/error-facts.js'
import type { Row } from '../engine/session.js'
import type { VersionValue } from '../errors/index.js'
import type { Session } from '../prisma/session.js'
import type { Catalogue, Table } from '../sql/catalogue.js'
import type { ColumnValue } from '../sql/column-value.js'
import { GivenColumns } from '../sql/given-columns.js'
import { returning, toRecord } from '../sql/raw-record.js'
import { columnOf, tableOf } from '../sql/sql.js'
import type { Clock } from '../sync/clock.js'
import type { DirectData } from './direct-data.js'
import type { RowKey } from './together.js'
import type { VersionedModel } from './versioned-models.js'

/** A guarded write of one row that can be done together with those of other rows. */
export interface BatchItem {
  readonly versioned: VersionedModel
  readonly key: RowKey
  readonly expected: VersionValue
  readonly data: DirectData
  /** The fields of the record to return. */
  readonly selected: readonly Field[]
}

interface Entry {
  readonly item: BatchItem
  readonly resolve: (record: Row | undefined) => void
  readonly reject: (error: unknown) => void
}

/** Rows in one statement, so that it stays short. */
const LARGEST_BATCH = 200

/** How long a write waits at most for the statement that is under way, in ms: its connection may hang. */
const LONGEST_WAIT = 10

/**
 * Sends the guarded writes of one tick, of one model and one form, as a single statement. While one
 * is under way, those that come wait for its end, and are the next: so they stay together under
 * load. A write that nobody else is near goes at once, and alone.
 */
export class WriteBatches {
  readonly #lanes = new Map<string, Lane>()
  readonly #catalogue: Catalogue
  readonly #clock: Clock

  constructor(catalogue: Catalogue, clock: Clock) {
    this.#catalogue = catalogue
    this.#clock = clock
  }

  /**
   * The record as it was written. `undefined` if it was not, and must be tried alone, whatever the
   * reason: nobody else was there, the row is locked or stale, or another row's data was refused.
   * Rejects only if the connection was lost.
   */
  write(scope: Session, item: BatchItem): Promise<Row | undefined> {
    const form = formOf(item)
    let lane = this.#lanes.get(form)
    if (lane === undefined) {
      const send = (items: readonly BatchItem[]) => this.#send(scope, items)
      this.#lanes.set(form, (lane = new Lane(send, this.#clock, () => void this.#lanes.delete(form))))
    }
    return lane.add(item)
  }

  async #send(scope: Session, items: readonly BatchItem[]): Promise<ReadonlyMap<number, Row>> {
    const [{ versioned, data }] = items as [BatchItem]
    const table = await this.#catalogue.of(versioned.model, scope.query)
    if (![...data.keys()].every(({ column }) => table.columns.get(column)?.isUnkeyed)) return new Map()
    return writeTogether(scope, items, table)
  }
}

/** The writes of one form, on their way to a statement. */
class Lane {
  readonly #send: (items: readonly BatchItem[]) => Promise<ReadonlyMap<number, Row>>
  readonly #clock: Clock
  readonly #onIdle: () => void
  readonly #waiting: Entry[] = []
  #underWay = 0
  #cancelTimer = () => {}

  constructor(
    send: (items: readonly BatchItem[]) => Promise<ReadonlyMap<number, Row>>,
    clock: Clock,
    onIdle: () => void,
  ) {
    this.#send = send
    this.#clock = clock
    this.#onIdle = onIdle
  }

  add(item: BatchItem): Promise<Row | undefined> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      if (this.#waiting.length > 1) return
      const depart = () => this.#depart()
      // Every write that is ready in this tick is ahead of this in the queue of microtasks.
      if (this.#underWay === 0) queueMicrotask(depart)
      else this.#cancelTimer = this.#clock.timer(LONGEST_WAIT, depart)
    })
  }

  #depart(): void {
    this.#cancelTimer()
    const entries = this.#waiting.splice(0)
    for (let i = 0; i < entries.length; i += LARGEST_BATCH) void this.#settle(entries.slice(i, i + LARGEST_BATCH))
    if (this.#underWay === 0) this.#onIdle()
  }

  async #settle(entries: readonly Entry[]): Promise<void> {
    if (entries.length === 1) {
      entries[0]?.resolve(undefined)
      return
    }
    this.#underWay++
    try {
      const records = await this.#send(entries.map(({ item }) => item))
      entries.forEach(({ resolve }, index) => void resolve(records.get(index + 1)))
    } catch (error) {
      for (const { resolve, reject } of entries) isConnectionLost(error) ? reject(error) : resolve(undefined)
    }
    this.#underWay--
    if (this.#underWay === 0) this.#depart()
  }
}

/** What the items of one statement have in common. */
function formOf({ versioned, key, data, selected }: BatchItem): string {
  const names = (fields: Iterable<Field>) => Array.from(fields, ({ name }) => name).join()
  const operations = Array.from(data.values(), ({ operation }) => operation).join()
  return [versioned.model.name, names(key.fields), names(data.keys()), operations, names(selected)].join(' ')
}

/**
 * Each row is written if it still has its expected version, and if nobody else has it: a row that
 * is locked is skipped, so that no caller waits for the row of another, and batches that meet do
 * not deadlock. `free` returns a row as it is when it is locked, so what it has let through cannot
 * be stale in the UPDATE (PostgreSQL manual, SELECT, "The Locking Clause").
 */
async function writeTogether(
  scope: Session,
  items: readonly BatchItem[],
  catalogued: Table,
): Promise<Map<number, Row>> {
  const [{ versioned, key, data, selected }] = items as [BatchItem]
  const given = GivenColumns.of([...new Set([...key.fields, versioned.version, ...data.keys()])], catalogued)
  const table = tableOf(versioned.model)
  const version = columnOf(versioned.version)
  const isRow = (other: string) =>
    [...key.fields.map(columnOf), version].map((column) => `t.${column} = ${other}.${column}`).join(' AND ')
  const assignments = Array.from(data, ([field, { operation }]) => {
    const column = columnOf(field)
    if (operation === 'set') return `${column} = free.${column}`
    return `${column} = t.${column} ${operation === 'increment' ? '+' : '-'} free.${column}`
  })
  const rows = await scope.query(
    `WITH free AS MATERIALIZED (
  SELECT v.*
  FROM ${given.numbered('$1', 'v', '"#"')}
  JOIN ${table} AS t ON ${isRow('v')}
  FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE ${table} AS t
SET ${[...assignments, `${version} = t.${version} + 1`].join(', ')}
FROM free
WHERE ${isRow('free')}
RETURNING free."#", ${returning(selected, 't')}`,
    JSON.stringify(items.map(toJson)),
  )
  return new Map(rows.map((row) => [Number(row['#']), toRecord(row, selected)]))
}

function toJson({ versioned, key, expected, data }: BatchItem): Record<string, ColumnValue> {
  const json: Record<string, ColumnValue> = { ...key.json, [versioned.version.column]: String(expected) }
  for (const [field, { stored }] of data) json[field.column] = stored
  return json
}
