import { modelText } from '../prisma/model-text.js'
import { printMigration, printSchema } from '../prisma/print-migration.js'

/** The name of the user's model, unless the options give another. */
export const DEFAULT_OPERATION_MODEL = 'Operation'

/**
 * The model of operations in steps, for your `schema.prisma`: a row for each operation, with the answers of its steps.
 *
 * @example
 * console.log(stepsSchema())
 */
export function stepsSchema(name: string = DEFAULT_OPERATION_MODEL): string {
  return modelText({
    doc: 'How far each operation in steps has come, and its answers. Written',
    name,
    scope: [],
    fields: [
      ['scope', 'String'],
      ['key', 'String'],
      ['request', 'String'],
      ['state', 'String'],
      ['answer', 'String?'],
      ['steps', 'Json'],
      ['changedAt', 'DateTime', '@db.Timestamptz(3)'],
    ],
    keys: ['@@id([scope, key])', '@@index([state, changedAt])'],
  })
}

/**
 * The migration that makes the table of `steps()`: the same SQL that Prisma makes of the model.
 *
 * @param of the name of the model of `stepsSchema()`; or a client with `steps()`, whose model is printed as it is in your
 *   schema
 * @throws ConfigurationError if the client has no `steps()`
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_steps/migration.sql', await stepsSql())
 */
export function stepsSql(of: string | object = DEFAULT_OPERATION_MODEL): Promise<string> {
  return typeof of === 'object' ? printMigration(of, 'steps') : printSchema(stepsSchema(of))
}
