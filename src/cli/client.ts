import type { Command } from 'commander'
import type { Pool } from 'pg'
import { type ClientSetup, setupOf } from '../engine/setup.js'
import { connect } from '../pg/connect.js'
import { leases, serials, series, stockOf } from '../pg/features.js'
import { jobs } from '../pg/jobs.js'
import type { PgClient } from '../pg/methods.js'
import { readModels, withVersions } from '../pg/models.js'
import { schemaSqlOf } from '../prisma/migration.js'
import { UsageError } from './command.js'
import { type CommandConfig, readConfig } from './config.js'
import { loadModule } from './module.js'
import { findSchema, modelsOf, type PrismaSchema, textOf } from './prisma-schema.js'

export interface ClientOptions {
  readonly client?: string
  readonly export?: string
  readonly config?: string
  readonly schema?: string
}

/** The client that a command works on. */
export interface CommandClient {
  /** That of the application, or one of node-postgres that is made from the config file. */
  readonly client: object
  readonly setup: ClientSetup
}

export function clientOptions(command: Command): Command {
  return command
    .option('--client <file>', 'the module that exports your extended client, such as ./src/db.ts')
    .option('--export <name>', 'the name of that export; default: the one client with concurrency() on it')
    .option('--config <file>', 'default: concurrency.config.json, .js, .mjs or .ts')
    .option('--schema <path>', 'the Prisma schema, where no client is given; default: where prisma.config says')
}

/**
 * The client of the application. Where none is named, it is made from the options in the config file, on the Prisma
 * schema, or on the tables of the database where there is no schema.
 *
 * @param pool for a client from the config file
 * @throws UsageError, and ConfigurationError from the extensions themselves
 */
export async function openClient(given: ClientOptions, pool: Pool): Promise<CommandClient> {
  const config = await readConfig(given.config)
  const path = given.client ?? config.client
  if (path !== undefined) return exportedClient(await loadModule(path), path, given.export ?? config.export)
  const schema = await findSchema(given.schema ?? config.schema)
  const client = await configuredClient(config, schema, pool)
  const setup = setupOf(client)
  if (setup === undefined) throw new Error('a client of this package has no setup')
  // Its pool is that of the command, not that of the application.
  const schemaSql = schema && (async () => schemaSqlOf(textOf(schema)))
  return { client, setup: { ...setup, connections: undefined, schemaSql } }
}

async function exportedClient(
  exports: Readonly<Record<string, unknown>>,
  path: string,
  name: string | undefined,
): Promise<CommandClient> {
  const found: (CommandClient & { readonly name: string })[] = []
  for (const [exported, value] of Object.entries(exports)) {
    const client = await value
    const setup = setupOf(client)
    if (setup && typeof client === 'object' && client) found.push({ name: exported, client, setup })
  }
  const [first, ...others] = name === undefined ? found : found.filter((one) => one.name === name)
  if (first === undefined) {
    const what = name === undefined ? 'no client' : `no client ${name}`
    throw new UsageError(
      `${path} exports ${what} with concurrency() on it; its exports are ${listed(Object.keys(exports))}`,
    )
  }
  if (others.some(({ client }) => client !== first.client)) {
    throw new UsageError(
      `${path} exports several clients: choose one by --export: ${listed(found.map((one) => one.name))}`,
    )
  }
  return first
}

const listed = (names: readonly string[]) => (names.length === 0 ? 'none' : names.join(', '))

async function configuredClient(
  config: CommandConfig,
  schema: PrismaSchema | undefined,
  pool: Pool,
): Promise<PgClient> {
  const models = schema && (await modelsOf(schema))
  let client = await connect(pool, config.concurrency ?? {}, async (reader, options) =>
    models ? withVersions(models, options.version) : readModels(reader, options),
  )
  for (const options of [config.stock ?? []].flat()) client = client.$extends(stockOf(options))
  if (config.serials) client = client.$extends(serials(config.serials))
  if (config.series) client = client.$extends(series(config.series))
  if (config.leases) client = client.$extends(leases(config.leases))
  if (config.jobs) client = client.$extends(jobs(config.jobs))
  return client
}
