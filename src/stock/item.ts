import type { Field } from '../engine/data-model.js'
import { InvalidArgumentError, type ItemKeyValue, type ItemName } from '../errors/index.js'
import { checkKeyLength } from '../sql/key-text.js'
import { keyValue } from '../sql/key-value.js'
import type { Scope } from '../sql/scope.js'
import { isRecord } from '../values/validation.js'

/** An item, by its key. */
export interface Item {
  /** One text per item, equal exactly where the database's keys are. */
  readonly id: string
  /** The values of its key, as text, in the order of the key's fields: the scope comes first. */
  readonly key: readonly string[]
  /** As the caller named it, in its scope. */
  readonly given: ItemName
}

const WHOLE = /^-?\d+$/

/** The fields that name an item: those of its scope, which are given once for a call, and then its own. */
export interface ItemFields {
  readonly scope: readonly Field[]
  /** All of them. */
  readonly key: readonly Field[]
  readonly own: readonly Field[]
}

/** Reads an item of a scope: the value of its key, or an object with one value for each field of the key. */
export function readItem(fields: ItemFields, scope: Scope, value: unknown, path: string): Item {
  const [field, ...others] = fields.own as readonly [Field, ...Field[]]
  if (others.length > 0) return readFields(fields, scope, value, path)
  return itemOf(scope.concat(keyValue(value, field, path)), value as ItemName)
}

/** Reads an object with one value for each field. */
export function readFields({ own: fields }: ItemFields, scope: Scope, value: unknown, path: string): Item {
  if (!isRecord(value)) {
    throw new InvalidArgumentError(path, `must be an object with ${fields.map(({ name }) => name).join(' and ')}.`)
  }
  const stranger = Object.keys(value).find((name) => !fields.some((field) => field.name === name))
  if (stranger !== undefined)
    throw new InvalidArgumentError(`${path}.${stranger}`, 'is not part of the key of an item.')
  const own = fields.map((field) => keyValue(value[field.name], field, `${path}.${field.name}`))
  const key = scope.concat(own) // a spread would keep room for more, for each of a hundred thousand calls that wait
  checkKeyLength(key, path)
  return itemOf(key, value as ItemName)
}

/** The item with these values of all its fields. */
export function itemOfRow({ scope, own }: ItemFields, key: readonly string[]): Item {
  return itemOf(key, givenOf(key.slice(scope.length), own))
}

/** The item with these values, as the database has them. */
function itemOf(key: readonly string[], given: ItemName): Item {
  return { id: key.length === 1 ? (key[0] as string) : JSON.stringify(key), key, given }
}

/** The key of a row as the values that the caller knows: of Prisma's types for the fields. */
export function givenOf(key: readonly string[], fields: readonly Field[]): ItemName {
  const values = fields.map(({ type }, i): ItemKeyValue => {
    const text = key[i] as string
    if (!WHOLE.test(text) || type === 'String') return text
    return type === 'Int' ? Number(text) : BigInt(text)
  })
  return fields.length === 1
    ? (values[0] as ItemKeyValue)
    : Object.fromEntries(fields.map(({ name }, i) => [name, values[i] as ItemKeyValue]))
}
