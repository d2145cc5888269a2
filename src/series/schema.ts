import { migrationOf } from '../sql/migration.js'

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
 * The migration that goes with `seriesSchema()`: the same SQL that Prisma makes of it.
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_series/migration.sql', seriesSql())
 */
export function seriesSql(counter: string = DEFAULT_COUNTER_MODEL, number: string = DEFAULT_NUMBER_MODEL): string {
  return migrationOf(seriesSchema(counter, number))
}
