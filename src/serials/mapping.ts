import type { DataModel, Field, Model } from '../engine/data-model.js'
import { sqlTypeOf } from '../mapping/columns.js'
import {
  areFound,
  INT,
  MappingCheck,
  PLAIN_TEXT,
  type TableCheck,
  type TableMap,
  TEXT_OR_UUID,
} from '../mapping/mapping.js'
import { Catalogue } from '../sql/catalogue.js'
import { rawReadable } from '../sql/raw-record.js'
import { RequiredKeys } from '../sql/unique-keys.js'
import type { SerialsOptions } from './options.js'
import { DEFAULT_ALLOCATION_MODEL, DEFAULT_SERIAL_MODEL } from './schema.js'

/** The user's models and fields, found and checked. */
export interface SerialsMap {
  readonly serial: TableMap & {
    readonly number: Field
    /** The fields of the unique key that the number is in, the number first. */
    readonly key: readonly Field[]
    readonly transactionId: Field
    /** All scalar fields, if raw SQL gives each of them as a model call does. */
    readonly readable: readonly Field[] | undefined
  }
  readonly allocation: TableMap & { readonly transactionId: Field; readonly request: Field; readonly count: Field }
  readonly catalogue: Catalogue
  /** The unique keys without which serials would be given twice. */
  readonly keys: RequiredKeys
}

/** @throws ConfigurationError with every mistake */
export function mapSerials(dataModel: DataModel, options: SerialsOptions): SerialsMap {
  const check = new MappingCheck(dataModel)
  const serial = mapSerial(check.table('serial', options.serial ?? {}, DEFAULT_SERIAL_MODEL))
  const allocation = mapAllocation(check.table('allocation', options.allocation ?? {}, DEFAULT_ALLOCATION_MODEL))
  const [own, noted] = [serial.transactionId, allocation.transactionId]
  // To a uuid two texts are the same that are not so to a text: claimed twice, they would be one owner.
  if (areFound(own, noted) && sqlTypeOf(own) !== sqlTypeOf(noted)) {
    const name = `${serial.model.name}.${own.name}`
    check.report('serial.transactionId', `${name} must be of the type of ${allocation.model.name}.${noted.name}`)
  }
  check.finish()
  const catalogue = new Catalogue()
  const keys = new RequiredKeys(catalogue, [
    { model: serial.model, fields: serial.key },
    { model: allocation.model, fields: [allocation.transactionId] },
  ])
  return { serial, allocation, catalogue, keys }
}

function mapSerial(found: TableCheck): SerialsMap['serial'] {
  const { model } = found
  const number = found.field('number', PLAIN_TEXT)
  const transactionId = found.field('transactionId', { ...TEXT_OR_UUID, isOptional: true })
  const name = `${model.name}.${transactionId.name}`
  if (areFound(transactionId) && !transactionId.isOptional) {
    found.report('transactionId', `${name} must be optional: it is NULL while the serial is free`)
  }
  const key = keyWith(number, model)
  if (areFound(number) && key.length === 0) {
    found.report('number', `${model.name}.${number.name} must be in a unique key without optional fields`)
  }
  return { ...found.table(), number, key, transactionId, readable: rawReadable(model) }
}

function mapAllocation(found: TableCheck): SerialsMap['allocation'] {
  const transactionId = found.field('transactionId', TEXT_OR_UUID)
  const request = found.field('request', PLAIN_TEXT)
  const count = found.field('count', INT)
  found.uniqueKey('model', [transactionId])
  const written = [transactionId, request, count]
  // One that was not found is reported already, and would be missed here a second time.
  if (areFound(...written)) found.insertable(written)
  return { ...found.table(), transactionId, request, count }
}

/** A NULL in a key is equal to nothing, so a serial with one could not be told from others. */
function keyWith(number: Field, model: Model): Field[] {
  for (const { fields: names } of model.keys) {
    if (!names.includes(number.name)) continue
    const others = names.filter((name) => name !== number.name).flatMap((name) => model.fields.get(name) ?? [])
    if (others.length === names.length - 1 && others.every(({ isOptional }) => !isOptional)) return [number, ...others]
  }
  return []
}
