import type { DataModel, Field } from '../engine/data-model.js'
import { sqlTypeOf } from '../mapping/columns.js'
import {
  areFound,
  MappingCheck,
  PLAIN_TEXT,
  type TableCheck,
  type TableMap,
  TEXT_OR_UUID,
  WHOLE_NUMBER,
} from '../mapping/mapping.js'
import { Catalogue } from '../sql/catalogue.js'
import type { Scope } from '../sql/scope.js'
import { type Parameter, param } from '../sql/statement.js'
import { RequiredKeys } from '../sql/unique-keys.js'
import { type Format, parseFormat } from './format.js'
import type { SeriesDefinition, SeriesOptions } from './options.js'
import { DEFAULT_COUNTER_MODEL, DEFAULT_FREE_MODEL, DEFAULT_NUMBER_MODEL, DEFAULT_VOID_MODEL } from './schema.js'

/** The user's models and fields, found and checked, and the series that the options define. */
export interface SeriesMap {
  /** The fields of the scope, as the counter has them. */
  readonly scope: readonly Field[]
  readonly counter: KeyedTable & { readonly name: Field; readonly period: Field; readonly last: Field }
  readonly number: KeyedTable & {
    readonly series: Field
    readonly transactionId: Field
    readonly period: Field
    readonly value: Field
    readonly text: Field
  }
  /** The numbers that are void, where they have a model. */
  readonly voids: (PlaceMap & { readonly reason: Field }) | undefined
  /** The free numbers, where a series is parallel. */
  readonly free: PlaceMap | undefined
  readonly catalogue: Catalogue
  /** The unique keys without which numbers would be given twice. */
  readonly keys: RequiredKeys
  readonly series: ReadonlyMap<string, Series>
  /** Those of them whose names are patterns, the longest first. */
  readonly patterns: readonly Series[]
  /** The largest number that the columns can hold. */
  readonly largest: bigint
}

/** A table with a row per number. */
interface PlaceMap extends KeyedTable {
  readonly series: Field
  readonly period: Field
  readonly value: Field
}

/** A table with a row per series and something else. */
interface KeyedTable extends TableMap {
  /** The fields that tell a series from all others: those of the scope, and the one of its name. */
  readonly key: readonly Field[]
}

const LARGEST_INT = 2_147_483_647n

/** A definition with every value settled. */
export interface Series {
  readonly name: string
  /** The values of the scope. */
  readonly scope: readonly Parameter[]
  /** A text for each scope and name, by which this process tells the series from others. */
  readonly id: string
  readonly format: Format
  readonly start: bigint
  /** The last number that there can be. */
  readonly highest: bigint
  readonly timeZone: string
  readonly blocks: bigint | undefined
  /** Whether its numbers are taken from free ones. */
  readonly parallel: boolean
  readonly document: DocumentMap | undefined
}

/** The model of the records that the numbers of a series are for. */
export interface DocumentMap extends TableMap {
  readonly scope: readonly Field[]
  readonly number: Field
  readonly transactionId: Field
  readonly value: Field | undefined
  /** Without it, two records of one transaction id would be kept apart by nothing. */
  readonly keys: RequiredKeys
}

/** A series whose numbers are for documents. */
export interface DocumentSeries extends Series {
  readonly document: DocumentMap
}

/** @throws ConfigurationError with every mistake */
export function mapSeries(dataModel: DataModel, options: SeriesOptions): SeriesMap {
  const check = new MappingCheck(dataModel)
  const { scope } = options
  const counter = mapCounter(check, options.counter ?? {}, scope)
  const number = mapNumber(check, options.number ?? {}, scope)
  const isParallel = Object.values(options.series ?? {}).some(({ parallel }) => parallel)
  const voids = (options.void || isParallel) && mapVoids(check, options.void ?? {}, scope)
  const free = isParallel ? mapFree(check, options.free ?? {}, scope) : undefined
  const isInt = [counter.last, number, voids, free].some(
    (column) => column && ('type' in column ? column : column.value).type === 'Int',
  )
  const largest = isInt ? LARGEST_INT : 9_223_372_036_854_775_807n
  const catalogue = new Catalogue()
  const series = new Map<string, Series>()
  for (const [name, definition] of Object.entries(options.series ?? {})) {
    const own = settled(name, definition, largest)
    const found = definition.document && check.table(`series.${name}.document`, definition.document)
    const document = found && mapDocument(found, own, { number, catalogue, scope })
    const isShort = [document?.number, document?.value].some((field) => field?.type === 'Int')
    const highest = isShort && own.highest > LARGEST_INT ? LARGEST_INT : own.highest
    series.set(name, { ...own, highest, document })
  }
  for (const { name, start, highest } of series.values()) {
    if (start > highest) check.report(`series.${name}.start`, `must be at most ${highest}, where the series ends`)
  }
  check.finish()
  const keys = new RequiredKeys(catalogue, [
    { model: counter.model, fields: [...counter.key, counter.period] },
    { model: number.model, fields: [...number.key, number.transactionId] },
    ...[number, voids, free].flatMap((place) =>
      place ? [{ model: place.model, fields: [...place.key, place.period, place.value] }] : [],
    ),
  ])
  const patterns = [...series.values()].filter(({ name }) => name.endsWith('*'))
  patterns.sort((a, b) => b.name.length - a.name.length)
  return {
    patterns,
    scope: counter.key.slice(0, -1),
    counter,
    number,
    voids: voids || undefined,
    free,
    series,
    largest,
    catalogue,
    keys,
  }
}

function mapCounter(check: MappingCheck, names: object, scope: SeriesOptions['scope']): SeriesMap['counter'] {
  const found = check.table('counter', names, DEFAULT_COUNTER_MODEL)
  const [name, period] = [found.field('name', PLAIN_TEXT), found.field('period', PLAIN_TEXT)]
  const last = found.field('last', WHOLE_NUMBER)
  const key = [...found.scope(scope), name]
  found.uniqueKey('model', [...key, period])
  found.insertable([...key, period, last])
  return { ...found.table(), key, name, period, last }
}

function mapNumber(check: MappingCheck, names: object, scope: SeriesOptions['scope']): SeriesMap['number'] {
  const found = check.table('number', names, DEFAULT_NUMBER_MODEL)
  const fields = {
    series: found.field('series', PLAIN_TEXT),
    transactionId: found.field('transactionId', TEXT_OR_UUID),
    period: found.field('period', PLAIN_TEXT),
    value: found.field('value', WHOLE_NUMBER),
    text: found.field('text', PLAIN_TEXT),
  }
  const key = [...found.scope(scope), fields.series]
  found.uniqueKey('model', [...key, fields.transactionId])
  // The last line of defence: the database itself refuses to note a number twice.
  found.uniqueKey('model', [...key, fields.period, fields.value])
  found.insertable([...key, ...Object.values(fields)])
  return { ...found.table(), key, ...fields }
}

function mapVoids(check: MappingCheck, names: object, scope: SeriesOptions['scope']) {
  const found = check.table('void', names, DEFAULT_VOID_MODEL)
  const reason = found.field('reason', PLAIN_TEXT)
  return { ...mapPlaces(found, scope, [reason]), reason }
}

function mapFree(check: MappingCheck, names: object, scope: SeriesOptions['scope']): PlaceMap {
  return mapPlaces(check.table('free', names, DEFAULT_FREE_MODEL), scope)
}

function mapPlaces(found: TableCheck, scope: SeriesOptions['scope'], others: readonly Field[] = []): PlaceMap {
  const series = found.field('series', PLAIN_TEXT)
  const [period, value] = [found.field('period', PLAIN_TEXT), found.field('value', WHOLE_NUMBER)]
  const key = [...found.scope(scope), series]
  found.uniqueKey('model', [...key, period, value])
  found.insertable([...key, period, value, ...others])
  return { ...found.table(), key, series, period, value }
}

function mapDocument(
  found: TableCheck,
  { format }: Series,
  { number: noted, catalogue, scope: names }: Pick<SeriesMap, 'number' | 'catalogue'> & Pick<SeriesOptions, 'scope'>,
): DocumentMap {
  const { model } = found
  const number = found.field('number', {
    ...PLAIN_TEXT,
    types: ['String', ...WHOLE_NUMBER.types],
    isOptional: true,
    sentAs: ['text', 'int4', 'int8'],
  })
  const transactionId = found.field('transactionId', { ...TEXT_OR_UUID, isOptional: true })
  const value = found.named('value', { ...WHOLE_NUMBER, isOptional: true })
  const isDigits = [...format.before, ...format.after].every(({ pattern }) => pattern === '')
  if (areFound(number) && number.type !== 'String' && !isDigits) {
    found.report('number', `${model.name}.${number.name} must be String, for the format has more than digits`)
  }
  // To a uuid two texts are the same that are not so to a text: one record, and two numbers.
  if (areFound(transactionId, noted.transactionId) && sqlTypeOf(transactionId) !== sqlTypeOf(noted.transactionId)) {
    const other = `${noted.model.name}.${noted.transactionId.name}`
    found.report('transactionId', `${model.name}.${transactionId.name} must be of the type of ${other}`)
  }
  const scope = found.scope(names)
  found.uniqueKey('transactionId', [...scope, transactionId])
  const keys = new RequiredKeys(catalogue, [{ model, fields: [...scope, transactionId] }])
  return { ...found.table(), scope, number, transactionId, value, keys }
}

/** The same series of one scope, whose values are in the order of its fields. */
export function inScope(series: Series, fields: readonly Field[], scope: Scope): Series {
  const values = scope.map((text, i) => param(text, fields[i] && sqlTypeOf(fields[i])))
  return { ...series, scope: values, id: scope.length === 0 ? series.name : JSON.stringify([...scope, series.name]) }
}

/** The tables that the package prints: those of the documents are the user's own. */
export function ownTables({ counter, number, voids, free }: SeriesMap): TableMap[] {
  return [counter, number, ...(voids ? [voids] : []), ...(free ? [free] : [])]
}

/** The series of a name, by its own definition, or else by the longest pattern. */
export function seriesOf({ series, patterns, largest }: SeriesMap, name: string): Series {
  const own = series.get(name)
  if (own) return own
  const pattern = patterns.find((each) => name.startsWith(each.name.slice(0, -1)))
  return pattern ? { ...pattern, name, id: name } : settled(name, {}, largest)
}

/** @param largest the largest number that the columns can hold */
function settled(name: string, definition: SeriesDefinition, largest: bigint): Series {
  const format = parseFormat(definition.format ?? '{0}', definition.fiscalYearStart)
  if ('problem' in format) throw new Error(`The format ${format.problem}.`) // has been checked
  return {
    name,
    scope: [],
    id: name,
    format,
    start: BigInt(definition.start ?? 1),
    highest: format.highest < largest ? format.highest : largest,
    timeZone: definition.timeZone ?? 'UTC',
    blocks: definition.blocks === undefined ? undefined : BigInt(definition.blocks),
    parallel: definition.parallel ?? false,
    document: undefined,
  }
}
