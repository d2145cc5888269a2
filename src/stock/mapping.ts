import type { DataModel, Field, Model } from '../engine/data-model.js'
import { isConcurrencyError } from '../errors/index.js'
import { sqlTypeOf } from '../mapping/columns.js'
import { FLAG, MappingCheck, MOMENT, NUMBER, TEXT } from '../mapping/mapping.js'
import { Catalogue } from '../sql/catalogue.js'
import { tableOf } from '../sql/sql.js'
import { RequiredKeys } from '../sql/unique-keys.js'
import type { ItemMapping, MovementMapping, ReservationMapping, StockOptions } from './options.js'
import { Quantities } from './quantity.js'

/** The user's models and fields, found and checked. */
export interface StockMap {
  readonly item: {
    readonly model: Model
    readonly table: string
    readonly key: readonly Field[]
    readonly onHand: Field
    readonly reserved: Field | undefined
    readonly minimum: Field | undefined
    readonly opening: Field | undefined
    /** The version column, unless a movement is to leave it as it is. */
    readonly version: Field | undefined
    readonly updatedAt: readonly Field[]
  }
  readonly movement: LinesMap & {
    readonly applied: Field | undefined
    readonly refused: Field | undefined
  }
  readonly reservation: (LinesMap & { readonly state: Field; readonly expiresAt: Field }) | undefined
  /** The unique keys without which movements would be recorded twice. */
  readonly keys: RequiredKeys
  readonly quantities: Quantities
  /** What must stay of an item that has no minimum of its own; `null` is no limit. */
  readonly minimum: bigint | null
  readonly rememberRefusals: boolean
}

/** A table with a row per transaction and item. */
export interface LinesMap {
  readonly model: Model
  readonly table: string
  readonly transactionId: Field
  readonly line: Field
  readonly item: readonly Field[]
  readonly quantity: Field
  readonly version: Field | undefined
  /** What is to be set to the time of the INSERT, and of each change. */
  readonly updatedAt: readonly Field[]
}

/** @throws ConfigurationError with every mistake */
export function mapStock(dataModel: DataModel, options: StockOptions): StockMap {
  const check = new MappingCheck(dataModel)
  const item = mapItem(check, options.item)
  const quantities = new Quantities(item.onHand)
  if (item.onHand.name !== '' && sqlTypeOf(item.onHand) === undefined) {
    check.report('item.onHand', `${item.model.name}.${item.onHand.name} must not be @db.${item.onHand.nativeType}`)
  }
  for (const name of ['reserved', 'minimum', 'opening'] as const) {
    sameNumbers(check, `item.${name}`, item[name], quantities, item.onHand)
  }
  const movement = mapMovement(check, options, item, quantities)
  const reservation = options.reservation && mapReservation(check, options.reservation, options, item, quantities)
  const minimum = readMinimum(check, options.minimum, quantities)
  if (options.rememberRefusals && movement.refused === undefined) {
    check.report('movement.refused', 'must name a Boolean field, for refusals to be remembered in')
  }
  check.finish()
  const keys = new RequiredKeys(new Catalogue(), [
    { model: item.model, fields: item.key },
    ...[movement, reservation].flatMap((lines) =>
      lines ? [{ model: lines.model, fields: [lines.transactionId, lines.line] }] : [],
    ),
  ])
  const rememberRefusals = options.rememberRefusals ?? false
  return { item, movement, reservation, keys, quantities, minimum, rememberRefusals }
}

function mapItem(check: MappingCheck, options: ItemMapping): StockMap['item'] {
  const model = check.model('item.model', options.model)
  const key = listOf(options.key).map((name, i) => keyField(check, `item.key${i > 0 ? `[${i}]` : ''}`, model, name))
  check.uniqueKey('item.key', model, key)
  const version = check.version('item.version', model, options.version)
  return {
    model,
    table: tableOf(model),
    key,
    onHand: check.field('item.onHand', model, options.onHand ?? 'onHand', NUMBER),
    reserved: check.optionalField('item.reserved', model, options.reserved, NUMBER, 'reserved'),
    minimum: check.optionalField('item.minimum', model, options.minimum, { ...NUMBER, isOptional: true }, 'minimum'),
    opening: options.opening === undefined ? undefined : check.field('item.opening', model, options.opening, NUMBER),
    version: options.bumpVersion === false ? undefined : version,
    updatedAt: updatedAtOf(model),
  }
}

function mapMovement(
  check: MappingCheck,
  { movement: options, item: itemOptions }: StockOptions,
  item: StockMap['item'],
  quantities: Quantities,
): StockMap['movement'] {
  const lines = mapLines(check, 'movement', options, itemOptions, item, quantities)
  const movement = {
    ...lines,
    applied: check.optionalField('movement.applied', lines.model, options.applied, FLAG, 'applied'),
    refused:
      options.refused === undefined ? undefined : check.field('movement.refused', lines.model, options.refused, FLAG),
  }
  const { applied, refused } = movement
  check.insertable('movement.model', lines.model, [
    ...writtenOf(lines),
    ...[applied, refused].filter((field) => !!field),
  ])
  return movement
}

function mapReservation(
  check: MappingCheck,
  options: ReservationMapping,
  { item: itemOptions }: StockOptions,
  item: StockMap['item'],
  quantities: Quantities,
): StockMap['reservation'] {
  const lines = mapLines(check, 'reservation', options, itemOptions, item, quantities)
  const reservation = {
    ...lines,
    state: check.field('reservation.state', lines.model, options.state ?? 'state', TEXT),
    expiresAt: check.field('reservation.expiresAt', lines.model, options.expiresAt ?? 'expiresAt', MOMENT),
  }
  check.insertable('reservation.model', lines.model, [...writtenOf(lines), reservation.state, reservation.expiresAt])
  if (item.reserved === undefined) {
    check.report('item.reserved', `must name a field of ${item.model.name} for what is reserved`)
  }
  return reservation
}

function mapLines(
  check: MappingCheck,
  path: string,
  options: MovementMapping | ReservationMapping,
  itemOptions: ItemMapping,
  item: StockMap['item'],
  quantities: Quantities,
): LinesMap {
  const model = check.model(`${path}.model`, options.model)
  const names = listOf(options.item ?? itemOptions.key)
  const key = names.map((name, i) => keyField(check, `${path}.item${i > 0 ? `[${i}]` : ''}`, model, name))
  if (key.length !== item.key.length) {
    check.report(`${path}.item`, `must name ${item.key.length} fields, one for each of the item's key`)
  }
  key.forEach((field, i) => {
    const own = item.key[i]
    if (own && own.name !== '' && field.name !== '' && sqlTypeOf(own) !== sqlTypeOf(field)) {
      check.report(`${path}.item`, `${model.name}.${field.name} must be of the type of ${item.model.name}.${own.name}`)
    }
  })
  const lines = {
    model,
    table: tableOf(model),
    transactionId: keyField(check, `${path}.transactionId`, model, options.transactionId ?? 'transactionId', TEXT),
    line: check.field(`${path}.line`, model, options.line ?? 'line', { types: ['Int'] }),
    item: key,
    quantity: check.field(`${path}.quantity`, model, options.quantity ?? 'quantity', NUMBER),
    version: check.version(`${path}.model`, model, undefined),
    updatedAt: updatedAtOf(model),
  }
  sameNumbers(check, `${path}.quantity`, lines.quantity, quantities, item.onHand)
  check.uniqueKey(`${path}.model`, model, [lines.transactionId, lines.line])
  return lines
}

function keyField(
  check: MappingCheck,
  path: string,
  model: Model,
  name: string,
  rule = { types: ['Int', 'BigInt', 'String'] as readonly string[] },
): Field {
  const field = check.field(path, model, name, rule)
  if (field.name !== '' && sqlTypeOf(field) === undefined) {
    check.report(
      path,
      `${model.name}.${name} must not be @db.${field.nativeType}: its values are compared in a way of their own`,
    )
  }
  return field
}

function sameNumbers(check: MappingCheck, path: string, field: Field | undefined, wanted: Quantities, onHand: Field) {
  if (field === undefined || field.name === '' || sqlTypeOf(onHand) === undefined) return
  if (sqlTypeOf(field) === undefined || !new Quantities(field).holds(wanted)) {
    check.report(
      path,
      `${field.name} must be of the type of ${onHand.name}, with the same decimals and no fewer digits`,
    )
  }
}

function readMinimum(check: MappingCheck, value: unknown, quantities: Quantities): bigint | null {
  if (value === undefined) return 0n
  if (value === null) return null
  try {
    return quantities.read(value, 'minimum')
  } catch (error) {
    if (!isConcurrencyError(error, 'INVALID_ARGUMENT')) throw error
    check.report('minimum', error.message.replace(/^minimum /, ''))
    return 0n
  }
}

const writtenOf = ({ transactionId, line, item, quantity }: LinesMap) => [transactionId, line, ...item, quantity]

const updatedAtOf = (model: Model) => [...model.fields.values()].filter(({ isUpdatedAt }) => isUpdatedAt)

/** One name, or a list of them. */
export const listOf = (names: string | readonly string[]): readonly string[] =>
  typeof names === 'string' ? [names] : names
