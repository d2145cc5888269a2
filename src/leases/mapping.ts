import type { DataModel, Field } from '../engine/data-model.js'
import {
  areFound,
  type FieldRule,
  MappingCheck,
  MOMENT,
  PLAIN_TEXT,
  type TableCheck,
  type TableMap,
  TEXT_OR_UUID,
} from '../mapping/mapping.js'
import { Catalogue } from '../sql/catalogue.js'
import { RequiredKeys } from '../sql/unique-keys.js'
import { DEFAULT_LEASE_MODEL } from './names.js'
import type { LeasesOptions } from './options.js'

/** The user's model and its fields, found and checked. */
export interface LeaseMap extends TableMap {
  readonly name: Field
  readonly token: Field
  readonly holder: Field
  readonly expiresAt: Field
  readonly progress: Field
  readonly waiting: Field
  /** The keys without which a lease would have two holders. */
  readonly keys: RequiredKeys
}

const BIG: FieldRule = { types: ['BigInt'], because: ': a token must not run out' }
const JSONB: FieldRule = { types: ['Json'] }

/** @throws ConfigurationError with every mistake */
export function mapLeases(dataModel: DataModel, options: LeasesOptions): LeaseMap {
  const check = new MappingCheck(dataModel)
  const { model: _, ...fields } = options
  // The path of a mistake is that of the option, which is not in a mapping of its own here.
  const found = check.table('', { ...fields, model: options.model ?? DEFAULT_LEASE_MODEL })
  const name = found.field('name', PLAIN_TEXT)
  const token = found.field('token', BIG)
  const holder = optional(found, 'holder', TEXT_OR_UUID)
  const expiresAt = optional(found, 'expiresAt', MOMENT)
  const progress = optional(found, 'progress', JSONB)
  const waiting = found.field('waiting', JSONB)
  found.uniqueKey('name', [name])
  found.uniqueKey('token', [name, token])
  if (areFound(expiresAt) && /\([0-2]\)$/.test(expiresAt.nativeType ?? '')) {
    found.report(
      'expiresAt',
      `${found.model.name}.${expiresAt.name} must tell milliseconds: give it @db.Timestamptz(6)`,
    )
  }
  for (const [option, field] of [
    ['progress', progress],
    ['waiting', waiting],
  ] as const) {
    if (areFound(field) && field.nativeType === 'Json') {
      found.report(option, `${found.model.name}.${field.name} must not be @db.Json, but the usual jsonb`)
    }
  }
  const written = [name, token, holder, expiresAt, progress, waiting]
  if (areFound(...written)) found.insertable(written)
  const table = found.table()
  check.finish()
  const keys = new RequiredKeys(new Catalogue(), [
    { model: found.model, fields: [name] },
    { model: found.model, fields: [name, token] },
  ])
  return { ...table, name, token, holder, expiresAt, progress, waiting, keys }
}

/** A field that is NULL while nobody holds the lease. */
function optional(found: TableCheck, option: string, rule: FieldRule): Field {
  const field = found.field(option, { ...rule, isOptional: true })
  if (areFound(field) && !field.isOptional) {
    found.report(option, `${found.model.name}.${field.name} must be optional: it is NULL while nobody holds the lease`)
  }
  return field
}
