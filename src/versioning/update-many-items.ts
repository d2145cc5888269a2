import type { Field } from '../engine/data-model.js'
import { InvalidArgumentError, type VersionValue } from '../errors/index.js'
import { type ColumnValue, columnValue } from '../sql/column-value.js'
import { type RowKey, rowKeyOf } from '../sql/row-key.js'
import { canonical } from '../values/canonical.js'
import { isRecord } from '../values/validation.js'
import { checkedData, type Data, readGuardedWhere, requireKey, type Where } from './arguments.js'
import { type Operation, operationIn } from './direct-data.js'
import type { VersionedModel } from './versioned-models.js'

/** A row of the batch, checked, and its values as the statement takes them. */
export interface Item {
  readonly row: Where
  readonly key: RowKey
  readonly expected: VersionValue
  readonly data: Data
  readonly operations: ReadonlyMap<Field, { readonly operation: Operation; readonly stored: ColumnValue }>
}

export function readItem(entry: unknown, index: number, versioned: VersionedModel): Item {
  const path = `[${index}]`
  if (!isRecord(entry)) throw new InvalidArgumentError(path, 'must be { where, data }.')
  const { row, expected } = readGuardedWhere(entry.where, versioned, `${path}.where`)
  const key = rowKeyOf(row, versioned.model)
  for (const filter of key.filters) {
    throw new InvalidArgumentError(
      `${path}.where.${filter}`,
      'is not a value of a key, which is all that a batch can look for.',
    )
  }
  for (const { field, path: part } of key.unclear) refuseValue(field, `${path}.where.${part}`)
  requireKey(key, versioned, `${path}.where`)
  const data = checkedData(entry.data, versioned, `${path}.data`)
  return { row, key, expected, data, operations: readOperations(data, versioned, `${path}.data`) }
}

function readOperations(data: Data, { model }: VersionedModel, path: string): Item['operations'] {
  const operations = new Map<Field, { operation: Operation; stored: ColumnValue }>()
  for (const [name, value] of Object.entries(data)) {
    if (value === undefined) continue
    const field = model.fields.get(name)
    const at = `${path}.${name}`
    if (field === undefined || (field.kind !== 'scalar' && field.kind !== 'enum')) {
      throw new InvalidArgumentError(at, `is not a scalar field of ${model.name}.`)
    }
    if (model.emulatedKeys.has(name)) {
      throw new InvalidArgumentError(
        at,
        `is a key that other rows refer to, which Prisma has to change with it (relationMode = "prisma"). Use updateVersioned for it.`,
      )
    }
    operations.set(field, readOperation(value, field, at))
  }
  for (const field of model.fields.values()) {
    if (field.isUpdatedAt && !operations.has(field)) operations.set(field, readOperation(new Date(), field, path))
  }
  return operations
}

function readOperation(given: unknown, field: Field, path: string): { operation: Operation; stored: ColumnValue } {
  const { operation, value, isWrapped } = operationIn(given, field) ?? {}
  if (operation === undefined || (isWrapped && value === undefined)) {
    throw new InvalidArgumentError(path, 'must be a value, or one of { set }, { increment } and { decrement }.')
  }
  const at = isWrapped ? `${path}.${operation}` : path
  if (operation !== 'set' && (value === null || field.isList || !NUMERIC.has(field.type))) {
    throw new InvalidArgumentError(at, `cannot be done: only a number can be added to a number.`)
  }
  const stored = columnValue(value, field)
  return { operation, stored: stored === undefined ? refuseValue(field, at) : stored }
}

const NUMERIC: ReadonlySet<string> = new Set(['Int', 'BigInt', 'Float', 'Decimal'])

function refuseValue({ type, isList, nativeType }: Field, path: string): never {
  const name = `${type}${isList ? '[]' : ''}${nativeType === undefined ? '' : ` @db.${nativeType}`}`
  throw new InvalidArgumentError(path, `is not a value that this field of type ${name} can be given in a batch.`)
}

/** All rows must be named by the same key, and none of them twice: it would be stale the second time. */
export function checkKeys(items: readonly Item[], { model }: VersionedModel): void {
  const shapeOf = ({ key }: Item) => key.parts.map(({ field }) => field.name).join(', ')
  const [expected] = items.map(shapeOf)
  const seen = new Map<string, number>()
  items.forEach((item, index) => {
    const path = `[${index}].where`
    const shape = shapeOf(item)
    if (shape !== expected) {
      throw new InvalidArgumentError(
        path,
        `names its ${model.name} by ${shape}, but [0] by ${expected}; all rows of a batch are named by the same key.`,
      )
    }
    const name = canonical(item.key.parts.map(({ value }) => value))
    const twin = seen.get(name)
    if (twin !== undefined) throw new InvalidArgumentError(path, `names the same ${model.name} as [${twin}].`)
    seen.set(name, index)
  })
}
