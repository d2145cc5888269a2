import { modelText } from '../prisma/model-text.js'
import { printMigration, printSchema } from '../prisma/print-migration.js'

/** The names of the user's models, unless the options give others. */
export const DEFAULT_MESSAGE_MODEL = 'OutboxMessage'
export const DEFAULT_KEY_MODEL = 'OutboxKey'

/** The names of the models that `outboxSchema()` prints. */
export interface OutboxSchemaOptions {
  /** Default `OutboxMessage`. */
  readonly message?: string
  /** Default `OutboxKey`. */
  readonly key?: string
}

/**
 * The models of the outbox, for your `schema.prisma`: the messages that are to be sent, and a row for each key, whose
 * messages are sent one after the other.
 *
 * @example
 * console.log(outboxSchema())
 */
export function outboxSchema({
  message = DEFAULT_MESSAGE_MODEL,
  key = DEFAULT_KEY_MODEL,
}: OutboxSchemaOptions = {}): string {
  return [
    modelText({
      doc: 'The messages that are to be sent. Written',
      name: message,
      scope: [],
      fields: [
        ['id', 'String', '@id @db.Uuid'],
        ['topic', 'String'],
        ['key', 'String'],
        ['position', 'BigInt'],
        ['payload', 'Json'],
        ['attempts', 'Int', '@default(0)'],
        ['error', 'String?'],
        ['deadAt', 'DateTime?', '@db.Timestamptz(3)'],
        ['createdAt', 'DateTime', '@default(now()) @db.Timestamptz(3)'],
      ],
      keys: ['@@unique([topic, key, position])', '@@index([deadAt])'],
    }),
    modelText({
      doc: 'The keys whose messages are to be sent in order. Written',
      name: key,
      scope: [],
      fields: [
        ['topic', 'String'],
        ['key', 'String'],
        ['head', 'BigInt'],
        ['last', 'BigInt'],
        ['dueAt', 'DateTime?', '@db.Timestamptz(3)'],
      ],
      keys: ['@@id([topic, key])', '@@index([topic, dueAt])'],
    }),
  ].join('\n')
}

/**
 * The migration that makes the tables of `outbox()`: the same SQL that Prisma makes of the models.
 *
 * @param of the options of `outboxSchema()`; or a client with `outbox()`, whose models are printed as they are in your
 *   schema
 * @throws ConfigurationError if the client has no `outbox()`, or a model has what is not printed here, such as an index
 *   of another type than the usual one
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_outbox/migration.sql', await outboxSql())
 */
export function outboxSql(of: OutboxSchemaOptions | object = {}): Promise<string> {
  return '$extends' in of ? printMigration(of, 'outbox') : printSchema(outboxSchema(of))
}
