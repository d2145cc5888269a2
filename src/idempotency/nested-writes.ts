import type { DataModel, Field, Model } from '../engine/data-model.js'
import { InvalidArgumentError } from '../errors/index.js'
import { isDecimal } from '../values/canonical.js'
import { isRecord } from '../values/validation.js'
import type { Payload } from './payload.js'

/** The operations of Prisma's own `create` on the rows of a relation. */
const OPERATIONS = ['create', 'createMany', 'connect', 'connectOrCreate']

/**
 * Checks the data of a row that is inserted with others, before any SQL. Prisma looks at each part when
 * its turn comes, and the row itself has been sent by then. Prisma checks the rest.
 *
 * @throws InvalidArgumentError that names the part
 */
export function checkNestedWrites({ key, scalars, children }: Payload, model: Model, dataModel: DataModel): void {
  new NestedWrites(dataModel).checkRow({ ...key, ...scalars, ...children }, model, 'data')
}

/** A foreign key may come from the row around it, or from a `connect`. */
function isNeeded({ name, kind, isOptional, isList, isUpdatedAt, fallback }: Field, model: Model): boolean {
  if (kind === 'relation' || isOptional || isList || isUpdatedAt || fallback.kind !== 'none') return false
  return ![...model.fields.values()].some(({ foreignKey }) => foreignKey?.fields.includes(name))
}

class NestedWrites {
  readonly #dataModel: DataModel

  constructor(dataModel: DataModel) {
    this.#dataModel = dataModel
  }

  checkRow(row: unknown, model: Model, path: string): void {
    if (!isRecord(row)) throw new InvalidArgumentError(path, `must be an object with the values of a ${model.name}.`)
    for (const [name, value] of Object.entries(row)) {
      const at = `${path}.${name}`
      const field = model.fields.get(name)
      if (value === undefined) continue
      if (field === undefined) throw new InvalidArgumentError(at, `is not a field of ${model.name}.`)
      if (field.kind === 'relation') this.#checkRelation(value, field, at)
      else if (!model.standsForNull?.(value)) checkScalar(value, field, at)
    }
    const missing = [...model.fields.values()].find((field) => isNeeded(field, model) && row[field.name] === undefined)
    if (missing) throw new InvalidArgumentError(`${path}.${missing.name}`, `is missing: a ${model.name} must have it.`)
  }

  #checkRelation(value: unknown, field: Field, path: string): void {
    const model = this.#dataModel.get(field.type)
    if (model === undefined) return
    if (!isRecord(value)) throw new InvalidArgumentError(path, 'must be an object, such as { create: … }.')
    for (const [operation, given] of Object.entries(value)) {
      const at = `${path}.${operation}`
      if (given === undefined) continue
      if (!OPERATIONS.includes(operation)) {
        throw new InvalidArgumentError(at, `is none of what an insert takes: ${OPERATIONS.join(', ')}.`)
      }
      if (operation === 'createMany') {
        each(isRecord(given) ? given.data : undefined, `${at}.data`, (row, at) => this.checkRow(row, model, at))
      } else {
        each(given, at, (part, at) => this.#checkPart(operation, part, model, at))
      }
    }
  }

  #checkPart(operation: string, part: unknown, model: Model, path: string): void {
    if (!isRecord(part)) throw new InvalidArgumentError(path, 'must be an object.')
    if (operation === 'create') this.checkRow(part, model, path)
    if (operation === 'connectOrCreate') this.checkRow(part.create, model, `${path}.create`)
  }
}

function each(given: unknown, path: string, check: (part: unknown, path: string) => void): void {
  if (Array.isArray(given)) given.forEach((part, index) => void check(part, `${path}[${index}]`))
  else check(given, path)
}

/** The types of primitive values that a scalar takes; of an enum, and of what is not here, only texts. */
const PRIMITIVES: Readonly<Record<string, readonly string[]>> = {
  Boolean: ['boolean'],
  Int: ['number', 'bigint'],
  BigInt: ['number', 'bigint'],
  Float: ['number', 'bigint'],
  Decimal: ['number', 'bigint', 'string'],
}

function checkScalar(value: unknown, { kind, type, isList, isOptional }: Field, path: string): void {
  if (kind === 'unsupported' || type === 'Json' || isList) return
  if (value === null) {
    if (isOptional) return
    throw new InvalidArgumentError(path, 'must not be null.')
  }
  const isRight =
    typeof value === 'object' ? isRightObject(value, type) : (PRIMITIVES[type] ?? ['string']).includes(typeof value)
  if (!isRight) throw new InvalidArgumentError(path, `must be a value of the type ${type}.`)
}

/** An object without any entries may be one of Prisma's own, such as `Prisma.skip`. */
function isRightObject(value: object, type: string): boolean {
  if (isRecord(value))
    return isDecimal(value) ? /^(?:Decimal|Float|Int|BigInt)$/.test(type) : Object.keys(value).length === 0
  if (ArrayBuffer.isView(value)) return type === 'Bytes'
  return value instanceof Date && type === 'DateTime'
}
