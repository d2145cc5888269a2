import { sqlOfModels } from '../prisma/model-sql.js'
import { type FieldLine, modelText } from '../prisma/model-text.js'
import { printMigration, printSchema } from '../prisma/print-migration.js'

/** The names of the user's models, unless the options give others. */
export const DEFAULT_SERIAL_MODEL = 'Serial'
export const DEFAULT_ALLOCATION_MODEL = 'SerialAllocation'
export const DEFAULT_HISTORY_MODEL = 'SerialHistory'

/** The parts of what `serialsSchema()` prints, and their names. */
export interface SerialsSchemaOptions {
  /** Default `Serial`. */
  readonly serial?: string
  /** Default `SerialAllocation`. */
  readonly allocation?: string
  /** The fields that keep companies or tenants apart, as in the options of `serials()`: each an Int, unless you change it. */
  readonly scope?: readonly string[]
  /** A model of the changes of each serial's owner: its name, or `true` for `SerialHistory`. */
  readonly history?: boolean | string
  /** A field `state` of the serials, and its enum, with `FREE`, `ALLOCATED` and `BLOCKED`. */
  readonly state?: boolean
}

/**
 * The models of the serials, for your `schema.prisma`: the owner of each one, and the allocations
 * and imports. Fields of your own may stand beside them, such as a warehouse. The index makes the
 * first free ones of a product cheap to find, and those that a transaction id has.
 *
 * @example
 * console.log(serialsSchema({ scope: ['companyId'] }))
 */
export function serialsSchema(serial?: string, allocation?: string): string
export function serialsSchema(options: SerialsSchemaOptions): string
export function serialsSchema(given: string | SerialsSchemaOptions = {}, second?: string): string {
  const options = typeof given === 'string' ? { serial: given } : given
  const { serial = DEFAULT_SERIAL_MODEL, allocation = second ?? DEFAULT_ALLOCATION_MODEL, scope = [] } = options
  const isScoped = scope.length > 0
  const state: readonly FieldLine[] = options.state ? [['state', `${serial}State`]] : []
  const own: readonly FieldLine[] = [
    ['productId', 'Int'],
    ['number', 'String'],
    ['transactionId', 'String?'],
    ['orderId', 'Int?'],
  ]
  const free = ['transactionId', ...state.map(([name]) => name), 'productId', 'number']
  const models = [
    modelText({
      doc: 'The serial numbers, and who has each of them: none has a free one. Written',
      name: serial,
      scope,
      fields: [
        ...own,
        ...state.map(([name, type]): FieldLine => [name, type, '@default(FREE)']),
        ...(options.history ? [['changes', 'Int', '@default(0)'] as const] : []),
      ],
      keys: ['@@id([productId, number])', `@@index([${free.join(', ')}])`],
    }),
    modelText({
      doc: 'What was allocated and imported, once per transaction id. Written',
      name: allocation,
      scope,
      fields: [
        ['transactionId', 'String', isScoped ? '' : '@id'],
        ['request', 'String'],
        ['count', 'Int'],
        ['createdAt', 'DateTime', '@default(now()) @db.Timestamptz(3)'],
      ],
      keys: isScoped ? ['@@id([transactionId])'] : [],
    }),
  ]
  if (options.history) {
    models.push(
      modelText({
        doc: 'Each serial as it was after each change of its owner. Written',
        name: options.history === true ? DEFAULT_HISTORY_MODEL : options.history,
        scope,
        fields: [...own, ...state, ['sequence', 'Int'], ['changedAt', 'DateTime', '@db.Timestamptz(3)']],
        keys: ['@@id([productId, number, sequence])'],
      }),
    )
  }
  if (options.state) models.push(`enum ${serial}State {\n  FREE\n  ALLOCATED\n  BLOCKED\n}\n`)
  return models.join('\n')
}

/**
 * The migration that makes the tables of `serials()`: the same SQL that Prisma makes of the models. Of a client
 * or of options it is a promise: the printer is loaded then.
 *
 * @param of the name of the first model of `serialsSchema()`, or its options; or a client with `serials()`, whose models
 *   are printed as they are in your schema
 * @param allocation the name of the second model of `serialsSchema()`
 * @throws ConfigurationError if the client has no `serials()`, or a model has what is not printed here, such as an
 *   index of another type than the usual one
 *
 * @example
 * await writeFile('prisma/migrations/20260101000000_serials/migration.sql', await serialsSql(db))
 */
export function serialsSql(of?: string, allocation?: string): string
export function serialsSql(of: object): Promise<string>
export function serialsSql(
  of: string | object = DEFAULT_SERIAL_MODEL,
  allocation = DEFAULT_ALLOCATION_MODEL,
): string | Promise<string> {
  if (typeof of === 'object') {
    return '$extends' in of ? printMigration(of, 'serials') : printSchema(serialsSchema(of))
  }
  return sqlOfModels(serialsSchema(of, allocation))
}
