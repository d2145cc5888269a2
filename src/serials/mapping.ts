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
    /** All scalar fields, if raw SQL gives each of them as a model call does. */
    readonly readable: readonly Field[] | undefined
  }
  readonly allocation: ClaimedTable & { readonly request: Field; readonly count: Field }
  readonly catalogue: Catalogue
  /** The unique keys without which serials would be given twice. */
  readonly keys: RequiredKeys
}

/** @throws ConfigurationError with every mistake */
export function mapSerials(dataModel: DataModel, options: SerialsOptions): SerialsMap {
  const check = new MappingCheck(dataModel)
  const { scope } = options
  const serial = mapSerial(check.table('serial', options.serial ?? {}, DEFAULT_SERIAL_MODEL), scope)
  const allocation = mapAllocation(check.table('allocation', options.allocation ?? {}, DEFAULT_ALLOCATION_MODEL), scope)
  // To a uuid two texts are the same that are not so to a text: claimed twice, they would be one owner.
  ownerFields(serial).forEach((own, i) => {
    const noted = ownerFields(allocation)[i]
    if (noted === undefined || !areFound(own, noted) || sqlTypeOf(own) === sqlTypeOf(noted)) return
    const path = own === serial.transactionId ? 'serial.transactionId' : `scope[${i}]`
    const name = `${serial.model.name}.${own.name}`
    check.report(path, `${name} must be of the type of ${allocation.model.name}.${noted.name}`)
  })
  check.finish()
  const catalogue = new Catalogue()
  const keys = new RequiredKeys(catalogue, [
    { model: serial.model, fields: serial.key },
    { model: allocation.model, fields: ownerFields(allocation) },
  ])
  return { serial, allocation, catalogue, keys }
}

/** The fields that tell whose a row is: those of the scope, and the transaction id. */
export function ownerFields({ scope, transactionId }: ClaimedTable): readonly Field[] {
  return [...scope, transactionId]
}

function mapSerial(found: TableCheck, scoped: SerialsOptions['scope']): SerialsMap['serial'] {
  const { model } = found
  const number = found.field('number', PLAIN_TEXT)
  const transactionId = found.field('transactionId', { ...TEXT_OR_UUID, isOptional: true })
  const name = `${model.name}.${transactionId.name}`
  if (areFound(transactionId) && !transactionId.isOptional) {
    found.report('transactionId', `${name} must be optional: it is NULL while the serial is free`)
  }
  const scope = found.scope(scoped)
  const key = keyWith([number, ...scope], model)
  if (areFound(number, ...scope) && key.length === 0) {
    const others = scope.map((field) => ` with ${field.name}`).join('')
    found.report('number', `${model.name}.${number.name} must be in a unique key${others} without optional fields`)
  }
  return { ...found.table(), scope, number, key, transactionId, readable: rawReadable(model) }
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
  return { ...found.table(), scope, transactionId, request, count }
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
