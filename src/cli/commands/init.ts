import { relative } from 'node:path'
import { confirmed, prompts } from '../ask.js'
import { type CommandModule, type ExitCode, type Output, UsageError } from '../command.js'
import {
  FEATURES,
  type FlagName,
  featuresNamed,
  featuresOf,
  type InitFeature,
  isWork,
  PARTS,
  type Part,
  WITH_SLOTS,
  WORK_FEATURES,
} from '../init/features.js'
import { type Plan, planOf, type Wanted } from '../init/plan.js'
import { additionsOf, clientLines } from '../init/text.js'
import { type FileChange, writeAll } from '../init/write.js'
import { migrationFiles, migrationsFolder } from '../migration-file.js'
import { findSchema, modelsOf, type PrismaSchema } from '../prisma-schema.js'

interface InitOptions extends Readonly<Partial<Record<FlagName, boolean>>> {
  readonly schema?: string
  readonly models?: string
  readonly scope?: string
  readonly with?: string
  readonly triggers?: boolean
  readonly name: string
  readonly migration: boolean
  readonly dryRun?: boolean
  readonly yes?: boolean
}

const FLAGS = 'say by flags what to add: --models, --stock, --serials, --series, --idempotency, --with'

export const init: CommandModule<InitOptions> = {
  describe: (command) =>
    FEATURES.filter(({ name }) => !isWork(name))
      .reduce(
        (described, { name, summary }) => described.option(`--${name}`, summary),
        command
          .option('--schema <path>', 'the Prisma schema; default: where prisma.config or package.json says')
          .option('--models <names>', 'the models that get a version column: Product,Account'),
      )
      .option('--scope <fields>', 'keeps companies apart in stock, serials and series: companyId')
      .option(
        '--with <parts>',
        `more of stock, serials and series, such as lots,history: ${Object.keys(PARTS).join(', ')}; ` +
          `and for work outside the database, without any other flag: ${WORK_FEATURES.join(', ')}`,
      )
      .option('--triggers', 'the database itself bumps the new version columns, whoever writes')
      .option('--name <name>', 'of the migration', 'concurrency')
      .option('--no-migration', 'writes no migration, for a database that is made by prisma db push')
      .option('--dry-run', 'prints what would be written')
      .option('--yes', 'writes without a question')
      .addHelpText('after', '\nExample: prisma-extension-concurrency init --models Product,Account --idempotency'),

  async run(options, _args, output) {
    const schema = await findSchema(options.schema)
    if (schema === undefined) throw new UsageError('there is no Prisma schema here: give --schema')
    const wanted = wantedBy(options) ?? (await asked(schema, allFeaturesOf(options)))
    const plan = await planOf(schema, wanted)
    const lines = `Your client:\n\n${clientLines(plan, wanted.features)}`
    if (plan.files.length === 0) {
      output.print(`Nothing is missing in the schema.\n\n${lines}`)
      return 0
    }
    const migration = options.migration
      ? migrationFiles(await migrationsFolder(schema), options.name, plan.migration)
      : []
    return write({ plan, migration, lines, options }, output)
  },
}

/** `undefined` where no flag says what to add. */
function wantedBy(options: InitOptions): Wanted | undefined {
  const { models, triggers = false } = options
  const work = namesWith(options)
  const features = featuresNamed(allFeaturesOf(options), ({ name }) =>
    isWork(name) ? work.includes(name) : options[name] === true,
  )
  if (models === undefined && features.length === 0) return undefined
  const parts = partsOf(options)
  const alone = parts.find((part) => !options[PARTS[part]])
  if (alone !== undefined) throw new UsageError(`--with ${alone} is of ${PARTS[alone]}: give --${PARTS[alone]} as well`)
  const other = parts.find((part) => PARTS[part] === 'stock' && !WITH_SLOTS.includes(part))
  if (parts.includes('slots') && other) {
    throw new UsageError(`--with slots does not go with ${other}: keep items with slots in models of their own`)
  }
  return { models: namesIn(models), features, triggers }
}

const allFeaturesOf = (options: InitOptions) => featuresOf(scopeOf(options), partsOf(options))

const isPart = (name: string): name is Part => Object.hasOwn(PARTS, name)

function namesWith(options: InitOptions): readonly string[] {
  const names = namesIn(options.with)
  const wrong = names.find((name) => !isPart(name) && !isWork(name))
  const all = [...Object.keys(PARTS), ...WORK_FEATURES]
  if (wrong !== undefined) throw new UsageError(`--with ${wrong} is none of ${all.join(', ')}`)
  return names
}

const partsOf = (options: InitOptions): readonly Part[] => namesWith(options).filter(isPart)

function scopeOf({ scope }: InitOptions): readonly string[] {
  const names = namesIn(scope)
  const wrong = names.find((name) => !/^[A-Za-z]\w*$/.test(name))
  if (wrong !== undefined) throw new UsageError(`--scope ${wrong} is no name of a field`)
  return names
}

const namesIn = (list = '') => [...new Set(list.split(',').map((name) => name.trim()))].filter((name) => name !== '')

async function asked(schema: PrismaSchema, all: readonly InitFeature[]): Promise<Wanted> {
  const { multiselect, confirm, isCancel } = await prompts(FLAGS)
  const names = [...(await modelsOf(schema)).keys()]
  const models = await multiselect({
    message: 'Which models are written by several callers at once? They get a version column.',
    options: names.map((name) => ({ value: name })),
    required: false,
  })
  if (isCancel(models)) throw new UsageError('nothing was written')
  const features = await multiselect({
    message: 'What else do you need? Each has models of its own.',
    options: all.map((feature) => ({ value: feature, label: feature.name, hint: feature.summary })),
    required: false,
  })
  if (isCancel(features)) throw new UsageError('nothing was written')
  const triggers =
    models.length > 0 &&
    (await confirm({
      message: 'Do other programs or raw SQL write these models? A trigger bumps the version then.',
      initialValue: false,
    }))
  return { models, features: featuresNamed(all, (feature) => features.includes(feature)), triggers: triggers === true }
}

interface Writing {
  readonly plan: Plan
  readonly migration: readonly FileChange[]
  readonly lines: string
  readonly options: InitOptions
}

async function write({ plan, migration, lines, options }: Writing, output: Output): Promise<ExitCode> {
  const files = [...plan.files, ...migration]
  const sql = migration.map(({ path, after }) => `${relative('.', path)}\n${after}`.trimEnd())
  const all = [...plan.files.map(additionsOf), ...sql].join('\n\n')
  if (options.dryRun) {
    output.print(`${all}\n\n${lines}`)
    return 0
  }
  if (!options.yes && process.stdin.isTTY && process.stdout.isTTY) {
    output.note(all)
    if (!(await confirmed('Write this?', '--yes'))) {
      output.print('Nothing was written.')
      return 1
    }
  }
  writeAll(files)
  output.print(
    [
      'Written:',
      ...files.map(({ path }) => `  ${relative('.', path)}`),
      '',
      lines,
      '',
      options.migration
        ? 'Next: npx prisma migrate deploy && npx prisma generate'
        : 'Next: npx prisma db push && npx prisma generate',
    ].join('\n'),
  )
  return 0
}
