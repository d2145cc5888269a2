import { sqlOfModels } from '../prisma/model-sql.js'
import { type FieldLine, modelText } from '../prisma/model-text.js'
import { printMigration, printSchema } from '../prisma/print-migration.js'

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
  const series: FieldLine = ['series', 'String']
  const value: readonly FieldLine[] = [
    ['period', 'String'],
    ['value', 'BigInt'],
  ]
  const created: FieldLine = ['createdAt', 'DateTime', '@default(now()) @db.Timestamptz(3)']
  const keys = ['@@id([series, period, value])']
  return [
    modelText({
      doc: 'How far each number series is, a row per period. Written',
      name: typeof of === 'string' ? of : DEFAULT_COUNTER_MODEL,
      scope,
      fields: [
        ['name', 'String'],
        ['period', 'String', '@default("")'],
        ['last', 'BigInt'],
      ],
      keys: ['@@id([name, period])'],
    }),
    modelText({
      doc: 'Which transaction id has which number of a series. Written',
      name: number,
      scope,
      fields: [series, ['transactionId', 'String'], ...value, ['text', 'String'], created],
      keys: ['@@id([series, transactionId])', '@@unique([series, period, value])'],
    }),
    ...(hasVoids
      ? [
          modelText({
            doc: 'The numbers of series that were made void, and why. Written',
            name: DEFAULT_VOID_MODEL,
            scope,
            fields: [series, ...value, ['reason', 'String'], created],
            keys,
          }),
        ]
      : []),
    ...(parallel
      ? [
          modelText({
            doc: 'The numbers of series that no transaction id has yet. Written',
            name: DEFAULT_FREE_MODEL,
            scope,
            fields: [series, ...value],
            keys,
          }),
        ]
      : []),
  ].join('\n')
}

/**
 * The migration that makes the tables of `series()`: the same SQL that Prisma makes of the models. The documents
 * are not among them. Of a client or of options it is a promise: the printer is loaded then.
 *
 * @param of the name of the first model of `seriesSchema()`, or its options; or a client with `series()`, whose models
 *   are printed as they are in your schema
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
  if (typeof of === 'object') {
    // The models of the documents are the user's own.
    return '$extends' in of ? printMigration(of, 'series') : printSchema(seriesSchema(of))
  }
  return sqlOfModels(seriesSchema(of, number))
}
