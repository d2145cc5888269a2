import { migrationFor, migrationOf } from '../prisma/migration.js'

/** The names of the user's models, unless the options give others. */
export const DEFAULT_COUNTER_MODEL = 'Series'
export const DEFAULT_NUMBER_MODEL = 'SeriesNumber'

/**
 * The models of the number series, for your `schema.prisma`: how far each series is, and which
 * transaction id has which number.
 *
 * @example
 * console.log(seriesSchema())
 */
export function seriesSchema(counter: string = DEFAULT_COUNTER_MODEL, number: string = DEFAULT_NUMBER_MODEL): string {
  return `/// How far each number series is, a row per period. Written by prisma-extension-concurrency.
model ${counter} {
  name   String
  period String @default("")
  last   BigInt

  @@id([name, period])
}

/// Which transaction id has which number of a series. Written by prisma-extension-concurrency.
model ${number} {
  series        String
  transactionId String
  period        String
  value         BigInt
  text          String
  createdAt     DateTime @default(now()) @db.Timestamptz(3)

  @@id([series, transactionId])
  @@unique([series, period, value])
}
`
}

/**
 * The migration that makes the tables of `series()`: the same SQL that Prisma makes of the models. The documents
 * are not among them.
 *
 * @param of a client with `series()`, whose models are printed as they are in your schema; or, with `number`, the
 *   names of the models of `seriesSchema()`
 * @throws ConfigurationError if the client has no `series()`, or a model has what is not printed here, such as an
 *   index of another type than the usual one
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_series/migration.sql', seriesSql(db))
 */
export function seriesSql(of: string | object = DEFAULT_COUNTER_MODEL, number?: string): string {
  // Its models are the two of its own, and behind them those of the documents.
  return typeof of === 'string' ? migrationOf(seriesSchema(of, number)) : migrationFor(of, 'series', 2)
}
