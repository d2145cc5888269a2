import { InvalidArgumentError, type VersionValue } from '../errors/index.js'
import { checkTexts } from '../sql/key-text.js'
import { isRecord } from '../values/validation.js'
import type { VersionedModel } from './versioned-models.js'

export type Where = Readonly<Record<string, unknown>>

/**
 * The version that the caller expects, or `undefined` where `where` has none. Prisma itself drops
 * a filter that is `undefined` and would then write unguarded, so whatever is no version is
 * refused here, before any SQL. `0` is a real version.
 */
export function expectedVersion(where: unknown, versioned: VersionedModel, path = 'where'): VersionValue | undefined {
  checkWhere(where, versioned, path)
  const { name, type } = versioned.version
  if (!Object.hasOwn(where, name)) return undefined
  const value = where[name]
  const field = `${path}.${name}`
  if (typeof value !== 'number' && typeof value !== 'bigint') {
    throw new InvalidArgumentError(
      field,
      `of ${versioned.model.name} is ${describe(value)}, but must be the version that was read, a ${type === 'Int' ? 'number' : 'bigint'}. Select \`${name}\` where you read the record.`,
    )
  }
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new InvalidArgumentError(field, `of ${versioned.model.name} is ${value}, but must be a whole number.`)
  }
  if (value < 0 || value > versioned.highest) {
    throw new InvalidArgumentError(
      field,
      `of ${versioned.model.name} is ${value}, but must be from 0 to ${versioned.highest}.`,
    )
  }
  return type === 'Int' ? Number(value) : BigInt(value)
}

/** Like `expectedVersion`, where the version must be given. */
export function requiredVersion(where: unknown, versioned: VersionedModel, path = 'where'): VersionValue {
  const expected = expectedVersion(where, versioned, path)
  if (expected !== undefined) return expected
  throw new InvalidArgumentError(
    `${path}.${versioned.version.name}`,
    `of ${versioned.model.name} is missing: give the version that was read, or give \`data\` as a function of the current record.`,
  )
}

function checkWhere(where: unknown, versioned: VersionedModel, path: string): asserts where is Where {
  if (!isRecord(where)) {
    throw new InvalidArgumentError(path, `of ${versioned.model.name} must be an object that names one record.`)
  }
  checkTexts(where, path)
}

/** The `where` without its version: which row it is, whatever state it is in. */
export function rowOf(where: Where, versioned: VersionedModel): Where {
  const { [versioned.version.name]: _version, ...row } = where
  return row
}

/** The data of a write, which must not set the version: that is the extension's to do. */
export function checkedData(
  data: unknown,
  versioned: VersionedModel,
  path = 'data',
): Readonly<Record<string, unknown>> {
  if (!isRecord(data)) {
    throw new InvalidArgumentError(path, `of ${versioned.model.name} is ${describe(data)}, but must be an object.`)
  }
  const { [versioned.version.name]: version, ...rest } = data
  if (version !== undefined) {
    throw new InvalidArgumentError(
      `${path}.${versioned.version.name}`,
      `of ${versioned.model.name} cannot be set: every versioned write adds 1 to it.`,
    )
  }
  return rest
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'string') return 'a string'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}
