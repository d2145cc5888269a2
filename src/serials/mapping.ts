import type { DataModel, Field, Model } from '../engine/data-model.js'
import { sqlTypeOf } from '../mapping/columns.js'
import { type FieldRule, MappingCheck, TEXT } from '../mapping/mapping.js'
import { rawReadable } from '../sql/raw-record.js'
import { tableOf } from '../sql/sql.js'
import type { AllocationMapping, SerialMapping, SerialsOptions } from './options.js'
import { DEFAULT_ALLOCATION_MODEL, DEFAULT_SERIAL_MODEL } from './schema.js'

/** The user's models and fields, found and checked. */
export interface SerialsMap {
  readonly serial: {
    readonly model: Model
    readonly table: string
    readonly number: Field
    /** The fields of the unique key that the number is in, the number first. */
    readonly key: readonly Field[]
    readonly transactionId: Field
    readonly version: Field | undefined
    readonly updatedAt: readonly Field[]
    /** All scalar fields, if raw SQL gives each of them as a model call does. */
    readonly alike: readonly Field[] | undefined
  }
  readonly allocation: {
    readonly model: Model
    readonly table: string
    readonly transactionId: Field
    readonly request: Field
    readonly count: Field
    readonly updatedAt: readonly Field[]
  }
}

/** @throws ConfigurationError with every mistake */
export function mapSerials(dataModel: DataModel, options: SerialsOptions): SerialsMap {
  const check = new MappingCheck(dataModel)
  const serial = mapSerial(check, options.serial ?? {})
  const allocation = mapAllocation(check, options.allocation ?? {})
  const [own, noted] = [serial.transactionId, allocation.transactionId]
  // To a uuid two texts are the same that are not so to a text: claimed twice, they would be one owner.
  if (own.name !== '' && noted.name !== '' && sqlTypeOf(own) !== sqlTypeOf(noted)) {
    check.report(
      'serial.transactionId',
      `${serial.model.name}.${own.name} must be of the type of ${allocation.model.name}.${noted.name}`,
    )
  }
  check.finish()
  return { serial, allocation }
}

function mapSerial(check: MappingCheck, options: SerialMapping): SerialsMap['serial'] {
  const model = check.model('serial.model', options.model ?? DEFAULT_SERIAL_MODEL)
  const number = textField(check, 'serial.number', model, options.number ?? 'number', TEXT, ['text'])
  const transactionId = textField(
    check,
    'serial.transactionId',
    model,
    options.transactionId ?? 'transactionId',
    { ...TEXT, isOptional: true },
    ['text', 'uuid'],
  )
  if (transactionId.name !== '' && !transactionId.isOptional) {
    check.report(
      'serial.transactionId',
      `${model.name}.${transactionId.name} must be optional: it is NULL while the serial is free`,
    )
  }
  const key = keyWith(number, model)
  if (number.name !== '' && key === undefined) {
    check.report('serial.number', `${model.name}.${number.name} must be in a unique key without optional fields`)
  }
  return {
    model,
    table: tableOf(model),
    number,
    key: key ?? [],
    transactionId,
    version: check.version('serial.version', model, options.version),
    updatedAt: updatedAtOf(model),
    alike: rawReadable(model),
  }
}

function mapAllocation(check: MappingCheck, options: AllocationMapping): SerialsMap['allocation'] {
  const model = check.model('allocation.model', options.model ?? DEFAULT_ALLOCATION_MODEL)
  const { transactionId, request, count } = {
    transactionId: textField(check, 'allocation.transactionId', model, options.transactionId ?? 'transactionId', TEXT, [
      'text',
      'uuid',
    ]),
    request: textField(check, 'allocation.request', model, options.request ?? 'request', TEXT, ['text']),
    count: check.field('allocation.count', model, options.count ?? 'count', { types: ['Int'] }),
  }
  check.uniqueKey('allocation.model', model, [transactionId])
  const written = [transactionId, request, count]
  // One that was not found is reported already, and would be missed here a second time.
  if (written.every(({ name }) => name !== '')) check.insertable('allocation.model', model, written)
  return { model, table: tableOf(model), transactionId, request, count, updatedAt: updatedAtOf(model) }
}

function textField(
  check: MappingCheck,
  path: string,
  model: Model,
  name: string,
  rule: FieldRule,
  types: readonly string[],
): Field {
  const field = check.field(path, model, name, rule)
  if (field.name !== '' && !types.includes(sqlTypeOf(field) ?? '')) {
    check.report(path, `${model.name}.${name} must not be @db.${field.nativeType}`)
  }
  return field
}

/** A NULL in a key is equal to nothing, so a serial with one could not be told from others. */
function keyWith(number: Field, model: Model): Field[] | undefined {
  for (const names of model.keys) {
    const others = names.filter((name) => name !== number.name).map((name) => model.fields.get(name))
    const isComplete = others.every((field) => field !== undefined && !field.isOptional)
    if (names.includes(number.name) && isComplete) return [number, ...(others as Field[])]
  }
  return undefined
}

const updatedAtOf = (model: Model) => [...model.fields.values()].filter(({ isUpdatedAt }) => isUpdatedAt)
