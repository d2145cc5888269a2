import type { DataModel, Field, Model } from '../engine/data-model.js'
import { sqlTypeOf } from '../mapping/columns.js'
import {
  areFound,
  INT,
  MappingCheck,
  MOMENT,
  PLAIN_TEXT,
  type TableCheck,
  type TableMap,
  TEXT_OR_UUID,
} from '../mapping/mapping.js'
import { Catalogue } from '../sql/catalogue.js'
import { columnValue } from '../sql/column-value.js'
import { rawReadable } from '../sql/raw-record.js'
import { literal } from '../sql/sql.js'
import type { SqlText } from '../sql/statement.js'
import { RequiredKeys } from '../sql/unique-keys.js'
import type { SerialsOptions, StateMapping } from './options.js'
import { DEFAULT_ALLOCATION_MODEL, DEFAULT_HISTORY_MODEL, DEFAULT_SERIAL_MODEL } from './schema.js'

/** A table with rows of transaction ids. */
export interface ClaimedTable extends TableMap {
  /** The fields of the scope that transaction ids are in; none where they are in one for all. */
  readonly scope: readonly Field[]
  readonly transactionId: Field
}

/** The user's models and fields, found and checked. */
export interface SerialsMap {
  readonly serial: ClaimedTable & {
    readonly number: Field
    /** The fields of the unique key that the number is in, the number first. */
    readonly key: readonly Field[]
    /** Whether a serial is free, where its owner does not tell it alone. */
    readonly state: Field | undefined
    /** The values of the state, as SQL. */
    readonly states: Readonly<Record<'free' | 'allocated', SqlText>> | undefined
    /** How many changes of its owner a serial has had. */
    readonly changes: Field | undefined
    /** All scalar fields, if raw SQL gives each of them as a model call does. */
    readonly readable: readonly Field[] | undefined
  }
  readonly allocation: ClaimedTable & {
    readonly request: Field
    readonly count: Field
    /** When it was recorded, where the options name it. */
    readonly createdAt: Field | undefined
  }
  readonly history: HistoryMap | undefined
  readonly catalogue: Catalogue
  /** The unique keys without which serials would be given twice. */
  readonly keys: RequiredKeys
}

/** The table with a row for each change of an owner. */
export interface HistoryMap extends TableMap {
  /** Those of the serial's key. */
  readonly key: readonly Field[]
  /** The fields that a serial has, too, those of the key among them. */
  readonly copied: readonly Field[]
  readonly sequence: Field
  readonly changedAt: Field
  /** All scalar fields. */
  readonly readable: readonly Field[]
}

/** @throws ConfigurationError with every mistake */
export function mapSerials(dataModel: DataModel, options: SerialsOptions): SerialsMap {
  const check = new MappingCheck(dataModel)
  const { scope } = options
  const names = options.serial ?? {}
  const serial = mapSerial(check.table('serial', names, DEFAULT_SERIAL_MODEL), options)
  const allocation = mapAllocation(check.table('allocation', options.allocation ?? {}, DEFAULT_ALLOCATION_MODEL), scope)
  // To a uuid two texts are the same that are not so to a text: claimed twice, they would be one owner.
  ownerFields(serial).forEach((own, i) => {
    const noted = ownerFields(allocation)[i]
    if (noted === undefined || !areFound(own, noted) || sqlTypeOf(own) === sqlTypeOf(noted)) return
    const path = own === serial.transactionId ? 'serial.transactionId' : `scope[${i}]`
    const name = `${serial.model.name}.${own.name}`
    check.report(path, `${name} must be of the type of ${allocation.model.name}.${noted.name}`)
  })
  const history = options.history && mapHistory(check.table('history', options.history, DEFAULT_HISTORY_MODEL), serial)
  check.finish()
  const catalogue = new Catalogue()
  const needed = [
    { model: serial.model, fields: scopeFirst(serial.key, scope) },
    { model: allocation.model, fields: ownerFields(allocation) },
    ...(history ? [{ model: history.model, fields: [...scopeFirst(history.key, scope), history.sequence] }] : []),
  ]
  const keys = new RequiredKeys(catalogue, needed, '$serials')
  return { serial, allocation, history, catalogue, keys }
}

/** The fields of a key in the order in which an index is of use to one scope. */
function scopeFirst(key: readonly Field[], scope: readonly string[] = []): readonly Field[] {
  const isScope = ({ name }: Field) => scope.includes(name)
  return [...key.filter(isScope), ...key.filter((field) => !isScope(field))]
}

/** The fields that tell whose a row is: those of the scope, and the transaction id. */
export function ownerFields({ scope, transactionId }: ClaimedTable): readonly Field[] {
  return [...scope, transactionId]
}

function mapSerial(found: TableCheck, options: SerialsOptions): SerialsMap['serial'] {
  const { model } = found
  const number = found.field('number', PLAIN_TEXT)
  const transactionId = found.field('transactionId', { ...TEXT_OR_UUID, isOptional: true })
  const name = `${model.name}.${transactionId.name}`
  if (areFound(transactionId) && !transactionId.isOptional) {
    found.report('transactionId', `${name} must be optional: it is NULL while the serial is free`)
  }
  const scope = found.scope(options.scope)
  const key = keyWith([number, ...scope], model)
  if (areFound(number, ...scope) && key.length === 0) {
    const others = scope.map((field) => ` with ${field.name}`).join('')
    found.report('number', `${model.name}.${number.name} must be in a unique key${others} without optional fields`)
  }
  const changes = options.history && found.field('changes', INT)
  return {
    ...found.table(),
    scope,
    number,
    key,
    transactionId,
    ...mapState(found, options.serial?.state),
    changes,
    readable: rawReadable(model),
  }
}

function mapState(
  found: TableCheck,
  mapping: StateMapping | undefined,
): Pick<SerialsMap['serial'], 'state' | 'states'> {
  if (mapping === undefined) return { state: undefined, states: undefined }
  const { model } = found
  const { field: name = 'state' } = mapping
  const state = model.fields.get(name)
  const stateOf = (role: 'free' | 'allocated') => {
    const stored = state && columnValue(mapping[role], state)
    if (state && typeof stored !== 'string') {
      found.report(`state.${role}`, `${mapping[role]} is no value of ${model.name}.${name}`)
    }
    return literal(String(stored))
  }
  if (
    model.fields.size > 0 &&
    (state === undefined || state.isList || state.isOptional || (state.kind !== 'enum' && state.type !== 'String'))
  ) {
    found.report('state.field', `${model.name} needs a field ${name}, which is an enum or a String and not optional`)
  }
  if (mapping.free === mapping.allocated) found.report('state.allocated', 'must be another state than `free`')
  return { state, states: { free: stateOf('free'), allocated: stateOf('allocated') } }
}

function mapHistory(found: TableCheck, serial: SerialsMap['serial']): HistoryMap {
  const { model } = found
  const sequence = found.field('sequence', INT)
  const changedAt = found.field('changedAt', MOMENT)
  const copied = Array.from(model.fields.values()).filter(
    (field) =>
      field !== sequence &&
      field !== changedAt &&
      !field.isUpdatedAt &&
      field.fallback.kind === 'none' &&
      serial.model.fields.has(field.name) &&
      field.kind !== 'relation',
  )
  for (const field of copied) {
    const own = serial.model.fields.get(field.name)
    if (own?.type !== field.type || own.isList !== field.isList || (own.isOptional && !field.isOptional)) {
      found.report(
        'model',
        `${model.name}.${field.name} must be able to hold each value of ${serial.model.name}.${field.name}`,
      )
    }
  }
  const wanted = [...serial.key, serial.transactionId].filter((field) => areFound(field))
  for (const { name } of wanted) {
    if (copied.some((field) => field.name === name)) continue
    if (areFound(sequence))
      found.report('model', `${model.name} needs the field ${name} of ${serial.model.name}, without a default`)
  }
  const key = serial.key.flatMap(({ name }) => copied.find((field) => field.name === name) ?? [])
  const readable = rawReadable(model)
  if (readable === undefined)
    found.report('model', `${model.name} has a field whose values SQL gives in another form than Prisma does`)
  found.uniqueKey('model', [...key, sequence])
  if (areFound(sequence, changedAt)) found.insertable([...copied, sequence, changedAt])
  return { ...found.table(), key, copied, sequence, changedAt, readable: readable ?? [] }
}

function mapAllocation(found: TableCheck, scoped: SerialsOptions['scope']): SerialsMap['allocation'] {
  const scope = found.scope(scoped)
  const transactionId = found.field('transactionId', TEXT_OR_UUID)
  const request = found.field('request', PLAIN_TEXT)
  const count = found.field('count', INT)
  found.uniqueKey('model', [...scope, transactionId])
  const written = [...scope, transactionId, request, count]
  // One that was not found is reported already, and would be missed here a second time.
  if (areFound(...written)) found.insertable(written)
  return { ...found.table(), scope, transactionId, request, count, createdAt: found.named('createdAt', MOMENT) }
}

/** A NULL in a key is equal to nothing, so a serial with one could not be told from others. */
function keyWith(wanted: readonly Field[], model: Model): Field[] {
  const [number] = wanted
  for (const { fields: names } of model.keys) {
    if (number === undefined || !wanted.every(({ name }) => names.includes(name))) continue
    const others = names.filter((name) => name !== number.name).flatMap((name) => model.fields.get(name) ?? [])
    if (others.length === names.length - 1 && others.every(({ isOptional }) => !isOptional)) return [number, ...others]
  }
  return []
}
