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
import { RequiredKeys } from '../sql/unique-keys.js'
import { type Format, parseFormat } from './format.js'
import type { SeriesDefinition, SeriesOptions } from './options.js'
import { DEFAULT_COUNTER_MODEL, DEFAULT_NUMBER_MODEL } from './schema.js'

/** The user's models and fields, found and checked, and the series that the options define. */
export interface SeriesMap {
  readonly counter: TableMap & { readonly name: Field; readonly period: Field; readonly last: Field }
  readonly number: TableMap & {
    readonly series: Field
    readonly transactionId: Field
    readonly period: Field
    readonly value: Field
    readonly text: Field
  }
  readonly catalogue: Catalogue
  /** The unique keys without which numbers would be given twice. */
  readonly keys: RequiredKeys
  readonly series: ReadonlyMap<string, Series>
  /** The largest number that the columns can hold. */
  readonly largest: bigint
}

const LARGEST_INT = 2_147_483_647n

/** A definition with every value settled. */
export interface Series {
  readonly name: string
  readonly format: Format
  readonly start: bigint
  /** The last number that there can be. */
  readonly highest: bigint
  readonly timeZone: string
  readonly blocks: bigint | undefined
  readonly document: DocumentMap | undefined
}

/** The model of the records that the numbers of a series are for. */
export interface DocumentMap extends TableMap {
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
  const counter = mapCounter(check, options.counter ?? {})
  const number = mapNumber(check, options.number ?? {})
  const isInt = counter.last.type === 'Int' || number.value.type === 'Int'
  const largest = isInt ? LARGEST_INT : 9_223_372_036_854_775_807n
  const catalogue = new Catalogue()
  const series = new Map<string, Series>()
  for (const [name, definition] of Object.entries(options.series ?? {})) {
    const own = settled(name, definition, largest)
    const found = definition.document && check.table(`series.${name}.document`, definition.document)
    const document = found && mapDocument(found, own, { number, catalogue })
    const isShort = [document?.number, document?.value].some((field) => field?.type === 'Int')
    const highest = isShort && own.highest > LARGEST_INT ? LARGEST_INT : own.highest
    series.set(name, { ...own, highest, document })
  }
  for (const { name, start, highest } of series.values()) {
    if (start > highest) check.report(`series.${name}.start`, `must be at most ${highest}, where the series ends`)
  }
  check.finish()
  const keys = new RequiredKeys(catalogue, [
    { model: counter.model, fields: [counter.name, counter.period] },
    { model: number.model, fields: [number.series, number.transactionId] },
    { model: number.model, fields: [number.series, number.period, number.value] },
  ])
  return { counter, number, series, largest, catalogue, keys }
}

function mapCounter(check: MappingCheck, names: object): SeriesMap['counter'] {
  const found = check.table('counter', names, DEFAULT_COUNTER_MODEL)
  const [name, period] = [found.field('name', PLAIN_TEXT), found.field('period', PLAIN_TEXT)]
  const last = found.field('last', WHOLE_NUMBER)
  found.uniqueKey('model', [name, period])
  found.insertable([name, period, last])
  return { ...found.table(), name, period, last }
}

function mapNumber(check: MappingCheck, names: object): SeriesMap['number'] {
  const found = check.table('number', names, DEFAULT_NUMBER_MODEL)
  const fields = {
    series: found.field('series', PLAIN_TEXT),
    transactionId: found.field('transactionId', TEXT_OR_UUID),
    period: found.field('period', PLAIN_TEXT),
    value: found.field('value', WHOLE_NUMBER),
    text: found.field('text', PLAIN_TEXT),
  }
  found.uniqueKey('model', [fields.series, fields.transactionId])
  // The last line of defence: the database itself refuses to note a number twice.
  found.uniqueKey('model', [fields.series, fields.period, fields.value])
  found.insertable(Object.values(fields))
  return { ...found.table(), ...fields }
}

function mapDocument(
  found: TableCheck,
  { format }: Series,
  { number: noted, catalogue }: Pick<SeriesMap, 'number' | 'catalogue'>,
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
  const isDigits = format.before === '' && format.after === ''
  if (areFound(number) && number.type !== 'String' && !isDigits) {
    found.report('number', `${model.name}.${number.name} must be String, for the format has more than digits`)
  }
  // To a uuid two texts are the same that are not so to a text: one record, and two numbers.
  if (areFound(transactionId, noted.transactionId) && sqlTypeOf(transactionId) !== sqlTypeOf(noted.transactionId)) {
    const other = `${noted.model.name}.${noted.transactionId.name}`
    found.report('transactionId', `${model.name}.${transactionId.name} must be of the type of ${other}`)
  }
  found.uniqueKey('transactionId', [transactionId])
  const keys = new RequiredKeys(catalogue, [{ model, fields: [transactionId] }])
  return { ...found.table(), number, transactionId, value, keys }
}

/** @param largest the largest number that the columns can hold */
export function settled(name: string, definition: SeriesDefinition, largest: bigint): Series {
  const format = parseFormat(definition.format ?? '{0}')
  if ('problem' in format) throw new Error(`The format ${format.problem}.`) // has been checked
  return {
    name,
    format,
    start: BigInt(definition.start ?? 1),
    highest: format.highest < largest ? format.highest : largest,
    timeZone: definition.timeZone ?? 'UTC',
    blocks: definition.blocks === undefined ? undefined : BigInt(definition.blocks),
    document: undefined,
  }
}
