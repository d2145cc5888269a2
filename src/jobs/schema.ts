import { modelText } from '../prisma/model-text.js'
import { printMigration, printSchema } from '../prisma/print-migration.js'

/** The name of the user's model, unless the options give another. */
export const DEFAULT_RUN_MODEL = 'JobRun'

/**
 * The model of the runs of jobs, for your `schema.prisma`. It stands beside the one of the leases, which `leaseSchema()`
 * prints.
 *
 * @example
 * console.log(leaseSchema())
 * console.log(jobSchema())
 */
export function jobSchema(name: string = DEFAULT_RUN_MODEL): string {
  return modelText({
    doc: 'The runs of each job, and what became of them. Written',
    name,
    scope: [],
    fields: [
      ['job', 'String'],
      ['token', 'BigInt'],
      ['state', 'String'],
      ['period', 'DateTime?', '@db.Timestamptz(3)'],
      ['startedAt', 'DateTime', '@db.Timestamptz(3)'],
      ['endedAt', 'DateTime?', '@db.Timestamptz(3)'],
      ['startedBy', 'String?'],
      ['error', 'String?'],
      ['progress', 'Json?'],
    ],
    keys: ['@@id([job, token])', '@@index([job, state, token])'],
  })
}

/**
 * The migration that makes the table of `jobs()`: the same SQL that Prisma makes of the model.
 *
 * @param of the name of the model of `jobSchema()`; or a client with `jobs()`, whose model is printed as it is in your
 *   schema
 * @throws ConfigurationError if the client has no `jobs()`
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_jobs/migration.sql', await jobSql())
 */
export function jobSql(of: string | object = DEFAULT_RUN_MODEL): Promise<string> {
  return typeof of === 'object' ? printMigration(of, 'jobs') : printSchema(jobSchema(of))
}
