import { printMigration } from '../prisma/print-migration.js'
import { quoted } from '../sql/sql.js'

/** The names of the user's models, unless the options give others. */
export const DEFAULT_COUNTER_MODEL = 'Series'
export const DEFAULT_NUMBER_MODEL = 'SeriesNumber'

export const DEFAULT_VOID_MODEL = 'SeriesVoid'
export const DEFAULT_FREE_MODEL = 'SeriesFree'

/** The options of `series()` that ask for more models or fields. */
export interface SeriesSchemaOptions {
  /** The fields of the scope, such as `['companyId']`. They are printed as Int. */
  readonly scope?: readonly string[]
  /** Whether numbers are made void. */
  readonly void?: boolean
  /** Whether a series has `parallel`: its free numbers have a model, and so have void ones. */
  readonly parallel?: boolean
}

/**
 * The models of the number series, for your `schema.prisma`: how far each series is, and which
 * transaction id has which number.
 *
 * @param of what `series()` is told; or the name of the first model
 * @param number the name of the second model
 *
 * @example
 * console.log(seriesSchema({ scope: ['companyId'] }))
 */
export function seriesSchema(of: string | SeriesSchemaOptions = {}, number: string = DEFAULT_NUMBER_MODEL): string {
  const { scope = [], parallel = false, void: hasVoids = parallel } = typeof of === 'string' ? {} : of
  const print = (doc: string, model: string, fields: readonly Line[], keys: readonly string[]) =>
    modelText(
      doc,
      model,
      [...scope.map((name): Line => [name, 'Int']), ...fields],
      keys.map((key) => key.replace('[', `[${scope.map((name) => `${name}, `).join('')}`)),
    )
  const series: Line = ['series', 'String']
  const value: readonly Line[] = [
    ['period', 'String'],
    ['value', 'BigInt'],
  ]
  const created: Line = ['createdAt', 'DateTime', '@default(now()) @db.Timestamptz(3)']
  const key = ['@@id([series, period, value])']
  return [
    print(
      'How far each number series is, a row per period.',
      typeof of === 'string' ? of : DEFAULT_COUNTER_MODEL,
      [
        ['name', 'String'],
        ['period', 'String', '@default("")'],
        ['last', 'BigInt'],
      ],
      ['@@id([name, period])'],
    ),
    print(
      'Which transaction id has which number of a series.',
      number,
      [series, ['transactionId', 'String'], ...value, ['text', 'String'], created],
      ['@@id([series, transactionId])', '@@unique([series, period, value])'],
    ),
    ...(hasVoids
      ? [
          print(
            'The numbers of series that were made void, and why.',
            DEFAULT_VOID_MODEL,
            [series, ...value, ['reason', 'String'], created],
            key,
          ),
        ]
      : []),
    ...(parallel
      ? [print('The numbers of series that no transaction id has yet.', DEFAULT_FREE_MODEL, [series, ...value], key)]
      : []),
  ].join('\n')
}

type Line = readonly [field: string, type: string, attributes?: string]

/** A model in the form that Prisma gives to a schema. */
function modelText(doc: string, model: string, fields: readonly Line[], keys: readonly string[]): string {
  const widthOf = (part: 0 | 1) => Math.max(...fields.map((field) => field[part].length))
  const lines = fields.map(
    ([name, type, attributes]) =>
      `  ${name.padEnd(widthOf(0))} ${attributes ? `${type.padEnd(widthOf(1))} ${attributes}` : type}`,
  )
  return `/// ${doc} Written by prisma-extension-concurrency.
model ${model} {
${lines.join('\n')}

${keys.map((key) => `  ${key}\n`).join('')}}
`
}

/**
 * The migration that makes the tables of `series()`: the same SQL that Prisma makes of the models. The documents
 * are not among them. Of a client it is a promise: the printer is loaded then.
 *
 * @param of the name of the first model of `seriesSchema()`; or a client with `series()`, whose models are printed
 *   as they are in your schema
 * @param number the name of the second model of `seriesSchema()`
 * @throws ConfigurationError if the client has no `series()`, or a model has what is not printed here, such as an
 *   index of another type than the usual one
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_series/migration.sql', await seriesSql(db))
 */
export function seriesSql(of?: string, number?: string): string
export function seriesSql(of: object): Promise<string>
export function seriesSql(
  of: string | object = DEFAULT_COUNTER_MODEL,
  number = DEFAULT_NUMBER_MODEL,
): string | Promise<string> {
  // The models of the documents are the user's own.
  if (typeof of === 'object') return printMigration(of, 'series')
  return `-- CreateTable
CREATE TABLE ${quoted(of)} (
    "name" TEXT NOT NULL,
    "period" TEXT NOT NULL DEFAULT '',
    "last" BIGINT NOT NULL,

    CONSTRAINT ${quoted(`${of}_pkey`)} PRIMARY KEY ("name","period")
);

-- CreateTable
CREATE TABLE ${quoted(number)} (
    "series" TEXT NOT NULL,
    "transactionId" TEXT NOT NULL,
    "period" TEXT NOT NULL,
    "value" BIGINT NOT NULL,
    "text" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT ${quoted(`${number}_pkey`)} PRIMARY KEY ("series","transactionId")
);

-- CreateIndex
CREATE UNIQUE INDEX ${quoted(`${number}_series_period_value_key`)} ON ${quoted(number)}("series", "period", "value");
`
}
