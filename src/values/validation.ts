import { ConfigurationError, type ConfigurationIssue, InvalidArgumentError } from '../errors/index.js'
import * as s from './schema.js'
import { snapshot } from './snapshot.js'
import { keyTextProblem } from './text.js'

/** A name, such as a transaction id or a scope, that is kept in an index. */
export const keyTextSchema = s.string().check(s.minLength(1, 'must not be empty'), keyTextProblem)

/** The name of a model, a field or an extension, in options. */
export function nameSchema(what: string): s.Schema<string> {
  return s.string(`must be the name of ${what}`).check(s.minLength(1, 'must not be empty'))
}

/** A mapping whose options each name a field; those of `others` have their own form. */
export function mappingSchema(
  fields: readonly string[],
  others: Readonly<Record<string, s.Schema<unknown>>>,
  error?: string,
) {
  const named = Object.fromEntries(fields.map((name) => [name, s.optional(nameSchema('a field'))]))
  return s.strictObject({ ...others, ...named }, error)
}

/**
 * Checks options given when the client is extended: all mistakes at once, each with its path. They
 * may be changed afterwards, so what is checked is a copy.
 */
export function checkConfiguration<T>(schema: s.Schema<unknown>, value: T): T {
  const fail = (path: string, message: string, options?: ErrorOptions) =>
    new ConfigurationError([{ path, message: message.replace(/\.$/, '') }], options)
  const options = snapshot(value, 'options', '', fail)
  if (!isRecord(options)) throw fail('', 'the options must be an object')
  const issues = schema.find(options)
  if (issues.length > 0) throw new ConfigurationError(issues.map(issueOf))
  return options
}

/** Checks the arguments of a call: the first mistake, with its field. */
export function checkArguments<T>(schema: s.Schema<T>, value: unknown): T {
  const options = snapshot(value, 'options')
  if (!isRecord(options)) throw new InvalidArgumentError('options', 'must be an object.')
  const [first] = schema.find(options)
  if (first === undefined) return options as T
  const { path, message } = issueOf(first)
  throw new InvalidArgumentError(path || 'options', `${message}.`)
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

function issueOf({ path, message }: s.Issue): ConfigurationIssue {
  return { path: path.join('.'), message }
}

/** Half a character, or NUL, which JSON escapes, and PostgreSQL refuses. */
const REFUSED = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/i

/**
 * @param path the name of the payload in errors
 * @throws InvalidArgumentError for a value that JSON has no form for
 */
export function payloadText(payload: unknown, path = 'payload'): string {
  let text: string | undefined
  try {
    text = JSON.stringify(payload)
  } catch (error) {
    throw new InvalidArgumentError(path, 'has no form in JSON.', { cause: error })
  }
  if (text === undefined) throw new InvalidArgumentError(path, 'has no form in JSON.')
  if (REFUSED.test(text)) {
    throw new InvalidArgumentError(path, 'must not contain a NUL character or half a character (of a surrogate pair).')
  }
  return text
}
