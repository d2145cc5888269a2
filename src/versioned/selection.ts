import type { Row } from '../prisma/client.js'
import type { VersionedModel } from './versions.js'

/** Prisma's own `select`, `include` and `omit`. */
export interface Selection {
  readonly select?: Readonly<Record<string, unknown>> | null | undefined
  readonly include?: Readonly<Record<string, unknown>> | null | undefined
  readonly omit?: Readonly<Record<string, unknown>> | null | undefined
}

/** Only the three keys, and only those that are given. */
export function selectionOf(args: Selection): Selection {
  return Object.fromEntries(
    Object.entries({ select: args.select, include: args.include, omit: args.omit }).filter(
      ([, value]) => value !== undefined,
    ),
  )
}

/** Every scalar of the record, also those that the client leaves out by default. */
export function allScalars({ model }: VersionedModel): Selection {
  const scalars = [...model.fields.values()].filter(({ kind }) => kind === 'scalar' || kind === 'enum')
  return { omit: Object.fromEntries(scalars.map(({ name }) => [name, false])) }
}

/** Whether a relation is asked for, so that Prisma needs more than one statement. */
export function selectsRelations({ select, include }: Selection, { model }: VersionedModel): boolean {
  const isSelected = ([, value]: [string, unknown]) => value !== undefined && value !== false && value !== null
  const chosen = [...Object.entries(select ?? {}), ...Object.entries(include ?? {})].filter(isSelected)
  return chosen.some(([name]) => name === '_count' || model.fields.get(name)?.kind === 'relation')
}

/**
 * The selection with the version in it, and the way to take the version out again of a record,
 * for a caller who did not ask for it.
 */
export function withVersion(selection: Selection, { version: { name } }: VersionedModel) {
  const { select, omit } = selection
  const asked = select ? select[name] === true : omit?.[name] !== true
  const widened: Selection = select
    ? { ...selection, select: { ...select, [name]: true } }
    : { ...selection, omit: { ...omit, [name]: false } }
  return {
    selection: widened,
    strip(record: Row): Row {
      if (asked) return record
      const { [name]: _version, ...rest } = record
      return rest
    },
  }
}
