import { type Field, type Model, uniqueKeyOf } from '../engine/data-model.js'
import { type RecordSession, recordIn } from '../engine/records.js'
import { InvalidArgumentError } from '../errors/index.js'
import { checkKeyLength, checkTexts } from '../sql/key-text.js'
import { canonical } from '../values/canonical.js'
import { canonicalUuid } from '../values/text.js'
import { isRecord } from '../values/validation.js'
import { checkKeyValue } from './key-value.js'
import { normalForm } from './normal-form.js'

type Values = Readonly<Record<string, unknown>>

/** The parts of a row to insert. */
export interface Payload {
  /** The unique `where` of the call, as it came. */
  readonly where: Values
  /** The fields of the key, with their values; they go into the row. */
  readonly key: Values
  readonly keyFields: readonly Field[]
  /** The data as it came, for the comparison with an earlier one. */
  readonly data: Values
  /** The scalars among the data. */
  readonly scalars: Values
  /** Links to rows that this one refers to: their keys become scalars of the row. */
  readonly links: readonly Link[]
  /** Nested writes of rows that refer to this one: they come after it. */
  readonly children: Values
  readonly hasChildren: boolean
}

interface Link {
  readonly field: Field
  readonly where: Values
}

/** @throws InvalidArgumentError that names the field, before any SQL */
export function readPayload(model: Model, where: unknown, data: unknown): Payload {
  if (!isRecord(where))
    throw new InvalidArgumentError('where', `of ${model.name} must be an object that names one record.`)
  if (!isRecord(data)) throw new InvalidArgumentError('data', `of ${model.name} must be an object.`)
  const { key, keyFields } = readKey(model, where)
  const scalars: Record<string, unknown> = {}
  const children: Record<string, unknown> = {}
  const links: Link[] = []
  for (const [name, value] of Object.entries(data)) {
    if (value === undefined) continue
    const field = model.fields.get(name)
    if (field === undefined) throw new InvalidArgumentError(`data.${name}`, `is not a field of ${model.name}.`)
    if (Object.hasOwn(key, name))
      throw new InvalidArgumentError(`data.${name}`, 'is given by `where` already; leave it out of `data`.')
    if (field.kind !== 'relation') scalars[name] = value
    else if (field.foreignKey === undefined) children[name] = value
    else links.push(readLink(field, value))
  }
  return { where, key, keyFields, data, scalars, links, children, hasChildren: Object.keys(children).length > 0 }
}

/**
 * The plain values of the unique `where`, those of a compound key one by one. Nothing may stand
 * beside the key: a row that has the key, but not the rest, would be in the way and yet not found.
 */
function readKey(model: Model, where: Values): Pick<Payload, 'key' | 'keyFields'> {
  const [entry, ...others] = Object.entries(where)
  if (entry === undefined || others.length > 0) {
    throw new InvalidArgumentError(
      'where',
      `of ${model.name} must name one unique key and nothing else. The values of other fields go into \`data\`.`,
    )
  }
  const [name, given] = entry
  const names = uniqueKeyOf(model, name)
  if (names === undefined) throw new InvalidArgumentError(`where.${name}`, `is not a unique key of ${model.name}.`)
  const isCompound = names.length > 1
  const values = isCompound ? given : where
  const path = isCompound ? `where.${name}` : 'where'
  if (!isRecord(values)) throw new InvalidArgumentError(path, `must be an object with ${names.join(' and ')}.`)
  const stranger = Object.keys(values).find((part) => !names.includes(part))
  if (stranger !== undefined) throw new InvalidArgumentError(`${path}.${stranger}`, 'is not part of this key.')
  const keyFields = names.flatMap((part) => model.fields.get(part) ?? [])
  for (const field of keyFields) checkKeyPart(values[field.name], field, `${path}.${field.name}`)
  if (isCompound) checkKeyLength(Object.values(values), path)
  return { key: values, keyFields }
}

function checkKeyPart(value: unknown, field: Field, path: string): void {
  if (value === undefined || value === null) {
    throw new InvalidArgumentError(
      path,
      `is ${value}: to a unique key no two nulls are the same, so the row would be inserted again and again.`,
    )
  }
  checkKeyValue(value, field, path)
}

function readLink(field: Field, value: unknown): Link {
  const path = `data.${field.name}`
  const { connect, ...others } = isRecord(value) ? value : {}
  if (!isRecord(connect) || Object.keys(others).length > 0) {
    throw new InvalidArgumentError(
      path,
      'must be { connect }: the row is claimed first, so what it refers to must be there already. Create that before.',
    )
  }
  checkTexts(connect, `${path}.connect`)
  return { field, where: connect }
}

/** The row to insert: key, scalars, and the keys of what it refers to, looked up where need be. */
export async function rowOf(payload: Payload, session: RecordSession): Promise<Record<string, unknown>> {
  const { links, key, keyFields } = payload
  const foreignKeys = await Promise.all(
    links.map(async (link) => ({ link, values: await foreignKeyOf(link, session) })),
  )
  for (const { link, values } of foreignKeys) {
    const isOther = keyFields.some(
      (field) =>
        Object.hasOwn(values, field.name) &&
        canonical(keyForm(values[field.name], field)) !== canonical(keyForm(key[field.name], field)),
    )
    if (!isOther) continue
    throw new InvalidArgumentError(
      `data.${link.field.name}`,
      'connects another record than the one that `where` names.',
    )
  }
  return Object.assign({}, payload.scalars, ...foreignKeys.map(({ values }) => values), key)
}

/** A record that is not there is the ORM's own error, or a foreign-key error of the insert. */
async function foreignKeyOf({ field, where }: Link, session: RecordSession): Promise<Values> {
  const { fields = [], references = [] } = field.foreignKey ?? {}
  // Prisma looks up, or refuses, any `where` but the key alone.
  const isComplete =
    Object.keys(where).length === references.length &&
    references.every((name) => where[name] !== undefined && where[name] !== null)
  const select = Object.fromEntries(references.map((name) => [name, true]))
  const target = isComplete ? where : recordIn(await session.readOther(field.type, { where, select }))
  return Object.fromEntries(fields.map((name, index) => [name, target[references[index] ?? '']]))
}

/** One text per key, whichever of a type's forms its values came in. */
export function keyName(key: Values, keyFields: readonly Field[]): string {
  return canonical(Object.fromEntries(keyFields.map((field) => [field.name, keyForm(key[field.name], field)])))
}

function keyForm(value: unknown, field: Field): unknown {
  const isUuid = field.nativeType === 'Uuid' && typeof value === 'string'
  return (isUuid && canonicalUuid(value)) || normalForm(value, field)
}
