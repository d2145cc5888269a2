import { type Field, insertDefaults } from '../engine/data-model.js'
import { madeOnce } from '../engine/made-once.js'
import type { Row, Session } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import { keysEqual, sqlTypeOf } from '../mapping/columns.js'
import { isFilledIn } from '../mapping/mapping.js'
import type { Catalogue, Table } from '../sql/catalogue.js'
import { clientDefault } from '../sql/client-defaults.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'
import { comparableType, exactType, GivenColumns, givenType, inColumnType } from '../sql/given-columns.js'
import { type Refusals, readValues } from '../sql/given-values.js'
import { columnOf } from '../sql/sql.js'
import { join, type Parameter, param, raw, type SqlText, type Statement, sql } from '../sql/statement.js'
import { canonical } from '../values/canonical.js'
import { isRecord } from '../values/validation.js'
import { inScope } from './in-scope.js'
import { isNullByDefault, type LinesMap } from './mapping.js'
import type { Line, Request } from './request.js'
import { type Column, namesOf, rowsIn, valuesOf } from './statements.js'

/** The values of a line in columns of the user's own. Each that was given has been checked. */
export interface LineData {
  readonly columns: LineColumns
  readonly given: ReadonlyMap<Field, ColumnValue>
  /** One text for the same values in the same forms. */
  readonly text: string
  /**
   * Which columns have a default that only the database makes, and are given all the same. An INSERT leaves a column
   * to the database in all of its rows or in none.
   */
  readonly group: string
}

/** Lines as an INSERT takes them, with their columns of the user's own behind ours. */
export interface Source {
  readonly fields: readonly Field[]
  readonly values: SqlText
  readonly from: Statement
}

/** A request whose transaction id is recorded, in a table. */
export interface Recurrence {
  readonly request: Request
  readonly table: LinesMap
  readonly known: { readonly lines: readonly Line[] }
}

/** A recorded line, and the data of the call that brings it again. */
interface Again extends Pick<Line, 'item'> {
  readonly request: Request
  readonly data: LineData
}

/** The parts of an INSERT's text that its fields decide. */
interface Layout {
  readonly table: Table
  readonly given: GivenColumns
  readonly values: SqlText
}

/** Calls may choose among many fields. */
const MOST_LAYOUTS = 1_000

/** Data that was checked. Its text is made where it is compared, which few calls need. */
class GivenData implements LineData {
  readonly columns: LineColumns
  readonly given: ReadonlyMap<Field, ColumnValue>
  readonly group: string
  #text: string | undefined

  constructor(columns: LineColumns, fields: readonly Field[], stored: readonly ColumnValue[]) {
    this.columns = columns
    this.given = new Map(fields.map((field, i) => [field, stored[i] ?? null]))
    this.group = columns.groupOf(fields)
  }

  get text(): string {
    this.#text ??= canonical([Array.from(this.given.keys(), ({ name }) => name), [...this.given.values()]])
    return this.#text
  }
}

const COLUMNS = new WeakMap<LinesMap, LineColumns>()

/** The columns that calls fill in, of a table with a row per transaction and item. */
export function columnsFor(lines: LinesMap, catalogue: Catalogue): LineColumns {
  return madeOnce(COLUMNS, lines, () => new LineColumns(lines, catalogue))
}

/** The data of each line of a call, or of its only one. */
export function dataOfLines(columns: LineColumns, { lines, data }: Readonly<Record<string, unknown>>): LineData[] {
  if (!Array.isArray(lines)) return [columns.read(data, 'data')]
  if (data !== undefined) throw new InvalidArgumentError('data', 'is given by each of the lines.')
  const all = lines.map((line: unknown, i) => columns.read(isRecord(line) ? line.data : undefined, `lines[${i}].data`))
  const other = all.findIndex(({ group }) => group !== all[0]?.group)
  if (other < 0) return all
  throw new InvalidArgumentError(
    `lines[${other}].data`,
    `must have ${all[0]?.group || all[other]?.group} if others have it: its default is made by the database alone.`,
  )
}

/** For each request the fields of data in which it differs from what is recorded. An item that is not is another matter. */
export async function differingFields(session: Session, catalogue: Catalogue, all: readonly Recurrence[]) {
  const found = new Map<Request, readonly string[]>(all.map(({ request }) => [request, []]))
  for (const table of new Set(all.map((one) => one.table))) {
    const columns = columnsFor(table, catalogue)
    const again = all.flatMap(({ request, known, table: own }): Again[] => {
      const recorded = new Set(own === table ? known.lines.map(({ item }) => item.id) : [])
      const lines = request.lines.filter(({ item }) => recorded.has(item.id))
      return lines.map(({ item, data = columns.nothing }) => ({ request, item, data }))
    })
    const fields = await columns.differing(session, again)
    again.forEach(({ request }, i) => {
      found.set(request, [...new Set([...(found.get(request) ?? []), ...(fields[i] ?? [])])])
    })
  }
  return found
}

function withoutUndefined(data: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const entries = Object.entries(data)
  return entries.some(([, value]) => value === undefined)
    ? Object.fromEntries(entries.filter(([, value]) => value !== undefined))
    : data
}

export class LineColumns {
  /** The data of a call without any. */
  readonly nothing: LineData = { columns: this, given: new Map(), text: '', group: '' }
  readonly #lines: LinesMap
  readonly #catalogue: Catalogue
  readonly #refusals: Refusals
  readonly #required: readonly Field[]
  /** The fields that Prisma's client fills in. */
  readonly #made: ReadonlyMap<Field, () => string>
  #madeByDatabase: ReadonlySet<Field> | undefined
  /** By the names of the fields that are written. */
  readonly #layouts = new Map<string, Layout>()

  constructor(lines: LinesMap, catalogue: Catalogue) {
    const { model, others } = lines
    this.#lines = lines
    this.#catalogue = catalogue
    const own = [...model.fields.values()].filter((field) => !others.includes(field))
    this.#refusals = new Map(own.map(({ name }) => [name, 'is written by this package alone.']))
    const makers = others.map(
      (field) => [field, field.fallback.kind === 'client' ? clientDefault(field.fallback.value) : undefined] as const,
    )
    this.#made = new Map(makers.flatMap(([field, make]) => (make ? [[field, make]] : [])))
    this.#required = others.filter((field) => !isFilledIn(field) && !this.#made.has(field))
  }

  /** @throws InvalidArgumentError that names the field which is missing, or which must not be given, or its value */
  read(data: unknown, path: string): LineData {
    const { model } = this.#lines
    if (data !== undefined && !isRecord(data)) {
      throw new InvalidArgumentError(path, `must be an object with values of fields of ${model.name}.`)
    }
    const { fields, stored } = readValues(path, withoutUndefined(data ?? {}), model, this.#refusals)
    const missing = this.#required.find((field) => !fields.includes(field))
    if (missing) {
      throw new InvalidArgumentError(`${path}.${missing.name}`, `is required: ${model.name} has no default for it.`)
    }
    return new GivenData(this, fields, stored)
  }

  /** The names of those of the fields that have a default which only the database makes. */
  groupOf(fields: readonly Field[]): string {
    this.#madeByDatabase ??= new Set(this.#lines.others.filter((field) => this.#isMadeByDatabase(field)))
    const made = this.#madeByDatabase
    return made.size === 0 ? '' : fields.flatMap((field) => (made.has(field) ? [field.name] : [])).join()
  }

  /** The rows of an INSERT: `columns` are ours, and `all` has the data of each row. */
  source(columns: readonly Column[], all: readonly (LineData | undefined)[]): Source {
    const table = this.#table()
    const now = new Date()
    const isGiven = (field: Field) => this.#made.has(field) || all.some((data) => data?.given.has(field))
    const fields = this.#lines.others.filter(isGiven)
    if (fields.length === 0) return { fields, values: raw(''), from: rowsIn('m', columns, raw(' OFFSET 0')) }
    const rows = all.map((data) => {
      const row: Record<string, ColumnValue> = {}
      fields.forEach((field, i) => {
        const own = data?.given.get(field)
        row[`d${i}`] = own === undefined ? this.#fill(field, now) : own
      })
      return row
    })
    const { given, values } = this.#layoutOf(fields, table)
    const json = param(JSON.stringify(rows.length === 1 ? rows[0] : rows))
    const from =
      rows.length === 1
        ? sql`${rowsIn('m', columns, raw(' OFFSET 0'))}, ${given.record(json, 'd')}`
        : listWith(given, json, columns)
    return { fields, values, from }
  }

  /** It is written once for each choice of fields, and again for a table that was looked up anew. */
  #layoutOf(fields: readonly Field[], table: Table): Layout {
    const names = fields.map(({ name }) => name).join()
    const known = this.#layouts.get(names)
    if (known?.table === table) return known
    const given = new GivenColumns(fields.map((field, i) => [`d${i}`, givenType(field, table)]))
    const values = raw(fields.map((field, i) => `, ${inColumnType(`d${i}`, field, table)}`).join(''))
    const layout = { table, given, values }
    if (this.#layouts.size >= MOST_LAYOUTS) this.#layouts.clear()
    this.#layouts.set(names, layout)
    return layout
  }

  /**
   * For each line that comes again, the fields that are recorded with another value than their column would make of the
   * given one. A field that it leaves out is NULL; but it is not compared if a default or a trigger may have filled it in.
   */
  async differing(session: Session, again: readonly Again[]): Promise<readonly (readonly string[])[]> {
    const { model, table: name, item, transactionId, others } = this.#lines
    const table = await this.#catalogue.of(model, session)
    const staysNull = (field: Field) => isNullByDefault(field) && table.columns.get(field.column)?.staysNull
    const isGiven = (field: Field) => again.some(({ data }) => data.given.has(field))
    const fields = others.filter((field) => isGiven(field) || staysNull(field))
    if (again.length === 0 || fields.length === 0) return again.map(() => [])
    const given = new GivenColumns([
      ...item.map((field, i) => [`k${i}`, sqlTypeOf(field) ?? 'text'] as const),
      ['id', sqlTypeOf(transactionId) ?? 'text'],
      ...fields.map((field, i) => [`d${i}`, exactType(field, table)] as const),
    ])
    const rows = again.map(({ item: { key }, request, data }) => ({
      ...Object.fromEntries(key.map((value, i) => [`k${i}`, value])),
      id: request.transactionId,
      ...Object.fromEntries(fields.map((field, i) => [`d${i}`, data.given.get(field) ?? null])),
    }))
    const results = fields.map((field, i) => {
      const [column, type] = [`t.${columnOf(field)}`, comparableType(field, table)]
      // Types without equality are never given. An empty list is as good as none.
      if (!isGiven(field))
        return raw(`${field.isList ? `coalesce(cardinality(${column}), 0) = 0` : `${column} IS NULL`} AS d${i}`)
      const [own, other] = [`${column}::${type}`, `given.d${i}::${type}`].map((value) =>
        field.isList ? `coalesce(${value}, '{}')` : value,
      )
      return raw(`${own} IS NOT DISTINCT FROM ${other} AS d${i}`)
    })
    // A scope that all have is a constant as well, which tells Citus the one shard.
    const [first, ...more] = new Map(again.map(({ request: { scope } }) => [JSON.stringify(scope), scope])).values()
    const isInScope = first && more.length === 0 && inScope(this.#lines, 't', first)
    const found = await session.rows<Row>(sql`SELECT given."#"::int AS "#", t.*
FROM ${given.numbered(param(JSON.stringify(rows)), 'given', '"#"')},
LATERAL (
  SELECT ${join(results)}
  FROM ${name} AS t
  WHERE ${join([isInScope, keysEqual(item, 't', 'given'), raw(`t.${columnOf(transactionId)} = given.id`)], ' AND ')}
  LIMIT 1
) AS t`)
    const byLine = new Map(found.map((row) => [row['#'], row]))
    const isCompared = (field: Field, { given }: LineData) => given.has(field) || staysNull(field)
    return again.map(({ data }, line) =>
      fields.flatMap((field, i) =>
        isCompared(field, data) && byLine.get(line + 1)?.[`d${i}`] !== true ? [field.name] : [],
      ),
    )
  }

  /** The value of a field in a row that leaves it out, beside rows that give it. */
  #fill(field: Field, now: Date): ColumnValue {
    const make = this.#made.get(field)
    if (make) return make()
    const fallback = insertDefaults(this.#lines.model).get(field)
    if (fallback === 'now') return columnValue(now, field) ?? null
    return typeof fallback === 'object' ? (columnValue(fallback.value, field) ?? null) : null
  }

  /** Whether an INSERT must leave it out for its default, since there is no other way to it. */
  #isMadeByDatabase(field: Field): boolean {
    if (this.#required.includes(field) || this.#made.has(field) || isNullByDefault(field)) return false
    const fallback = insertDefaults(this.#lines.model).get(field)
    return fallback === 'unknown' || (fallback === 'nothing' && field.fallback.kind !== 'none')
  }

  /** It is known once the keys were looked up. */
  #table(): Table {
    const { model } = this.#lines
    const table = this.#catalogue.known(model)
    if (table === undefined) throw new Error(`Nothing is known of the table of ${model.name} yet.`)
    return table
  }
}

/** A list `m` of rows, each with its own data. A value that all of them have in common is a constant. */
function listWith(given: GivenColumns, json: Parameter, columns: readonly Column[]): Statement {
  const own = columns.filter(({ isOne }) => !isOne)
  const common = columns.filter(({ isOne }) => isOne)
  const list = (alias: string) => given.beside(sql`unnest(${valuesOf(own)})`, json, alias, namesOf(own))
  if (common.length === 0) return list('m')
  return sql`(SELECT ${join(common.map(({ name, value }) => sql`${value} AS ${name}`))}, u.* FROM ${list('u')}) AS m`
}
