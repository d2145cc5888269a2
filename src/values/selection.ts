import { type Field, type Model, scalarsOf } from '../engine/data-model.js'
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
  checkSelection(args, '')
  return Object.fromEntries(PARTS.flatMap((part) => (args[part] === undefined ? [] : [[part, args[part]]])))
}

const PARTS = ['select', 'include', 'omit'] as const

/** A chosen field is `true`, `false`, or an object again, which may have a selection of its own. */
function checkSelection(given: Readonly<Record<string, unknown>>, path: string): void {
  for (const part of PARTS) {
    const chosen = given[part]
    if (chosen === undefined || chosen === null) continue
    const at = path + part
    if (!isRecord(chosen)) throw new InvalidArgumentError(at, 'must be an object.')
    for (const [name, value] of Object.entries(chosen)) {
      if (isRecord(value)) checkSelection(value, `${at}.${name}.`)
      else if (typeof value === 'object' && value !== null)
        throw new InvalidArgumentError(`${at}.${name}`, 'must be true, false or an object.')
    }
  }
}

/** Every scalar of the record, also those that the client leaves out by default. */
export function allScalars(model: Model): Selection {
  return { omit: Object.fromEntries(scalarsOf(model).map(({ name }) => [name, false])) }
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
  const unasked = names.filter((name) => isLeftOut(name, selection, model))
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

function selectsNothing(selection: Selection, model: Model): boolean {
  const { select, include, omit } = selection
  if (select) return !Object.values(select).some(Boolean)
  return !include && omit !== undefined && scalarsOf(model).every(({ name }) => isLeftOut(name, selection, model))
}

function isLeftOut(name: string, { select, omit }: Selection, { omitted }: Model): boolean {
  return select ? select[name] !== true : Boolean(omit?.[name] ?? omitted.has(name))
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
  const selected = scalarsOf(model).filter(({ name }) => !isLeftOut(name, selection, model))
  return selected.length > 0 ? selected : undefined
}
