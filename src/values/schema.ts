/**
 * The forms that options and arguments may have. A form is small on purpose: it finds mistakes, each with
 * its path and a message of ours, and changes nothing.
 */

export interface Issue {
  readonly path: readonly PropertyKey[]
  readonly message: string
  /** The value is of the right type, and a condition on it is not met. */
  readonly isOfType?: boolean
}

/** A further condition on a value of the right type: its message, if the value does not meet it. */
export type Check<T> = (value: T) => string | undefined

/** The form that a value must have. */
export class Schema<T> {
  declare readonly output: T

  /** All mistakes in a value; none, if it is of the form. */
  constructor(readonly find: (value: unknown) => readonly Issue[]) {}

  /** The same form with conditions, which are all looked at once the type is right. */
  check(...checks: readonly Check<T>[]): Schema<T> {
    return new Schema((value) => {
      const issues = this.find(value)
      if (issues.length > 0) return issues
      return checks.flatMap((check) => at(check(value as T))).map((issue) => ({ ...issue, isOfType: true }))
    })
  }
}

export class OptionalSchema<T> extends Schema<T | undefined> {
  declare readonly isOptional: true
}

export type Output<S> = S extends Schema<infer T> ? T : never

type Shape = Readonly<Record<string, Schema<unknown>>>
type OptionalKeys<S> = { [K in keyof S]: S[K] extends OptionalSchema<unknown> ? K : never }[keyof S]
type ObjectOf<S> = { [K in Exclude<keyof S, OptionalKeys<S>>]: Output<S[K]> } & {
  [K in OptionalKeys<S>]?: Output<S[K]>
}

const NO_FORM = 'is not of a form that is taken here'
const NONE: readonly Issue[] = []

function at(message: string | undefined): readonly Issue[] {
  return message === undefined ? NONE : [{ path: [], message }]
}

function under(key: PropertyKey, issues: readonly Issue[]): readonly Issue[] {
  return issues.map((issue) => ({ ...issue, path: [key, ...issue.path] }))
}

/** A value of which a test can tell whether it is of the form. */
export function custom<T>(test: (value: unknown) => boolean, message = NO_FORM): Schema<T> {
  const wrong = at(message)
  return new Schema((value) => (test(value) ? NONE : wrong))
}

export const unknown = () => custom<unknown>(() => true)
export const string = (message = 'must be a string') => custom<string>((value) => typeof value === 'string', message)
export const bigint = (message = 'must be a bigint') => custom<bigint>((value) => typeof value === 'bigint', message)
export const boolean = (message = 'must be true or false') =>
  custom<boolean>((value) => typeof value === 'boolean', message)
export const number = (message = 'must be a number') => custom<number>((value) => Number.isFinite(value), message)
export const date = (message = 'must be a Date') =>
  custom<Date>((value) => value instanceof Date && !Number.isNaN(value.getTime()), message)
/** A number of things. */
export const whole = (message = 'must be a whole number') => custom<number>(Number.isSafeInteger, message)
export const literal = <const T>(wanted: T) => custom<T>((value) => value === wanted, `must be ${String(wanted)}`)

export function oneOf<const T extends string>(values: readonly T[], message?: string): Schema<T> {
  const names = values.map((value) => `'${value}'`).join(' or ')
  return custom((value) => values.some((one) => one === value), message ?? `must be ${names}`)
}

/** A value that may be left out. */
export function optional<T>(schema: Schema<T>): OptionalSchema<T> {
  return new OptionalSchema((value) => (value === undefined ? NONE : schema.find(value)))
}

export function array<T>(item: Schema<T>, message = 'must be a list'): Schema<T[]> {
  return new Schema((value) =>
    Array.isArray(value) ? value.flatMap((one: unknown, i) => under(i, item.find(one))) : at(message),
  )
}

/** Values by names, each name and each value of its form. */
export function record<T>(value: Schema<T>, key: Schema<string> = string()): Schema<Record<string, T>> {
  return new Schema((given) =>
    isObject(given)
      ? Object.entries(given).flatMap(([name, one]) => under(name, [...key.find(name), ...value.find(one)]))
      : at('must be an object'),
  )
}

/** An object that has these members. `refusesOthers` makes every further one a mistake. */
function members<S extends Shape>(shape: S, refusesOthers: boolean, message: string): Schema<ObjectOf<S>> {
  const entries = Object.entries(shape)
  return new Schema((value) => {
    if (!isObject(value)) return at(message)
    const others = refusesOthers ? Object.keys(value).filter((name) => !Object.hasOwn(shape, name)) : []
    return [
      ...entries.flatMap(([name, schema]) => under(name, schema.find(value[name]))),
      ...others.flatMap((name) => under(name, at('is not an option'))),
    ]
  })
}

export const object = <S extends Shape>(shape: S, message = 'must be an object') => members(shape, false, message)
export const strictObject = <S extends Shape>(shape: S, message = 'must be an object') => members(shape, true, message)

/** One of several forms. The form that is meant is the one of which the value has the type, with the fewest mistakes. */
export function union<const S extends readonly Schema<unknown>[]>(
  forms: S,
  message = NO_FORM,
): Schema<Output<S[number]>> {
  return new Schema((value) => {
    const found = forms.map((form) => form.find(value))
    if (found.some(({ length }) => length === 0)) return NONE
    const inside = found.filter((issues) => issues.every(({ path, isOfType }) => path.length > 0 || isOfType))
    return inside.sort((one, other) => one.length - other.length)[0] ?? at(message)
  })
}

type Ordered = number | bigint | Date

export const gte =
  (least: Ordered, message = `must be at least ${String(least)}`): Check<Ordered> =>
  (value) =>
    value >= least ? undefined : message

export const lte =
  (most: Ordered, message = `must be at most ${String(most)}`): Check<Ordered> =>
  (value) =>
    value <= most ? undefined : message

export const minLength =
  (least: number, message = `must have a length of at least ${least}`): Check<{ readonly length: number }> =>
  ({ length }) =>
    length >= least ? undefined : message

export const refine =
  <T>(test: (value: T) => boolean, message = NO_FORM): Check<T> =>
  (value) =>
    test(value) ? undefined : message

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
