import * as z from 'zod/mini'
import { ConfigurationError, type ConfigurationIssue, InvalidArgumentError } from '../errors/index.js'
import { messageOf } from './issue-messages.js'
import { snapshot } from './snapshot.js'
import { keyTextProblem } from './text.js'

// The messages of an application that calls `z.config` stay out of ours.
const ENGLISH = { error: messageOf }

/** A name, such as a transaction id or a scope, that is kept in an index. */
export const keyTextSchema = z.string('must be a string').check(
  z.minLength(1, 'must not be empty'),
  z.superRefine((text, context) => {
    const message = keyTextProblem(text)
    if (message !== undefined) context.addIssue({ code: 'custom', message })
  }),
)

/** A number of things. It weighs less than `z.int`, which knows all formats of numbers. */
export function wholeNumber(): z.ZodMiniNumber {
  const message = 'must be a whole number'
  return z.number(message).check(z.refine((value) => Number.isSafeInteger(value), message))
}

/** The name of a model, a field or an extension, in options. */
export function nameSchema(what: string): z.ZodMiniString {
  return z.string(`must be the name of ${what}`).check(z.minLength(1, 'must not be empty'))
}

/** A mapping whose options each name a field; those of `others` have their own form. */
export function mappingSchema(
  fields: readonly string[],
  others: Readonly<Record<string, z.ZodMiniType>>,
  error?: string,
) {
  const named = Object.fromEntries(fields.map((name) => [name, z.optional(nameSchema('a field'))]))
  return z.strictObject({ ...others, ...named }, error)
}

/** `false`. A `z.literal` would bring more code. */
export const off = z.boolean().check(z.refine((value) => !value, { abort: true }))

/** Options for single models, by the model's name. It weighs less than a `z.record`, which brings its own code. */
export function byModel<T extends z.ZodMiniType>(options: T) {
  return z.catchall(z.object({}), options)
}

/**
 * Checks options given when the client is extended: all mistakes at once, each with its path. They
 * may be changed afterwards, so what is checked is a copy.
 */
export function checkConfiguration<T>(schema: z.ZodMiniType, value: T): T {
  const fail = (path: string, message: string, options?: ErrorOptions) =>
    new ConfigurationError([{ path, message: message.replace(/\.$/, '') }], options)
  const options = snapshot(value, 'options', '', fail)
  if (!isRecord(options)) throw fail('', 'the options must be an object')
  const result = schema.safeParse(options, ENGLISH)
  if (!result.success) throw new ConfigurationError(issuesOf(result.error.issues))
  return options
}

/** Checks the arguments of a call: the first mistake, with its field. */
export function checkArguments<T>(schema: z.ZodMiniType<T>, value: unknown): T {
  const options = snapshot(value, 'options')
  if (!isRecord(options)) throw new InvalidArgumentError('options', 'must be an object.')
  const result = schema.safeParse(options, ENGLISH)
  if (result.success) return result.data
  const [first] = issuesOf(result.error.issues)
  throw new InvalidArgumentError(first?.path || 'options', `${first?.message ?? 'are not valid'}.`)
}

/** Refuses an argument that the call does not have: a name spelled wrong would otherwise do nothing. */
export function checkNames(args: object, names: readonly string[]): void {
  const unknown = Object.keys(args).find((name) => !names.includes(name))
  if (unknown !== undefined) throw new InvalidArgumentError(unknown, 'is not an argument of this call.')
}

/**
 * An object with names and values: also an instance of a class, which Prisma takes as data too. A
 * Date, a Map or a Promise has none, so it would pass for an empty object; bytes, and a text that is
 * an object, have items.
 */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const kind = Object.prototype.toString.call(value)
  if (kind === '[object Object]') return true
  return kind !== '[object String]' && !ArrayBuffer.isView(value) && Object.keys(value).length > 0
}

function issuesOf(issues: readonly z.core.$ZodIssue[], parent: readonly PropertyKey[] = []): ConfigurationIssue[] {
  return issues.flatMap((issue) => {
    const path = [...parent, ...issue.path]
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({ path: [...path, key].join('.'), message: 'is not an option' }))
    }
    // Of several forms, the one that is meant is the one whose mistakes lie further inside, and are fewest.
    const forms = issue.code === 'invalid_union' ? issue.errors.filter((form) => form.every(isInside)) : []
    const [inside] = forms.sort((one, other) => one.length - other.length)
    return inside ? issuesOf(inside, path) : [{ path: path.join('.'), message: issue.message }]
  })
}

function isInside(issue: z.core.$ZodIssue): boolean {
  return issue.path.length > 0 || issue.code === 'unrecognized_keys'
}
