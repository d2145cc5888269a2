import { type Field, type Model, uniqueKeyOf } from '../engine/data-model.js'
import type { Selection } from '../prisma/selection.js'
import { selectedFields } from '../prisma/selection.js'
import type { Catalogue } from '../sql/catalogue.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'
import { rawReadable } from '../sql/raw-record.js'
import { systemClock } from '../sync/clock.js'
import { isRecord } from '../values/validation.js'
import type { Where } from './arguments.js'
import { WriteBatches } from './batch.js'
import type { Passenger } from './passenger.js'
import { Turns } from './turns.js'

/** What the versioned writers of one client share: their turns, and their statements. */
export class Together {
  readonly turns = new Turns<Passenger>()
  readonly catalogue: Catalogue
  readonly batches: WriteBatches

  constructor(catalogue: Catalogue) {
    this.catalogue = catalogue
    this.batches = new WriteBatches(catalogue, systemClock)
  }
}

/** The columns by which a row is named, and their values as JSON. */
export interface RowKey {
  readonly fields: readonly Field[]
  readonly json: Readonly<Record<string, ColumnValue>>
}

/** A row, and what is wanted of it, that a statement of our own finds and returns exactly as Prisma would. */
export interface DirectRow {
  readonly key: RowKey
  /** Every scalar of the model. */
  readonly scalars: readonly Field[]
  /** The fields of the record that the caller wants back. */
  readonly selected: readonly Field[]
}

export function plainRow(where: Where, selection: Selection, model: Model): DirectRow | undefined {
  const key = plainKey(where, model)
  const scalars = key && rawReadable(model)
  const selected = scalars && selectedFields(selection, model)
  return key && scalars && selected && { key, scalars, selected }
}

/** A unique key and nothing beside it, since what stands beside it may be changed by the write itself. */
function plainKey(where: Where, model: Model): RowKey | undefined {
  const [[name, value] = ['', undefined], ...others] = Object.entries(where)
  if (others.length > 0) return undefined
  const names = uniqueKeyOf(model, name)
  const values: unknown = names && names.length > 1 ? value : { [name]: value }
  if (names === undefined || !isRecord(values)) return undefined
  const parts = Object.entries(values)
  if (parts.length !== names.length || !parts.every(([part]) => names.includes(part))) return undefined
  const json: Record<string, ColumnValue> = {}
  const fields: Field[] = []
  for (const [part, item] of parts) {
    const field = model.fields.get(part)
    const stored = field && isPlainKeyValue(item, field) ? columnValue(item, field) : undefined
    if (field === undefined || stored === undefined) return undefined
    fields.push(field)
    json[field.column] = stored
  }
  return { fields, json }
}

function isPlainKeyValue(value: unknown, { kind, type, nativeType }: Field): boolean {
  if (kind !== 'scalar') return false
  if (type === 'String') {
    return typeof value === 'string' && (nativeType === undefined || nativeType === 'Text' || nativeType === 'Uuid')
  }
  if (type === 'Int') return typeof value === 'number' && Number.isInteger(value)
  return type === 'BigInt' && (typeof value === 'bigint' || Number.isSafeInteger(value))
}
