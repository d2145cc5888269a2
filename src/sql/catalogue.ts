import type { Field, Model } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'

/** A column, as the database has it. */
export interface Column {
  /**
   * The type to cast a value to: `integer`, `text[]`, `"sales"."Status"`. A domain is given as its
   * base type, and a type of the user's with its schema. Lengths and scales are left out: a cast to
   * `varchar(5)` would cut a text off, while the assignment to the column refuses it.
   */
  readonly type: string
  /** The same with lengths and scales, which change a value, such as `timestamp(0) without time zone`. */
  readonly exactType: string
  /** Whether it refuses NULL, by itself or by its domain. */
  readonly isRequired: boolean
  /** Whether the database computes it, so that it cannot be written. */
  readonly isGenerated: boolean
  /** Whether an INSERT that leaves it out leaves it NULL: it has no default, and the table no trigger that may fill it in. */
  readonly staysNull: boolean
  /** No other row of any table decides what may be written here: no foreign key, unique key or trigger. */
  readonly isUnkeyed: boolean
  /** Besides, nothing sees each single state of it: no check, policy, rule or generated column. */
  readonly isUnconstrained: boolean
}

/** The columns, in the order of the index, of which no two rows have the same values. */
export interface UniqueKey {
  readonly columns: readonly string[]
  readonly isPrimary: boolean
}

/** A unique index that does not keep every two rows apart at every moment. */
export interface UnfitIndex {
  readonly name: string
  /** Its columns; an expression is `null`. */
  readonly columns: readonly (string | null)[]
  readonly reason: 'partial' | 'deferrable' | 'invalid' | 'expression'
}

/** The facts of the catalogue about the table of a model. */
export interface Table {
  /** By the columns' names. */
  readonly columns: ReadonlyMap<string, Column>
  /** A view of one table has those of the table. That of a partitioned table holds over all of its partitions. */
  readonly uniqueKeys: readonly UniqueKey[]
  readonly unfitIndexes: readonly UnfitIndex[]
  /** Whether these are all the indexes. Of a foreign table, or a view of several tables, nothing is known. */
  readonly hasIndexes: boolean
  /** The column by which Citus distributes it, if it is on shards. */
  readonly shardedBy?: string | undefined
}

/**
 * The tables of the models, asked of the database once for each: migrations are expected to be
 * applied before a program starts. A missing table is asked for again.
 */
export class Catalogue {
  readonly #tables = new Map<string, Table>()

  /** The table, if it has been asked for already. */
  known(model: Model): Table | undefined {
    return this.#tables.get(model.name)
  }

  /**
   * One statement, and on Citus another one, which fail in no state of the database, so that they can be sent in a
   * transaction of the caller's. Two first calls at once may both send it.
   *
   * @throws ConfigurationError if the table is not there
   */
  async of(model: Model, session: Pick<Session, 'rows'>): Promise<Table> {
    const known = this.#tables.get(model.name)
    if (known) return known
    await this.load([model], session)
    return this.#tables.get(model.name) as Table
  }

  /** The same for several tables at once, of which nothing is known yet or it is to be asked again. */
  async load(models: readonly Model[], session: Pick<Session, 'rows'>): Promise<void> {
    const [schemas, names] = [models.map(({ schema }) => schema), models.map(({ table }) => table)]
    const { TABLES_SQL } = await import('./tables-sql.js')
    const found = await session.rows<TableRow>({ text: TABLES_SQL, values: [schemas, names] })
    const rows = new Map(found.map((row) => [row.position, row]))
    const shards = found[0]?.isCitus ? await (await import('./shards.js')).readShards(models, session) : undefined
    models.forEach((model, index) => {
      const row = rows.get(index + 1)
      if (row) this.#tables.set(model.name, readTable(row, shards?.get(model.name)))
      else this.#tables.delete(model.name)
    })
    const missing = models.filter((_, index) => !rows.has(index + 1))
    if (missing.length > 0) throw (await import('./missing-key.js')).missingTables(missing)
  }
}

/** Whether only the last of several states of the field's column matters. Prisma reads no NULL that its schema forgets. */
export function isUnconstrained(field: Field, { columns }: Table): boolean {
  const column = columns.get(field.column)
  return column?.isUnconstrained === true && !(column.isRequired && field.isOptional)
}

interface TableRow {
  readonly position: number
  /** Whether the database has Citus. */
  readonly isCitus: boolean
  readonly hasIndexes: boolean
  readonly columns: readonly (Column & { readonly name: string })[]
  readonly indexes: readonly (UnfitIndex & {
    readonly isPrimary: boolean
    readonly reason: UnfitIndex['reason'] | null
  })[]
}

function readTable({ columns, indexes, hasIndexes }: TableRow, shardedBy: string | undefined): Table {
  return {
    columns: new Map(columns.map(({ name, ...column }) => [name, column])),
    uniqueKeys: indexes
      .filter(({ reason }) => reason === null)
      .map(({ columns, isPrimary }) => ({ columns: columns as string[], isPrimary })),
    unfitIndexes: indexes
      .filter(({ reason }) => reason !== null)
      .map(({ name, columns, reason }) => ({ name, columns, reason })),
    hasIndexes,
    shardedBy,
  }
}
