import { relative } from 'node:path'
import type { DataModel } from '../../engine/data-model.js'
import type { ClientSetup } from '../../engine/setup.js'
import { migrationOf, schemaOf } from '../../prisma/migration.js'
import { ownTables } from '../../series/mapping.js'
import { triggerSql } from '../../versioning/trigger.js'
import { VersionedModels } from '../../versioning/versioned-models.js'
import { type ClientOptions, clientOptions, openClient } from '../client.js'
import { type CommandModule, UsageError } from '../command.js'
import { readConfig } from '../config.js'
import { loadPg } from '../database.js'
import { isInbox, isJobs, isLeases, isOutbox, isSerials, isSeries, isSteps, isStock } from '../features.js'
import { writeAll } from '../init/write.js'
import { migrationFiles, migrationsFolder } from '../migration-file.js'
import { findSchema, textOf } from '../prisma-schema.js'

interface SqlOptions extends ClientOptions {
  readonly migration?: string
}

const PARTS = ['stock', 'serials', 'series', 'leases', 'jobs', 'outbox', 'inbox', 'steps', 'idempotency', 'triggers']
const TRIGGERS = 'triggers'

export const sql: CommandModule<SqlOptions> = {
  describe: (command) =>
    clientOptions(command)
      .argument('[parts...]', `of ${PARTS.join(', ')}; default: the tables of all that the client has`)
      .option('--migration <name>', 'writes the SQL as a migration of Prisma, instead of printing it')
      .addHelpText('after', '\nExample: prisma-extension-concurrency sql stock triggers --client ./src/db.ts'),

  async run(options, args, output) {
    const unknown = args.find((part) => !PARTS.includes(part))
    if (unknown !== undefined) throw new UsageError(`${unknown} is none of ${PARTS.join(', ')}`)
    const config = await readConfig(options.config)
    const files = await findSchema(options.schema ?? config.schema)
    if (files === undefined && (options.client ?? config.client) === undefined) {
      throw new UsageError('there is no client and no Prisma schema here: give --client, or --schema')
    }
    // Nothing connects: the models of a client are those of its schema.
    const { Pool } = await loadPg()
    const { client, setup } = await openClient(options, new Pool())
    const schema = schemaOf(client) ?? { text: files ? textOf(files) : '', schema: undefined }
    const tables = tablesOf(setup)
    const wanted = args.length === 0 ? [...tables.keys()] : PARTS.filter((part) => args.includes(part))
    if (wanted.length === 0) throw new UsageError('the client has nothing with tables of its own')
    const made = wanted.map((part) => {
      if (part === TRIGGERS) return triggersOf(setup.dataModel)
      const models = tables.get(part)
      if (models === undefined) throw new UsageError(`the client has no ${part}`)
      return migrationOf(schema.text, models, schema.schema)
    })
    if (options.migration === undefined) {
      output.print(made.join('\n').trimEnd())
      return 0
    }
    const changes = migrationFiles(await migrationsFolder(files), options.migration, made.join('\n'))
    writeAll(changes)
    output.print(['Written:', ...changes.map(({ path }) => `  ${relative('.', path)}`)].join('\n'))
    return 0
  },
}

/** The names of the models of each part that the client has. */
function tablesOf({ features, options, dataModel }: ClientSetup): ReadonlyMap<string, readonly string[]> {
  const tables = new Map<string, readonly string[]>()
  for (const feature of features) {
    if (isStock(feature)) {
      const { item, movement, reservation } = feature.map
      const own = [item, movement, ...(reservation ? [reservation] : [])].map(({ model }) => model.name)
      tables.set('stock', [...own, ...(tables.get('stock') ?? [])])
    }
    if (isLeases(feature)) tables.set('leases', [feature.map.model.name])
    if (isJobs(feature)) tables.set('jobs', [feature.map.model.name])
    if (isSteps(feature)) tables.set('steps', [feature.map.model.name])
    if (isOutbox(feature)) tables.set('outbox', [feature.map.message.model.name, feature.map.key.model.name])
    if (isInbox(feature)) {
      const { message, version } = feature.map
      tables.set(
        'inbox',
        [message, ...(version ? [version] : [])].map(({ model }) => model.name),
      )
    }
    if (isSerials(feature)) {
      const { serial, allocation, history } = feature.map
      tables.set(
        'serials',
        [serial, allocation, ...(history ? [history] : [])].map(({ model }) => model.name),
      )
    }
    if (isSeries(feature))
      tables.set(
        'series',
        ownTables(feature.map).map(({ model }) => model.name),
      )
  }
  const key = options.idempotency?.model ?? 'IdempotencyKey'
  if (dataModel.has(key)) tables.set('idempotency', [key])
  return tables
}

/** The triggers of all models that have a version column. */
function triggersOf(models: DataModel): string {
  const fields = [...models.values()].flatMap(({ name, version }) =>
    version ? [[name, { field: version }] as const] : [],
  )
  if (fields.length === 0) throw new UsageError('no model has a version column')
  const versions = new VersionedModels(models, { models: Object.fromEntries(fields) })
  return fields.map(([name]) => triggerSql(versions.require(name))).join('\n')
}
