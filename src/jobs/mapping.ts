import type { DataModel, Field } from '../engine/data-model.js'
import type { FeatureSetup } from '../engine/setup.js'
import { ConfigurationError } from '../errors/index.js'
import type { LeaseMap } from '../leases/mapping.js'
import { type FieldRule, MappingCheck, MOMENT, PLAIN_TEXT, type TableMap } from '../mapping/mapping.js'
import { Catalogue } from '../sql/catalogue.js'
import { RequiredKeys } from '../sql/unique-keys.js'
import type { JobsOptions } from './options.js'
import { DEFAULT_RUN_MODEL } from './schema.js'

/** The user's model of the runs and its fields, found and checked. */
export interface JobMap extends TableMap {
  readonly job: Field
  readonly token: Field
  readonly state: Field
  readonly period: Field
  readonly startedAt: Field
  readonly endedAt: Field
  readonly startedBy: Field
  readonly error: Field
  readonly progress: Field
  /** That of the leases. */
  readonly lease: LeaseMap
  /** The key without which a run would have two rows. */
  readonly keys: RequiredKeys
}

const BIG: FieldRule = { types: ['BigInt'] }
const NOTE: FieldRule = { types: ['String'], isOptional: true }

/** @throws ConfigurationError with every mistake */
export function mapJobs(dataModel: DataModel, lease: LeaseMap, { run = {} }: JobsOptions): JobMap {
  const check = new MappingCheck(dataModel)
  const found = check.table('run', run, DEFAULT_RUN_MODEL)
  const fields = {
    job: found.field('job', PLAIN_TEXT),
    token: found.field('token', BIG),
    state: found.field('state', PLAIN_TEXT),
    period: found.field('period', { ...MOMENT, isOptional: true }),
    startedAt: found.field('startedAt', MOMENT),
    endedAt: found.field('endedAt', { ...MOMENT, isOptional: true }),
    startedBy: found.field('startedBy', NOTE),
    error: found.field('error', NOTE),
    progress: found.field('progress', { types: ['Json'], isOptional: true }),
  }
  found.uniqueKey('model', [fields.job, fields.token])
  found.insertable(Object.values(fields))
  const table = found.table()
  check.finish()
  const keys = new RequiredKeys(new Catalogue(), [{ model: found.model, fields: [fields.job, fields.token] }])
  return { ...table, ...fields, lease, keys }
}

/** The map of the leases on the client below. */
export function leasesBelow(features: readonly FeatureSetup[]): LeaseMap {
  const found = features.find(isLeases)
  if (found) return found.map
  const message =
    'jobs() builds on leases(): apply that first, base.$extends(concurrency()).$extends(leases()).$extends(jobs())'
  throw new ConfigurationError([{ path: '', message }])
}

const isLeases = (one: FeatureSetup): one is FeatureSetup & { readonly map: LeaseMap } => one.name === 'leases'
