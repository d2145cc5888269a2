import { dirname, join } from 'node:path'
import type { DataModel, Model } from '../../engine/data-model.js'
import { isConcurrencyError } from '../../errors/index.js'
import { migrationOf } from '../../prisma/migration.js'
import { type Block, type BlockText, parseBlock, splitSchema } from '../../prisma/schema-syntax.js'
import { argumentOf, attributeOf, textOf } from '../../prisma/schema-text.js'
import { columnOf, quoted, tableOf } from '../../sql/sql.js'
import { triggerSql } from '../../versioning/trigger.js'
import { VersionedModels } from '../../versioning/versioned-models.js'
import { UsageError } from '../command.js'
import { modelsOf, type PrismaSchema } from '../prisma-schema.js'
import { fieldInsertion, type Insertion, modelInsertion, type NewField, withInsertions } from './edit.js'
import { type InitFeature, isWork } from './features.js'

/** The request. */
export interface Wanted {
  /** The models that get a version column. */
  readonly models: readonly string[]
  readonly features: readonly InitFeature[]
  /** Whether the database itself bumps the new version columns. */
  readonly triggers: boolean
}

/** A file of the schema with what comes into it. */
export interface ChangedFile {
  readonly path: string
  /** `undefined` for a file that is new. */
  readonly before: string | undefined
  readonly insertions: readonly Insertion[]
  readonly after: string
}

/** The work to be done: none where the schema has everything. */
export interface Plan {
  readonly files: readonly ChangedFile[]
  /** Empty where the tables stay as they are. */
  readonly migration: string
  /** The version columns of the wanted models, by model: also those that were there before. */
  readonly versions: ReadonlyMap<string, string>
}

/** The field of a model that has another one called `version`. */
export const OTHER_NAME = 'rowVersion'

/**
 * The additions to a schema, and the migration that goes with them. The result was read by Prisma's own parser: it has
 * what was added, and everything else as before.
 *
 * @throws UsageError for a schema that is wrong, or has something else under a name that is needed
 */
export async function planOf(schema: PrismaSchema, { models, features, triggers }: Wanted): Promise<Plan> {
  const before = await modelsOf(schema)
  const files = schema.files.map(
    ([path, text]): OpenFile => ({
      path,
      text,
      blocks: splitSchema(text).map((block) => ({ ...block, ...parseBlock(block) })),
      insertions: [],
    }),
  )
  const blocks = files.flatMap((file) => file.blocks)
  checkProvider(blocks)
  const versions = new Map<string, string>()
  const added = new Map<string, string>()
  for (const name of models) {
    const { field, isNew } = versionOf(before, name)
    versions.set(name, field)
    if (isNew && addVersion(files, name, field)) added.set(name, field)
  }
  const missing = features.filter((feature) => isMissing(feature, before))
  if (missing.length > 0) {
    const file = fileForModels(files)
    const printed = missing.map((feature) => inSchema(feature.schema, blocks)).join('\n')
    file.insertions.push(modelInsertion(file.text ?? '', printed))
  }
  const changed = files.flatMap(({ path, text, insertions }): ChangedFile[] =>
    insertions.length === 0 ? [] : [{ path, before: text, insertions, after: withInsertions(text ?? '', insertions) }],
  )
  if (changed.length === 0) return { files: changed, migration: '', versions }
  const texts = files.map(
    ({ path, text }) => [path, changed.find((file) => file.path === path)?.after ?? text ?? ''] as const,
  )
  const after = await modelsOf({ files: texts })
  const made = missing.flatMap((feature) => feature.models)
  checkUnchanged(before, after, added, made)
  const text = texts.map(([, each]) => each).join('\n')
  return { files: changed, migration: migrationFor({ text, after, added, made, triggers }), versions }
}

type NamedBlock = BlockText & Block

/** A setting of the datasource. */
function settingOf(blocks: readonly NamedBlock[], wanted: string) {
  const datasource = blocks.find(({ keyword }) => keyword === 'datasource')
  return datasource?.entries.find(({ name }) => name === wanted)?.value
}

/** A file of the schema while it is changed. */
interface OpenFile {
  readonly path: string
  /** `undefined` for a file that is new. */
  readonly text: string | undefined
  readonly blocks: readonly NamedBlock[]
  readonly insertions: Insertion[]
}

function addVersion(files: readonly OpenFile[], model: string, field: string): boolean {
  for (const { text = '', blocks, insertions } of files) {
    const block = blocks.find(({ keyword, name }) => keyword === 'model' && name === model)
    if (block) return insertions.push(fieldInsertion(text, block, newField(field, block))) > 0
  }
  return false
}

/** New models come behind the others of a single file; beside several files they have one of their own. */
function fileForModels(files: OpenFile[]): OpenFile {
  const [first, ...others] = files
  if (first && others.length === 0) return first
  const main = files.find(({ blocks }) => blocks.some(({ keyword }) => keyword === 'datasource')) ?? first
  const path = join(dirname(main?.path ?? ''), 'concurrency.prisma')
  const known = files.find((file) => file.path === path)
  if (known) return known
  const made: OpenFile = { path, text: undefined, blocks: [], insertions: [] }
  files.push(made)
  return made
}

function checkProvider(blocks: readonly NamedBlock[]): void {
  const provider = textOf(settingOf(blocks, 'provider'))
  if (provider === 'postgresql' || provider === 'postgres') return
  throw new UsageError(`the datasource is ${provider ?? 'not there'}: this package is for PostgreSQL`)
}

/** The version column of a model, or the field that becomes it. */
function versionOf(models: DataModel, name: string): { readonly field: string; readonly isNew: boolean } {
  const model = models.get(name)
  if (model === undefined)
    throw new UsageError(`the schema has no model ${name}; it has ${[...models.keys()].join(', ')}`)
  for (const field of ['version', OTHER_NAME]) {
    if (!model.fields.has(field)) return { field, isNew: true }
    if (isVersion(models, name, field)) return { field, isNew: false }
  }
  throw new UsageError(
    `${name} has fields version and ${OTHER_NAME} that are no version columns: add one of your own, a required Int @default(0)`,
  )
}

function isVersion(models: DataModel, model: string, field: string): boolean {
  const isUsual = field === 'version'
  try {
    const versions = new VersionedModels(models, isUsual ? {} : { models: { [model]: { field } } })
    return versions.fieldOf(model) === field
  } catch (error) {
    if (isConcurrencyError(error, 'CONFIGURATION')) return false
    throw error
  }
}

/** Its column is named as those of the model are. */
function newField(name: string, { entries }: Block): NewField {
  const isSnake = entries.some(({ attributes }) =>
    /^[a-z\d]+(?:_[a-z\d]+)+$/.test(textOf(argumentOf(attributeOf(attributes, 'map'), 'name')) ?? ''),
  )
  const map = name === OTHER_NAME && isSnake ? ' @map("row_version")' : ''
  return { name, type: 'Int', attributes: `@default(0)${map}` }
}

/** @throws UsageError if there are models of these names that are something else */
function isMissing({ name, models, check }: InitFeature, before: DataModel): boolean {
  const present = models.filter((model) => before.has(model))
  if (present.length === 0) return true
  try {
    check(before)
    return false
  } catch (error) {
    if (!isConcurrencyError(error, 'CONFIGURATION')) throw error
    throw new UsageError(
      `the schema has ${present.join(' and ')} already, which --${isWork(name) ? `with ${name}` : name} would add: ${error.message}\n` +
        'Add models under names of your own, and name them in the options of the extension',
    )
  }
}

/** The models, in a schema of the database where models have to name one. */
function inSchema(models: string, blocks: readonly NamedBlock[]): string {
  const schemas = settingOf(blocks, 'schemas')
  if (schemas?.kind !== 'list') return models
  const names = schemas.items.flatMap((item) => textOf(item) ?? [])
  const name = names.includes('public') ? 'public' : names[0]
  return name === undefined
    ? models
    : models
        .replaceAll(/^}$/gm, `\n  @@schema("${name}")\n}`)
        .replaceAll(/(\n {2}@@[^\n]*)\n\n( {2}@@schema)/g, '$1\n$2')
}

/** @throws Error if anything but what was added is not as it was before */
function checkUnchanged(
  before: DataModel,
  after: DataModel,
  added: ReadonlyMap<string, string>,
  made: readonly string[],
): void {
  const withoutAdded = (model: Model | undefined) =>
    JSON.stringify([...(model?.fields.values() ?? [])].filter(({ name }) => name !== added.get(model?.name ?? '')))
  const isSame = [...before.values()].every(
    (model) => JSON.stringify([...model.fields.values()]) === withoutAdded(after.get(model.name)),
  )
  const isThere =
    [...added].every(([model, field]) => after.get(model)?.fields.has(field)) && made.every((name) => after.has(name))
  const count = (models: DataModel) => [...models.keys()].length
  if (isSame && isThere && count(after) === count(before) + made.length) return
  throw new UsageError(
    'this schema cannot be changed here without changing something else: add the fields and models by hand',
  )
}

interface Made {
  readonly text: string
  readonly after: DataModel
  readonly added: ReadonlyMap<string, string>
  readonly made: readonly string[]
  readonly triggers: boolean
}

function migrationFor({ text, after, added, made, triggers }: Made): string {
  const versions = new VersionedModels(after, {
    models: Object.fromEntries(Array.from(added, ([model, field]) => [model, { field }])),
  })
  const versioned = [...added.keys()].map((name) => versions.require(name))
  const columns = versioned.map(({ model, version }) => {
    const table = model.schema === 'public' ? quoted(model.table) : tableOf(model)
    return `-- AlterTable\nALTER TABLE ${table} ADD COLUMN     ${columnOf(version)} INTEGER NOT NULL DEFAULT 0;\n`
  })
  const tables = made.length > 0 ? [migrationOf(text, made)] : []
  return [...columns, ...tables, ...(triggers ? versioned.map(triggerSql) : [])].join('\n')
}
