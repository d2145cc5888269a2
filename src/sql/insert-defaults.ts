import type { Expression, Field, Model } from '../engine/data-model.js'
import { madeOnce } from '../engine/made-once.js'
import type { InsertDefault } from '../engine/records.js'

const DEFAULTS = new WeakMap<Model, ReadonlyMap<Field, InsertDefault>>()

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
