import { isReadOnly } from '../engine/error-facts.js'
import { ConfigurationError } from '../errors/configuration.js'
import { takesNoWrites } from '../errors/read-only.js'

/** The error of a call that needs a savepoint, where the adapter has none. Nothing was sent. */
export function lacksSavepoints(cause: unknown): ConfigurationError {
  const message =
    'of the client has no savepoints (createSavepoint), which this call needs inside a transaction: nothing was sent. Call it on the client, or take another adapter.'
  return new ConfigurationError([{ path: 'adapter', message }], { cause })
}

interface KnownError extends Error {
  readonly code: string
  readonly clientVersion: string
  readonly meta?: Readonly<Record<string, unknown>>
}

type KnownErrorClass = new (
  message: string,
  options: { code: string; clientVersion: string; meta: Readonly<Record<string, unknown>> },
) => KnownError

interface Cause {
  readonly kind?: unknown
  readonly originalCode?: unknown
  readonly originalMessage?: unknown
  readonly constraint?: { readonly fields?: readonly string[]; readonly index?: string }
  readonly column?: string
  readonly table?: string
}

/** Code and message by the kind of the driver's error, as a model call has them (user-facing-error.ts, 7.10). */
const KINDS: Readonly<Record<string, readonly [code: string, message: (cause: Cause) => string]>> = {
  LengthMismatch: [
    'P2000',
    ({ column }) =>
      `The provided value for the column is too long for the column's type. Column: ${column ?? NOT_AVAILABLE}`,
  ],
  UniqueConstraintViolation: ['P2002', (cause) => `Unique constraint failed on the ${constraintOf(cause)}`],
  ForeignKeyConstraintViolation: ['P2003', (cause) => `Foreign key constraint violated on the ${constraintOf(cause)}`],
  RestrictViolation: ['P2003', (cause) => `Foreign key constraint violated on the ${constraintOf(cause)}`],
  InvalidInputValue: ['P2007', (cause) => `Invalid input value: ${cause.originalMessage}`],
  NullConstraintViolation: ['P2011', (cause) => `Null constraint violation on the ${constraintOf(cause)}`],
  ValueOutOfRange: ['P2020', (cause) => `Value out of range for the type: ${cause.originalMessage}`],
  TableDoesNotExist: [
    'P2021',
    ({ table }) => `The table \`${table ?? NOT_AVAILABLE}\` does not exist in the current database.`,
  ],
  ColumnNotFound: [
    'P2022',
    ({ column }) => `The column \`${column ?? NOT_AVAILABLE}\` does not exist in the current database.`,
  ],
  TransactionWriteConflict: [
    'P2034',
    () => 'Transaction failed due to a write conflict or a deadlock. Please retry your transaction',
  ],
  postgres: [
    'P2039',
    (cause) => `Database error. Code: \`${cause.originalCode}\`. Message: \`${cause.originalMessage}\``,
  ],
}

const NOT_AVAILABLE = '(not available)'

/**
 * The error of work of ours, as the caller is to have it. With a model, that of a raw statement (P2010) becomes the error
 * that a call of the model has for the same: a P2002 for a unique key that is taken, and so on. It is of the client's own
 * class, with the driver's error in `meta` as before.
 */
export function asOwnError(error: unknown, model: string | undefined): unknown {
  if (isReadOnly(error)) return takesNoWrites(error)
  return model === undefined ? error : asModelError(error, model)
}

function asModelError(error: unknown, model: string): unknown {
  if (!(error instanceof Error) || (error as Partial<KnownError>).code !== 'P2010') return error
  const raw = error as KnownError
  const { cause } = (raw.meta?.driverAdapterError ?? {}) as { readonly cause?: Cause }
  const [code, message] = KINDS[String(cause?.kind)] ?? []
  if (code === undefined || message === undefined || cause === undefined) return error
  const meta = { modelName: model, ...raw.meta }
  const same = new (raw.constructor as KnownErrorClass)(message(cause), {
    code,
    clientVersion: raw.clientVersion,
    meta,
  })
  same.stack = `${same.name}: ${same.message}\n${raw.stack?.slice(raw.stack.indexOf('\n    at ') + 1) ?? ''}`
  return 'attempts' in raw ? Object.assign(same, { attempts: raw.attempts }) : same
}

function constraintOf({ constraint }: Cause): string {
  if (constraint?.fields) return `fields: (${constraint.fields.map((field) => `\`${field}\``).join(', ')})`
  return constraint?.index === undefined ? NOT_AVAILABLE : `constraint: \`${constraint.index}\``
}
