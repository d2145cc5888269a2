import { printMigration } from '../prisma/print-migration.js'
import { quoted } from '../sql/sql.js'

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
  // Its models are the two of its own, and behind them those of the documents.
  if (typeof of === 'object') return printMigration(of, 'series', 2)
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
