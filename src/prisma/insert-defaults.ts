import type { PrismaClientLike } from './client.js'
import type { Field, Model } from './data-model.js'

/**
 * What Prisma puts into a field that an insert leaves out: a value, the time, nothing (the database
 * numbers the row), or something that only Prisma itself can tell.
 */
export type InsertDefault = { readonly value: unknown } | 'now' | 'nothing' | 'unknown'

const DEFAULTS = new WeakMap<Model, ReadonlyMap<Field, InsertDefault>>()

export function insertDefaults(client: PrismaClientLike, model: Model): ReadonlyMap<Field, InsertDefault> {
  const known = DEFAULTS.get(model)
  if (known) return known
  const lines = linesOf(client._engineConfig.inlineSchema, model.name)
  const defaults = new Map([...model.fields.values()].map((field) => [field, defaultOf(field, lines.get(field.name))]))
  DEFAULTS.set(model, defaults)
  return defaults
}

/** The line of each field, in a text that Prisma has formatted. */
function linesOf(schema: string, model: string): ReadonlyMap<string, string> {
  const lines = schema.split('\n')
  const start = lines.findIndex((line) => new RegExp(`^\\s*model\\s+${model}\\s*\\{`).test(line))
  const length = lines.slice(start).findIndex((line) => /^\s*\}/.test(line))
  return new Map(lines.slice(start + 1, start + length).map((line) => [/\w+/.exec(line)?.[0] ?? '', line]))
}

function defaultOf(field: Field, line: string | undefined): InsertDefault {
  if (line === undefined || field.isList) return 'unknown'
  if (field.isUpdatedAt) return 'now'
  if (!line.includes('@default')) return field.isOptional ? 'nothing' : 'unknown'
  // What stands in a comment is not meant, and not worth telling apart.
  if (line.includes('//')) return 'unknown'
  const [, text] =
    /\s@default\((autoincrement\(\)|now\(\)|-?\d+|true|false|\w+|"(?:[^"\\]|\\.)*")\)(?=\s|$)/.exec(line) ?? []
  if (text === undefined) return 'unknown'
  if (text === 'now()') return 'now'
  if (text === 'autoincrement()') return 'nothing'
  if (field.kind === 'enum') return field.enumValues?.has(text) ? { value: text } : 'unknown'
  const isNumber = /^-?\d{1,15}$/.test(text)
  switch (field.type) {
    case 'Int':
    case 'BigInt':
    case 'Float':
    case 'Decimal':
      return isNumber ? { value: Number(text) } : 'unknown'
    case 'Boolean':
      return { value: text === 'true' }
    case 'String':
      return text.startsWith('"') ? { value: JSON.parse(text) } : 'unknown'
    default:
      return 'unknown'
  }
}
