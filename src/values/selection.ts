import type { Field, Model } from '../engine/data-model.js'
import type { Row } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import { isRecord } from './validation.js'

/** Prisma's own `select`, `include` and `omit`. */
export interface Selection {
  readonly select?: Readonly<Record<string, unknown>> | null | undefined
  readonly include?: Readonly<Record<string, unknown>> | null | undefined
  readonly omit?: Readonly<Record<string, unknown>> | null | undefined
}

/**
 * Only the three keys, and only those that are given.
 *
 * @throws InvalidArgumentError for what has no names in it, which Prisma would take for an empty object, or fail over
 */
export function selectionOf(args: { readonly [name in keyof Selection]: unknown }): Selection {
  const given = Object.entries({ select: args.select, include: args.include, omit: args.omit }).filter(
    ([, value]) => value !== undefined,
  )
  for (const [name, value] of given) {
    if (value === null) continue
    if (!isRecord(value)) throw new InvalidArgumentError(name, 'must be an object.')
    checkChosen(value, name)
  }
  return Object.fromEntries(given)
}

/** A chosen field is `true`, `false`, or an object again, which may have a selection of its own. */
function checkChosen(selection: Readonly<Record<string, unknown>>, path: string): void {
  for (const [name, value] of Object.entries(selection)) {
    if (typeof value !== 'object' || value === null) continue
    const at = `${path}.${name}`
    if (!isRecord(value)) throw new InvalidArgumentError(at, 'must be true, false or an object.')
    for (const part of ['select', 'include', 'omit']) {
      const inner = value[part]
      if (isRecord(inner)) checkChosen(inner, `${at}.${part}`)
      else if (typeof inner === 'object' && inner !== null)
        throw new InvalidArgumentError(`${at}.${part}`, 'must be an object.')
    }
  }
}

/** Every scalar of the record, also those that the client leaves out by default. */
export function allScalars(model: Model): Selection {
  const scalars = [...model.fields.values()].filter(({ kind }) => kind === 'scalar' || kind === 'enum')
  return { omit: Object.fromEntries(scalars.map(({ name }) => [name, false])) }
}

/** Whether a relation is asked for, so that Prisma needs more than one statement. */
export function selectsRelations({ select, include }: Selection, model: Model): boolean {
  const isSelected = ([, value]: [string, unknown]) => value !== undefined && value !== false && value !== null
  const chosen = [...Object.entries(select ?? {}), ...Object.entries(include ?? {})].filter(isSelected)
  return chosen.some(([name]) => name === '_count' || model.fields.get(name)?.kind === 'relation')
}

/** A selection with more fields in it, and the way to take them out again of a record, for a caller who did not ask for them. */
export interface Widened {
  readonly selection: Selection
  strip(record: Row): Row
}

/** The selection with these fields in it. One that asks for nothing stays as it is, for Prisma to refuse. */
export function widened(selection: Selection, names: readonly string[], model: Model): Widened {
  if (selectsNothing(selection, model)) return { selection, strip: (record) => record }
  const { select, omit } = selection
  const { omitted } = model
  const unasked = names.filter((name) => (select ? select[name] !== true : (omit?.[name] ?? omitted.has(name))))
  const wanted = (value: boolean) => Object.fromEntries(names.map((name) => [name, value]))
  const wide: Selection = select
    ? { ...selection, select: { ...select, ...wanted(true) } }
    : { ...selection, omit: { ...omit, ...wanted(false) } }
  return {
    selection: wide,
    strip(record) {
      if (unasked.length === 0) return record
      return Object.fromEntries(Object.entries(record).filter(([name]) => !unasked.includes(name)))
    },
  }
}

function selectsNothing({ select, include, omit }: Selection, { fields, omitted }: Model): boolean {
  if (select) return !Object.values(select).some(Boolean)
  const isOmitted = ({ kind, name }: Field) => kind === 'relation' || (omit?.[name] ?? omitted.has(name))
  return !include && omit !== undefined && [...fields.values()].every(isOmitted)
}

/** The fields that a selection asks for, if they are scalars alone and it is written as Prisma wants it. */
export function selectedFields(selection: Selection, model: Model): readonly Field[] | undefined {
  const { select, include, omit } = selection
  if (include !== undefined || (select !== undefined && omit !== undefined)) return undefined
  const choices = Object.entries(select ?? omit ?? {})
  const isPlain = choices.every(
    ([name, value]) => typeof value === 'boolean' && /^(?:scalar|enum)$/.test(model.fields.get(name)?.kind ?? ''),
  )
  if (!isPlain || select === null || omit === null) return undefined
  const isSelected = ({ name }: Field) => (select ? select[name] === true : !(omit?.[name] ?? model.omitted.has(name)))
  const scalars = [...model.fields.values()].filter(({ kind }) => kind === 'scalar' || kind === 'enum')
  const selected = scalars.filter(isSelected)
  return selected.length > 0 ? selected : undefined
}
