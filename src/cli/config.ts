import { existsSync, readFileSync } from 'node:fs'
import type { JobsOptions } from '../jobs/options.js'
import type { LeasesOptions } from '../leases/options.js'
import type { PgOptions } from '../pg/options.js'
import type { SerialsOptions } from '../serials/options.js'
import type { SeriesOptions } from '../series/options.js'
import type { StockOptions } from '../stock/options.js'
import * as s from '../values/schema.js'
import { checkArguments, nameSchema } from '../values/validation.js'
import { UsageError } from './command.js'
import { messageOf } from './message.js'
import { loadModule } from './module.js'

/**
 * The config file of the commands: where the client of the application is; or, where that cannot be loaded, the
 * options that it is made with. Options of the command line come first.
 */
export interface CommandConfig {
  /** The module of the client, such as `./src/db.ts`. */
  readonly client?: string
  /** The name by which it is exported. */
  readonly export?: string
  /** The Prisma schema: a file or a folder. */
  readonly schema?: string
  /** The options of `concurrency()`. */
  readonly concurrency?: PgOptions
  /** The options of `stock()`, `serials()` and `series()`. Those of several ledgers are a list. */
  readonly stock?: StockOptions | readonly StockOptions[]
  readonly serials?: SerialsOptions
  readonly series?: SeriesOptions
  /** The options of `leases()` and `jobs()`. */
  readonly leases?: LeasesOptions
  readonly jobs?: JobsOptions
}

const path = nameSchema('a file')
// The options of the extensions are checked where they are used.
const configSchema = s.strictObject({
  client: s.optional(path),
  export: s.optional(nameSchema('an export')),
  schema: s.optional(path),
  concurrency: s.optional(s.custom<PgOptions>(isObject, 'must be an object')),
  stock: s.optional(
    s.custom<CommandConfig['stock']>(
      (value) => isObject(value) || (Array.isArray(value) && value.every(isObject)),
      'must be an object, or a list of them',
    ),
  ),
  serials: s.optional(s.custom<SerialsOptions>(isObject, 'must be an object')),
  series: s.optional(s.custom<SeriesOptions>(isObject, 'must be an object')),
  leases: s.optional(s.custom<LeasesOptions>(isObject, 'must be an object')),
  jobs: s.optional(s.custom<JobsOptions>(isObject, 'must be an object')),
})

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const NAMES = ['json', 'js', 'mjs', 'ts'].map((extension) => `concurrency.config.${extension}`)

/** The file that is named, or that is in this folder; empty where there is none. */
export async function readConfig(named: string | undefined): Promise<CommandConfig> {
  const path = named ?? NAMES.find((name) => existsSync(name))
  if (path === undefined) return {}
  const found = path.endsWith('.json') ? readJson(path) : (await loadModule(path)).default
  if (found === undefined) throw new UsageError(`${path} has no default export`)
  try {
    return checkArguments(configSchema, found)
  } catch (error) {
    throw new UsageError(`${path}: ${messageOf(error)}`)
  }
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${messageOf(error)}`)
  }
}
