import type { Field, Model } from '../engine/data-model.js'
import { InvalidArgumentError } from '../errors/index.js'
import { columnValue } from '../sql/column-value.js'
import { type Refusals, readValues, type Values } from '../sql/given-values.js'
import type { Scope } from '../sql/scope.js'
import { canonical } from '../values/canonical.js'
import { sha256 } from '../values/sha256.js'
import { canonicalUuid } from '../values/text.js'
import { isRecord } from '../values/validation.js'

export type { Refusals, Values }

/** Values to compare with: of a `where`, where `undefined` would mean more than was meant. */
export function readWhere(path: string, value: unknown, model: Model, refusals: Refusals): Values {
  const values = record(path, value, model)
  for (const [name, item] of Object.entries(values)) {
    if (item === undefined) throw new InvalidArgumentError(`${path}.${name}`, 'is undefined; leave it out instead.')
    const field = model.fields.get(name)
    if (field && (field.isList || field.type === 'Json')) {
      throw new InvalidArgumentError(`${path}.${name}`, `of type ${field.type} cannot be compared here.`)
    }
  }
  return readValues(path, values, model, refusals)
}

/** Values to write: of a `data`, where `undefined` is as good as nothing, as everywhere in Prisma. */
export function readData(path: string, value: unknown, model: Model, refusals: Refusals): Values {
  const given = Object.entries(record(path, value ?? {}, model)).filter(([, item]) => item !== undefined)
  return readValues(path, Object.fromEntries(given), model, refusals)
}

/** The same values, and those of a scope in front. */
export function inScope({ fields, given, stored }: Values, of: readonly Field[], scope: Scope): Values {
  if (of.length === 0) return { fields, given, stored }
  const named = Object.fromEntries(of.map(({ name }, i) => [name, scope[i]]))
  return { fields: [...of, ...fields], given: { ...named, ...given }, stored: [...scope, ...stored] }
}

/** By column, as JSON. */
export function jsonOf({ fields, stored }: Values): string {
  return JSON.stringify(Object.fromEntries(fields.map(({ column }, i) => [column, stored[i]])))
}

/** One short text per value, the same for all forms of one value. */
export function textOf(value: unknown, field?: Field): string {
  const text = canonical(field ? plain(value, field) : value)
  if (text.length <= LONGEST_TEXT) return text
  return `sha256:${sha256(text)}`
}

const LONGEST_TEXT = 200

function record(path: string, value: unknown, { name }: Model): Readonly<Record<string, unknown>> {
  if (!isRecord(value)) throw new InvalidArgumentError(path, `must be an object with values of fields of ${name}.`)
  return value
}

/** The record of a request must stay as it is over the versions of this package. */
function plain(value: unknown, field: Field): unknown {
  if (field.isList && Array.isArray(value)) return value.map((item) => plain(item, { ...field, isList: false }))
  if (value === null || field.type === 'Json') return value
  if (field.type === 'DateTime') return new Date(value as string).toISOString().slice(0, -1)
  const stored = columnValue(value, field)
  if (field.type === 'Decimal') return decimalText(String(stored))
  if (field.type === 'BigInt' || field.type === 'Int') return String(stored)
  return field.nativeType === 'Uuid' ? canonicalUuid(String(stored)) : stored
}

/** `05.10` is `5.1`. */
function decimalText(text: string): string {
  const [, sign, whole = '', fraction = ''] = /^([+-]?)0*(\d*)\.?(\d*?)0*$/.exec(text) ?? [text]
  if (whole === '' && fraction === '') return sign === undefined ? text : '0'
  return `${sign === '-' ? '-' : ''}${whole || '0'}${fraction && `.${fraction}`}`
}
