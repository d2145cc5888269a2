import { type DataModel, type Field, scalarsOf } from '../engine/data-model.js'
import { isConcurrencyError } from '../errors/index.js'
import { sqlTypeOf } from '../mapping/columns.js'
import {
  areFound,
  type FieldRule,
  FLAG,
  INT,
  isFilledIn,
  KEY,
  MappingCheck,
  MOMENT,
  NUMBER,
  type TableCheck,
  type TableMap,
  TEXT,
  WHOLE_NUMBER,
} from '../mapping/mapping.js'
import { Catalogue } from '../sql/catalogue.js'
import { RequiredKeys } from '../sql/unique-keys.js'
import type { ItemFields } from './item.js'
import type { StockOptions } from './options.js'
import type { PeriodSql } from './period-sql.js'
import { Quantities } from './quantity.js'
import { type SlotBounds, slotBounds } from './slot-bounds.js'
import type { Observe } from './write.js'

/** The user's models and fields, found and checked. */
export interface StockMap {
  /** The member of the client: `$stock`, unless the ledger has another name. */
  readonly name: `$${string}`
  /** The version is `undefined` also where a movement is to leave it as it is. */
  readonly item: TableMap &
    ItemFields & {
      readonly onHand: Field
      readonly reserved: Field | undefined
      readonly minimum: Field | undefined
      readonly maximum: Field | undefined
      readonly opening: Field | undefined
      /** The number of a row, where an item has several. */
      readonly slots: Field | undefined
      /** Within which the number of its rows adapts by itself. */
      readonly adapts: SlotBounds | undefined
      /** The key of a row: that of the item, and with slots the number. */
      readonly rowKey: readonly Field[]
      /** The field of the key that names a lot. */
      readonly lot: Field | undefined
      readonly expiresAt: Field | undefined
      readonly receivedAt: Field | undefined
    }
  readonly movement: LinesMap & {
    readonly applied: Field | undefined
    readonly refused: Field | undefined
    readonly reverses: Field | undefined
  }
  readonly reservation: ReservationMap | undefined
  /** The columns of the history; all of them, or none. */
  readonly history: HistoryMap | undefined
  /** Of a ledger whose movements have a date. */
  readonly period: PeriodMap | undefined
  readonly catalogue: Catalogue
  /** The unique keys without which movements would be recorded twice. */
  readonly keys: RequiredKeys
  readonly quantities: Quantities
  /** How much must stay of an item that has no minimum of its own; `null` is no limit. */
  readonly minimum: bigint | null
  readonly rememberRefusals: boolean
  /** Is told what each guarded statement has met. */
  readonly observe?: Observe
}

export interface HistoryMap {
  /** Of the item: the number of its last movement. */
  readonly last: Field
  /** Of a movement: its number, which is NULL where it is not in the balance; the quantity on hand after it, and when that was. */
  readonly sequence: Field
  readonly balance: Field
  readonly at: Field
  /** Where items have slots: the number of the one that it is of. The numbers are then those of each slot. */
  readonly slot: Field | undefined
}

export interface PeriodMap {
  /** Of a movement. */
  readonly date: Field
  /** Of an item: the last date that no movement may have any more. */
  readonly closedUntil: Field | undefined
  /** Once the other methods are loaded. */
  sql?: PeriodSql
}

/** A table with a row per transaction and item. */
export interface LinesMap extends TableMap {
  readonly scope: readonly Field[]
  readonly transactionId: Field
  readonly line: Field
  /** The fields of the item's key, with the scope first. */
  readonly item: readonly Field[]
  readonly quantity: Field
  /** Columns of the user's own, which calls fill in by their data. */
  readonly others: readonly Field[]
  /** Whether a call fills in some of them without data, too: those that Prisma's client makes, and those that it must give. */
  readonly needsData: boolean
  /** Whether some of them have no default: a call that leaves one out means NULL. */
  readonly hasNulls: boolean
}

export type ReservationMap = LinesMap & {
  readonly state: Field
  readonly expiresAt: Field
  /** How much of the line was taken; without it, a reservation is fulfilled as a whole. */
  readonly fulfilled: Field | undefined
  /** The quantity that the line was reserved with, where that was changed; without it, it never is. */
  readonly original: Field | undefined
}

/** The options for the columns of the history: that of the item, and those of a movement. */
export function historyOptions({ slots }: Pick<StockMap['item'], 'slots'>): readonly string[] {
  return ['sequence', 'sequence', 'balance', 'at', ...(slots ? ['slot'] : [])]
}

const OPTIONAL_MOMENT: FieldRule = { ...MOMENT, isOptional: true }
const STATE: FieldRule = { ...TEXT, values: ['active', 'released', 'fulfilled', 'expired'] }

/** @throws ConfigurationError with every mistake */
export function mapStock(dataModel: DataModel, options: StockOptions): StockMap {
  const check = new MappingCheck(dataModel)
  const { slots } = options.item
  const items = check.table('item', typeof slots === 'object' ? { ...options.item, slots: slots.field } : options.item)
  const item = mapItem(items, options)
  const quantities = new Quantities(item.onHand)
  const { movement: names, reservation: reserves, rememberRefusals = false } = options
  const lines = (found: TableCheck) => mapLines(found, options, item)
  const movements = check.table('movement', names)
  const history = mapHistory(items, movements, item)
  const period = mapPeriod(items, movements)
  const more = [history?.sequence, history?.balance, history?.at, history?.slot, period?.date]
  const movement = mapMovement(movements, lines, more)
  const reservation = reserves && mapReservation(check.table('reservation', reserves), lines, item)
  if (reservation && item.reserved === undefined) {
    check.report('item.reserved', `must name a field of ${item.model.name} for what is reserved`)
  }
  const minimum = readMinimum(check, options.minimum, quantities)
  const others = {
    minimum: item.minimum ?? minimum !== 0n,
    'item.maximum': item.maximum,
    'movement.date': period,
    reservation,
    rememberRefusals,
  }
  for (const [option, isThere] of Object.entries(item.slots ? others : {})) {
    if (isThere)
      check.report(
        option,
        'must not be in the options, nor in the models, beside item.slots: keep items with slots in a ledger of their own',
      )
  }
  if (!item.slots && movements.has('slot', true)) {
    check.report('movement.slot', 'must not be in the options without item.slots')
  }
  if (rememberRefusals && movement.refused === undefined) {
    check.report('movement.refused', 'must name a Boolean field, for refusals to be remembered in')
  }
  check.finish()
  const tables = reservation ? [movement, reservation] : [movement]
  const catalogue = new Catalogue()
  const name = `$${options.name ?? 'stock'}` as const
  const needed = [
    { model: item.model, fields: item.rowKey },
    ...tables.map(({ model, scope, transactionId, line }) => ({ model, fields: [...scope, transactionId, line] })),
  ]
  const keys = new RequiredKeys(catalogue, needed, name)
  return { name, item, movement, reservation, history, period, catalogue, keys, quantities, minimum, rememberRefusals }
}

function mapItem(found: TableCheck, options: StockOptions): StockMap['item'] {
  const { key: names, bumpVersion } = options.item
  const scope = found.scope(options.scope)
  const own = found.fields('key', names, KEY)
  const key = [...scope, ...own]
  const slots = found.named('slots', INT)
  const rowKey = slots ? [...key, slots] : key
  found.uniqueKey('key', rowKey)
  const table = found.table()
  const onHand = found.field('onHand', { ...NUMBER, sentAs: ['int4', 'int8', 'numeric'] })
  const numbers = {
    reserved: found.optional('reserved', NUMBER),
    minimum: found.optional('minimum', { ...NUMBER, isOptional: true }),
    maximum: found.optional('maximum', { ...NUMBER, isOptional: true }),
    opening: found.named('opening', NUMBER),
  }
  for (const [name, field] of Object.entries(numbers)) if (field) checkNumbers(found, name, field, onHand)
  const version = bumpVersion === false ? undefined : table.version
  const adapts = slotBounds(options.item.slots)
  return { ...table, version, scope, key, own, rowKey, slots, adapts, onHand, ...numbers, ...mapLots(found, own) }
}

function mapLots(found: TableCheck, own: readonly Field[]) {
  const named = found.named('lot', KEY)
  const lot = own.length > 1 ? own.find((field) => (named ? field === named : field.name === 'lot')) : undefined
  if (named && !lot && areFound(named)) found.report('lot', `${named.name} must be a field of the key, beside others`)
  return { lot, expiresAt: momentOf(found, 'expiresAt'), receivedAt: momentOf(found, 'receivedAt') }
}

/** Fields of the usual names are those of a history only if all of them are there: others may be called so, too. */
function mapHistory(items: TableCheck, movements: TableCheck, item: StockMap['item']): HistoryMap | undefined {
  const all = historyOptions(item).map((name, i) => [i === 0 ? items : movements, name] as const)
  const missing = all.filter(([found, name]) => !found.has(name))
  if (missing.length > 0) {
    const isNamed = all.some(([found, name]) => found.has(name, true))
    for (const [found, name] of isNamed ? missing : [])
      found.report(name, `must name a field of ${found.model.name}, for the history`)
    return undefined
  }
  const ofMovement = (name: string, { types }: FieldRule) => {
    const field = movements.field(name, { types, isOptional: true })
    if (areFound(field) && !field.isOptional) movements.report(name, `${field.name} must be optional`)
    return field
  }
  const last = items.field('sequence', WHOLE_NUMBER)
  const sequence = ofMovement('sequence', WHOLE_NUMBER)
  const balance = ofMovement('balance', NUMBER)
  checkNumbers(movements, 'balance', balance, item.onHand)
  const slot = item.slots && movements.field('slot', { ...INT, isOptional: true })
  return { last, sequence, balance, at: ofMovement('at', MOMENT), slot }
}

/** A field of that name is only meant where it is a moment. */
function momentOf(found: TableCheck, name: string): Field | undefined {
  const isMoment = found.model.fields.get(name)?.type === 'DateTime'
  return isMoment ? found.field(name, OPTIONAL_MOMENT) : found.named(name, OPTIONAL_MOMENT)
}

function mapPeriod(items: TableCheck, movements: TableCheck): PeriodMap | undefined {
  const date = momentOf(movements, 'date')
  const closedUntil = date ? momentOf(items, 'closedUntil') : items.named('closedUntil', OPTIONAL_MOMENT)
  const isFit = closedUntil?.isOptional && closedUntil.nativeType === date?.nativeType
  if (closedUntil && areFound(closedUntil) && !isFit) {
    items.report('closedUntil', `${closedUntil.name} must be optional, and of the type of movement.date`)
  }
  return date && { date, closedUntil }
}

function mapMovement(
  found: TableCheck,
  lines: (found: TableCheck) => LinesMap,
  more: readonly (Field | undefined)[],
): StockMap['movement'] {
  const movement = lines(found)
  const applied = found.optional('applied', FLAG)
  const refused = found.named('refused', FLAG)
  const reverses = found.optional('reverses', { types: ['String'], isOptional: true })
  const { transactionId } = movement
  const isFit = reverses && isFilledIn(reverses) && sqlTypeOf(reverses) === sqlTypeOf(transactionId)
  if (reverses && areFound(reverses, transactionId) && !isFit) {
    found.report('reverses', `${reverses.name} must be optional, and of the type of ${transactionId.name}`)
  }
  const own = [applied, refused, reverses, ...more]
  return { ...movement, applied, refused, reverses, ...othersOf(found, movement, own) }
}

function mapReservation(found: TableCheck, lines: (found: TableCheck) => LinesMap, { onHand }: StockMap['item']) {
  const reservation = lines(found)
  const state = found.field('state', STATE)
  const expiresAt = found.field('expiresAt', { ...MOMENT, isOptional: true })
  const fulfilled = found.optional('fulfilled', NUMBER)
  const original = found.optional('original', { ...NUMBER, isOptional: true })
  for (const [name, field] of Object.entries({ fulfilled, original })) {
    if (field) checkNumbers(found, name, field, onHand)
  }
  if (original && areFound(original) && !original.isOptional) {
    found.report('original', `${original.name} must be optional: it is NULL until the quantity is changed`)
  }
  const own = { state, expiresAt, fulfilled, original }
  return { ...reservation, ...own, ...othersOf(found, reservation, Object.values(own)) }
}

function othersOf(found: TableCheck, lines: LinesMap, more: readonly (Field | undefined)[]) {
  const own = [...columnsOfLines(lines), ...more.filter((field) => !!field)]
  const others = scalarsOf(found.model).filter((field) => !own.includes(field) && field !== lines.version)
  found.insertable([...own, ...others])
  const needsData = others.some((field) => field.fallback.kind === 'client' || !isFilledIn(field))
  return { others, needsData, hasNulls: others.some(isNullByDefault) }
}

/** As far as the schema tells: the database may fill it in all the same. */
export function isNullByDefault({ isOptional, isList, isUpdatedAt, fallback }: Field): boolean {
  return (isOptional || isList) && !isUpdatedAt && fallback.kind === 'none'
}

function mapLines(found: TableCheck, options: StockOptions, item: StockMap['item']): LinesMap {
  const { model } = found
  const scope = found.scope(options.scope)
  const own = found.fields('item', options.item.key, KEY)
  if (own.length !== item.own.length) {
    found.report('item', `must name ${item.own.length} fields, one for each of the item's key`)
  }
  const key = [...scope, ...own]
  key.forEach((field, i) => {
    const own = item.key[i]
    if (own && areFound(own, field) && sqlTypeOf(own) !== sqlTypeOf(field)) {
      found.report('item', `${model.name}.${field.name} must be of the type of ${item.model.name}.${own.name}`)
    }
  })
  const lines = {
    ...found.table(),
    scope,
    transactionId: found.field('transactionId', { ...KEY, types: ['String'] }),
    line: found.field('line', INT),
    item: key,
    quantity: found.field('quantity', NUMBER),
    others: [],
    needsData: false,
    hasNulls: false,
  }
  checkNumbers(found, 'quantity', lines.quantity, item.onHand)
  found.uniqueKey('model', [...scope, lines.transactionId, lines.line])
  return lines
}

/** The number must be one of those that the balance is made of. */
function checkNumbers(found: TableCheck, option: string, field: Field, onHand: Field) {
  if (!areFound(field, onHand) || sqlTypeOf(onHand) === undefined) return
  if (sqlTypeOf(field) !== undefined && new Quantities(field).holds(new Quantities(onHand))) return
  found.report(
    option,
    `${field.name} must be of the type of ${onHand.name}, with the same decimals and no fewer digits`,
  )
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

/** The columns of a line that this package writes. */
export function columnsOfLines({ transactionId, line, item, quantity }: LinesMap): readonly Field[] {
  return [transactionId, line, ...item, quantity]
}
