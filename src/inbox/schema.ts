import { modelText } from '../prisma/model-text.js'
import { printMigration, printSchema } from '../prisma/print-migration.js'

/** The names of the user's models, unless the options give others. */
export const DEFAULT_INBOX_MODEL = 'InboxMessage'
export const DEFAULT_VERSION_MODEL = 'InboxVersion'

/** The parts of what `inboxSchema()` prints, and their names. */
export interface InboxSchemaOptions {
  /** Default `InboxMessage`. */
  readonly message?: string
  /** A model of the versions of keys: its name, or `true` for `InboxVersion`. */
  readonly version?: boolean | string
}

/**
 * The models of the inbox, for your `schema.prisma`: which consumer has handled which message, and, if asked for, the last
 * version of each key.
 *
 * @example
 * console.log(inboxSchema({ version: true }))
 */
export function inboxSchema({ message = DEFAULT_INBOX_MODEL, version }: InboxSchemaOptions = {}): string {
  const models = [
    modelText({
      doc: 'The messages that were handled. Written',
      name: message,
      scope: [],
      fields: [
        ['consumer', 'String'],
        ['messageId', 'String'],
        ['handledAt', 'DateTime', '@default(now()) @db.Timestamptz(3)'],
      ],
      keys: ['@@id([consumer, messageId])', '@@index([consumer, handledAt])'],
    }),
  ]
  if (version) {
    models.push(
      modelText({
        doc: 'The last version of each key that was handled. Written',
        name: version === true ? DEFAULT_VERSION_MODEL : version,
        scope: [],
        fields: [
          ['consumer', 'String'],
          ['key', 'String'],
          ['lastVersion', 'BigInt'],
        ],
        keys: ['@@id([consumer, key])'],
      }),
    )
  }
  return models.join('\n')
}

/**
 * The migration that makes the tables of `inbox()`: the same SQL that Prisma makes of the models.
 *
 * @param of the options of `inboxSchema()`; or a client with `inbox()`, whose models are printed as they are in your schema
 * @throws ConfigurationError if the client has no `inbox()`, or a model has what is not printed here, such as an index of
 *   another type than the usual one
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_inbox/migration.sql', await inboxSql({ version: true }))
 */
export function inboxSql(of: InboxSchemaOptions | object = {}): Promise<string> {
  return '$extends' in of ? printMigration(of, 'inbox') : printSchema(inboxSchema(of))
}
