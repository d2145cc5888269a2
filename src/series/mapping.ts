import type { DataModel, Field, Model } from '../engine/data-model.js'
import { sqlTypeOf } from '../mapping/columns.js'
import { MappingCheck, TEXT, WHOLE_NUMBER } from '../mapping/mapping.js'
import { Catalogue } from '../sql/catalogue.js'
import { tableOf } from '../sql/sql.js'
import { RequiredKeys } from '../sql/unique-keys.js'
import { type Series, type SeriesOptions, settled } from './options.js'
import { DEFAULT_COUNTER_MODEL, DEFAULT_NUMBER_MODEL } from './schema.js'

/** The user's models and fields, found and checked, and the series that the options define. */
export interface SeriesMap {
  readonly counter: {
    readonly source: Model
    readonly model: string
    readonly table: string
    readonly name: Field
    readonly period: Field
    readonly last: Field
    readonly version: Field | undefined
    readonly updatedAt: readonly Field[]
  }
  readonly number: {
    readonly source: Model
    readonly model: string
    readonly table: string
    readonly series: Field
    readonly transactionId: Field
    readonly period: Field
    readonly value: Field
    readonly text: Field
    readonly updatedAt: readonly Field[]
  }
  /** The unique keys without which numbers would be given twice. */
  readonly keys: RequiredKeys
  readonly series: ReadonlyMap<string, Series>
  /** The largest number that the columns can hold. */
  readonly largest: bigint
}

/** @throws ConfigurationError with every mistake */
export function mapSeries(dataModel: DataModel, options: SeriesOptions): SeriesMap {
  const check = new MappingCheck(dataModel)
  const counter = mapCounter(check, options.counter ?? {})
  const number = mapNumber(check, options.number ?? {})
  const isInt = counter.last.type === 'Int' || number.value.type === 'Int'
  const largest = isInt ? 2_147_483_647n : 9_223_372_036_854_775_807n
  const definitions = Object.entries(options.series ?? {})
  const series = new Map(definitions.map(([name, definition]) => [name, settled(name, definition, largest)]))
  for (const { name, start, highest } of series.values()) {
    if (start > highest) check.report(`series.${name}.start`, `must be at most ${highest}, where the series ends`)
  }
  check.finish()
  const keys = new RequiredKeys(new Catalogue(), [
    { model: counter.source, fields: [counter.name, counter.period] },
    { model: number.source, fields: [number.series, number.transactionId] },
    { model: number.source, fields: [number.series, number.period, number.value] },
  ])
  return { counter, number, series, largest, keys }
}

function mapCounter(check: MappingCheck, options: NonNullable<SeriesOptions['counter']>): SeriesMap['counter'] {
  const model = check.model('counter.model', options.model ?? DEFAULT_COUNTER_MODEL)
  const name = textField(check, 'counter.name', model, options.name ?? 'name')
  const period = textField(check, 'counter.period', model, options.period ?? 'period')
  const last = check.field('counter.last', model, options.last ?? 'last', WHOLE_NUMBER)
  check.uniqueKey('counter.model', model, [name, period])
  check.insertable('counter.model', model, [name, period, last])
  const version = check.version('counter.model', model, undefined)
  return {
    source: model,
    model: model.name,
    table: tableOf(model),
    name,
    period,
    last,
    version,
    updatedAt: updatedAtOf(model),
  }
}

function mapNumber(check: MappingCheck, options: NonNullable<SeriesOptions['number']>): SeriesMap['number'] {
  const model = check.model('number.model', options.model ?? DEFAULT_NUMBER_MODEL)
  const fields = {
    series: textField(check, 'number.series', model, options.series ?? 'series'),
    transactionId: textField(check, 'number.transactionId', model, options.transactionId ?? 'transactionId', 'uuid'),
    period: textField(check, 'number.period', model, options.period ?? 'period'),
    value: check.field('number.value', model, options.value ?? 'value', WHOLE_NUMBER),
    text: textField(check, 'number.text', model, options.text ?? 'text'),
  }
  check.uniqueKey('number.model', model, [fields.series, fields.transactionId])
  // The last line of defence: the database itself refuses to note a number twice.
  check.uniqueKey('number.model', model, [fields.series, fields.period, fields.value])
  check.insertable('number.model', model, Object.values(fields))
  return { ...fields, source: model, model: model.name, table: tableOf(model), updatedAt: updatedAtOf(model) }
}

function textField(check: MappingCheck, path: string, model: Model, name: string, other?: string): Field {
  const field = check.field(path, model, name, TEXT)
  const type = sqlTypeOf(field)
  if (field.name !== '' && type !== 'text' && type !== other) {
    check.report(path, `${model.name}.${name} must not be @db.${field.nativeType}`)
  }
  return field
}

const updatedAtOf = (model: Model) => [...model.fields.values()].filter(({ isUpdatedAt }) => isUpdatedAt)
