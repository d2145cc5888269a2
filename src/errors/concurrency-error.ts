export const BRAND = Symbol.for('prisma-extension-concurrency.error')

export type ConcurrencyErrorCode =
  | 'BATCH_VERSION_CONFLICT'
  | 'BATCH_TRANSACTION'
  | 'CHECK_FAILED'
  | 'CONFIGURATION'
  | 'DEADLINE_EXCEEDED'
  | 'DUPLICATE_SERIALS'
  | 'FOREIGN_EXTENSION'
  | 'IDEMPOTENCY_IN_PROGRESS'
  | 'IDEMPOTENCY_MISMATCH'
  | 'INSUFFICIENT_SERIALS'
  | 'INSUFFICIENT_STOCK'
  | 'INVALID_ARGUMENT'
  | 'ITEM_NOT_FOUND'
  | 'LEASE_HELD'
  | 'LEASE_LOST'
  | 'LOCK_TIMEOUT'
  | 'MAXIMUM_EXCEEDED'
  | 'OPERATION_REFUSED'
  | 'OUTCOME_UNKNOWN'
  | 'OVERLOADED'
  | 'RESERVATION_ACTIVE'
  | 'RESERVATION_ENDED'
  | 'RESERVATION_EXCEEDED'
  | 'PERIOD_CLOSED'
  | 'REVERSAL'
  | 'ROW_LOCKED'
  | 'SERIALS_UNAVAILABLE'
  | 'SERIES_NUMBER'
  | 'SERIES_OVERFLOW'
  | 'STEP_MISMATCH'
  | 'TRANSACTION_ABORTED'
  | 'TRANSACTION_REQUIRED'
  | 'TRANSACTION_SCOPE'
  | 'UNSUPPORTED_DATABASE'
  | 'VERSION_CONFLICT'
  | 'VERSION_OVERFLOW'
  | 'WRITE_SUPPRESSED'

/** The base class of all errors of this package. */
export abstract class ConcurrencyError extends Error {
  abstract readonly code: ConcurrencyErrorCode

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    Object.defineProperty(this, BRAND, { value: true })
  }
}

/** A record's name in a message: `{ id: 7, warehouse: "Graz" }`. */
export function describe(where: Readonly<Record<string, unknown>>): string {
  const parts = Object.entries(where).map(([key, value]) => `${key}: ${describeValue(value)}`)
  return `{ ${parts.join(', ')} }`
}

function describeValue(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString()
  if (typeof value !== 'object' || value === null) return String(value)
  const prototype = Object.getPrototypeOf(value)
  const isPlain = prototype === Object.prototype || prototype === null
  return isPlain ? describe({ ...value }) : String(value)
}
