import { InvalidArgumentError, type VersionValue } from '../errors/index.js'
import { checkTexts } from '../sql/key-text.js'
import type { RowKey } from '../sql/row-key.js'
import type { Selection } from '../values/selection.js'
import { checkNames, isRecord } from '../values/validation.js'
import type { VersionedModel } from './versioned-models.js'

export type Where = Readonly<Record<string, unknown>>
export type Data = Readonly<Record<string, unknown>>

/** The arguments of a versioned write, with nothing known yet of what is in them. */
export type Args = Selection & {
  readonly where?: unknown
  readonly data?: unknown
  readonly retry?: unknown
  readonly signal?: unknown
}

export const DELETE_ARGUMENTS = ['where', 'select', 'include', 'omit', 'retry', 'signal']
export const UPDATE_ARGUMENTS = [...DELETE_ARGUMENTS, 'data']

export function checkArgs(args: unknown, names: readonly string[]): Args {
  if (!isRecord(args)) throw new InvalidArgumentError('arguments', 'must be an object.')
  checkNames(args, names)
  return args
}

/** Which row a `where` names, and in which version. */
export interface VersionedWhere {
  /** The `where` without its version: the same row, whatever state it is in. */
  readonly row: Where
  readonly expected: VersionValue | undefined
}

/**
 * Reads a `where`. Prisma itself drops a filter that is `undefined`, and would then write unguarded, so
 * everything that is no version is refused here, before any SQL. `0` is a real version.
 */
export function readWhere(where: unknown, versioned: VersionedModel, path = 'where'): VersionedWhere {
  if (!isRecord(where)) {
    throw new InvalidArgumentError(path, `of ${versioned.model.name} must be an object that names one record.`)
  }
  checkTexts(where, path)
  const { name } = versioned.version
  if (!Object.hasOwn(where, name)) return { row: where, expected: undefined }
  const { [name]: version, ...row } = where
  return { row, expected: readVersion(version, versioned, `${path}.${name}`) }
}

function readVersion(value: unknown, { model, version, highest }: VersionedModel, path: string): VersionValue {
  const refuse = (message: string) => new InvalidArgumentError(path, `of ${model.name} is ${message}`)
  if (typeof value !== 'number' && typeof value !== 'bigint') {
    const type = version.type === 'Int' ? 'number' : 'bigint'
    throw refuse(
      `${describe(value)}, but must be the version that was read, a ${type}. Select \`${version.name}\` where you read the record.`,
    )
  }
  if (typeof value === 'number' && !Number.isSafeInteger(value)) throw refuse(`${value}, but must be a whole number.`)
  if (value < 0 || value > highest) throw refuse(`${value}, but must be from 0 to ${highest}.`)
  return version.type === 'Int' ? Number(value) : BigInt(value)
}

/** Like `readWhere`, where the version must be given. */
export function readGuardedWhere(
  where: unknown,
  versioned: VersionedModel,
  path = 'where',
): VersionedWhere & { readonly expected: VersionValue } {
  const { row, expected } = readWhere(where, versioned, path)
  if (expected !== undefined) return { row, expected }
  throw new InvalidArgumentError(
    `${path}.${versioned.version.name}`,
    `of ${versioned.model.name} is missing: give the version that was read, or give \`data\` as a function of the current record.`,
  )
}

/** Without a unique key, a statement of our own would find any number of rows. */
export function requireKey({ parts }: Pick<RowKey, 'parts'>, { model }: VersionedModel, path: string): void {
  if (parts.length > 0) return
  throw new InvalidArgumentError(path, `of ${model.name} must name one record by a unique key.`)
}

/** The data of a write, which must not set the version: that is the extension's to do. */
export function checkedData(data: unknown, { model, version }: VersionedModel, path = 'data'): Data {
  if (!isRecord(data)) {
    throw new InvalidArgumentError(path, `of ${model.name} is ${describe(data)}, but must be an object.`)
  }
  const { [version.name]: given, ...rest } = data
  if (given === undefined) return rest
  throw new InvalidArgumentError(
    `${path}.${version.name}`,
    `of ${model.name} cannot be set: every versioned write adds 1 to it.`,
  )
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'string') return 'a string'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}
