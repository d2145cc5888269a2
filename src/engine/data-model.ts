import { madeOnce } from './made-once.js'
import type { InsertDefault } from './records.js'

/** The models of a program, with the names that they have in the database. */

export type FieldKind = 'scalar' | 'enum' | 'relation' | 'unsupported'

export interface Field {
  readonly name: string
  /** The column's name in the database (`@map`). */
  readonly column: string
  readonly kind: FieldKind
  /** A Prisma scalar such as `Int`, or the name of the enum or of the related model. */
  readonly type: string
  readonly isList: boolean
  readonly isOptional: boolean
  readonly isUpdatedAt: boolean
  /** Its value where an INSERT leaves it out. */
  readonly fallback: FieldDefault
  /** The column's type where the schema gives one (`@db.`), such as `Decimal(12, 2)`. */
  readonly nativeType: string | undefined
  /** On the side of a relation that holds the foreign key. */
  readonly foreignKey: ForeignKey | undefined
  /** Of a relation: the name that both of its sides have in common. */
  readonly relationName: string | undefined
  /** For an enum: each value's name in the database. */
  readonly enumValues: ReadonlyMap<string, string> | undefined
}

export interface Model {
  readonly name: string
  /** The table's name in the database (`@@map`), and the schema it is in. */
  readonly table: string
  readonly schema: string
  readonly fields: ReadonlyMap<string, Field>
  /** Its unique keys, the primary key among them; those of one field come first. */
  readonly keys: readonly UniqueKey[]
  /**
   * The fields that relations refer to, where Prisma itself (`relationMode = "prisma"`) changes the rows that
   * refer to them, by statements of its own. Empty where the database does.
   */
  readonly emulatedKeys: ReadonlySet<string>
  /** The fields of any key that keeps rows apart, also of one that is unique only among some of them. */
  readonly inKeys: ReadonlySet<string>
  /** The version column's field, as `concurrency()` below knows it; `false` where its options say that there is none. */
  readonly version: string | false | undefined
  /** The fields that the client leaves out unless they are asked for. */
  readonly omitted: ReadonlySet<string>
  /** Whether a value stands for `null`, where the engine has objects that do, such as `Prisma.JsonNull`. */
  readonly standsForNull?: (value: unknown) => boolean
}

export interface UniqueKey {
  /** By which `where` calls it: the field, or the name of several, such as `orderId_productId`. */
  readonly name: string
  readonly fields: readonly string[]
}

/** The models by their names. Each may be read when it is first asked for. */
export interface DataModel {
  has(name: string): boolean
  get(name: string): Model | undefined
  keys(): Iterable<string>
  values(): Iterable<Model>
}

/** The version columns of a client's models, as `concurrency()` knows them. */
export interface VersionColumns {
  /**
   * The version column's field. `undefined` is a model that has none, and `false` one that the
   * options say is not versioned.
   */
  fieldOf(model: string): string | false | undefined
  /** The version column that plain writes of the model bump; `undefined` where they bump none. */
  bumpedBy(model: string): string | undefined
}

/**
 * The value of a field where an INSERT leaves it out.
 *
 * - `none`: nothing is said about it
 * - `value`: the value in the schema, which Prisma sends and the database has as well
 * - `now`: the time, likewise
 * - `autoincrement`, `database`: the database makes the value, and only it
 * - `client`: Prisma makes the value, and only it, such as `uuid()`
 * - `unknown`: this package does not understand the schema here, so only Prisma itself can tell
 */
export type FieldDefault =
  | { readonly kind: 'none' | 'now' | 'autoincrement' | 'database' | 'unknown' }
  | { readonly kind: 'value' | 'client'; readonly value: Expression }

/** A value in the arguments of an attribute, or behind a `=`. */
export type Expression =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'number'; readonly text: string }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Argument[] }
  | { readonly kind: 'list'; readonly items: readonly Expression[] }
  | { readonly kind: 'record' }

export interface Argument {
  /** `undefined` where the value stands alone. */
  readonly name: string | undefined
  readonly value: Expression
}

export interface ForeignKey {
  readonly fields: readonly string[]
  readonly references: readonly string[]
}

/** The fields that are columns. */
export function scalarsOf({ fields }: Model): Field[] {
  return [...fields.values()].filter(({ kind }) => kind === 'scalar' || kind === 'enum')
}

/** The fields of a unique key, by the name that `where` has for it; `undefined` where it is no key. */
export function uniqueKeyOf({ keys }: Model, name: string): readonly string[] | undefined {
  return keys.find((key) => key.name === name)?.fields
}

const DEFAULTS = new WeakMap<Model, ReadonlyMap<Field, InsertDefault>>()

/** The value of each field in an INSERT that leaves it out. */
export function insertDefaults(model: Model): ReadonlyMap<Field, InsertDefault> {
  return madeOnce(
    DEFAULTS,
    model,
    () => new Map(Array.from(model.fields.values(), (field) => [field, defaultOf(field)])),
  )
}

function defaultOf(field: Field): InsertDefault {
  const { fallback, isUpdatedAt, isOptional, isList } = field
  if (isList) return 'unknown'
  switch (fallback.kind) {
    case 'now':
      return 'now'
    case 'none':
      if (isUpdatedAt) return 'now'
      return isOptional ? 'nothing' : 'unknown'
    case 'autoincrement':
    case 'database':
      return isUpdatedAt ? 'unknown' : 'nothing'
    case 'value': {
      const value = literalOf(fallback.value, field)
      return value === undefined ? 'unknown' : { value }
    }
    default:
      return 'unknown'
  }
}

/** `undefined`: its text and its value are too far from one another to be sure. */
function literalOf(expression: Expression, { kind, type, enumValues }: Field): unknown {
  if (kind === 'enum') {
    return expression.kind === 'name' && enumValues?.has(expression.name) ? expression.name : undefined
  }
  switch (type) {
    case 'Int':
    case 'BigInt':
    case 'Float':
    case 'Decimal':
      return expression.kind === 'number' ? numberOf(expression.text) : undefined
    case 'Boolean':
      return expression.kind === 'name' ? expression.name === 'true' : undefined
    case 'String':
      return expression.kind === 'text' ? expression.text : undefined
    default:
      return undefined
  }
}

function numberOf(text: string): number | undefined {
  return /^-?\d{1,15}$/.test(text) ? Number(text) : undefined
}
