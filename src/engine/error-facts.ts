/**
 * The facts in an error of the database, or of the connection to it, in the shapes of every engine.
 *
 * Prisma: a model call gives a PrismaClientKnownRequestError (P2034 for a write conflict, P2039 for an
 * error without a code in Prisma), raw SQL a P2010, and COMMIT a bare DriverAdapterError; in each of them the
 * driver's own error, with the SQLSTATE, is the `cause`. A lost connection comes as a plain Error of the
 * driver, a P1017, or a FATAL of the server.
 *
 * node-postgres: the error itself has the SQLSTATE as its `code`, and a `severity`.
 */

interface Shape {
  readonly name?: unknown
  readonly code?: unknown
  readonly severity?: unknown
  readonly message?: unknown
  readonly meta?: Readonly<Record<string, unknown>> | undefined
  readonly cause?: unknown
  readonly isUnanswered?: unknown
}

interface DriverCause {
  readonly originalCode?: unknown
  readonly code?: unknown
  readonly kind?: unknown
}

/** The SQLSTATE of a database error, if it has one. */
export function sqlState(error: unknown): string | undefined {
  if (isShape(error) && typeof error.severity === 'string' && isSqlState(error.code)) return error.code
  const cause = driverCause(error)
  if (typeof cause?.originalCode === 'string') return cause.originalCode
  return isSqlState(cause?.code) ? cause.code : undefined
}

function isSqlState(code: unknown): code is string {
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)
}

function driverCause(error: unknown): DriverCause | undefined {
  if (!isShape(error)) return undefined
  const driverError = error.name === 'DriverAdapterError' ? error : error.meta?.driverAdapterError
  return isShape(driverError) && isShape(driverError.cause) ? driverError.cause : undefined
}

function isShape(value: unknown): value is Shape {
  return typeof value === 'object' && value !== null
}

/**
 * A conflict between transactions that goes away when the transaction runs again: 40001 or 40P01
 * (PostgreSQL manual, "13.5. Serialization Failure Handling"). P2034 is Prisma's name for both.
 */
export function isTransactionConflict(error: unknown): boolean {
  const state = sqlState(error)
  if (state !== undefined) return state === '40001' || state === '40P01'
  return isShape(error) && (error.code === 'P2034' || driverCause(error)?.kind === 'TransactionWriteConflict')
}

/** The database has ended a transaction that waited for one that waited for it (40P01). */
export function isDeadlock(error: unknown): boolean {
  return sqlState(error) === '40P01'
}

/** A function that is not there, not allowed, or not supported: 42883, 42501, 0A000. */
export function isUnsupported(error: unknown): boolean {
  return /^(42883|42501|0A000)$/.test(sqlState(error) ?? '')
}

/** `lock_timeout` has ended the statement, or a lock was not to be had at once (55P03). */
export function isLockTimeout(error: unknown): boolean {
  return sqlState(error) === '55P03'
}

/** `lock_timeout` (55P03) or `statement_timeout` (57014) has ended the statement. */
export function isStatementTimeout(error: unknown): boolean {
  const state = sqlState(error)
  return state === '55P03' || state === '57014'
}

/** The server, or the transaction, takes no writes: it is a replica, or was told so (25006). */
export function isReadOnly(error: unknown): boolean {
  return sqlState(error) === '25006'
}

/** Prisma's own timeout of an interactive transaction. */
export function isTransactionTimeout(error: unknown): boolean {
  return isShape(error) && error.code === 'P2028'
}

/** A number that does not fit its column (22003). */
export function isOutOfRange(error: unknown): boolean {
  return sqlState(error) === '22003'
}

/**
 * The connection broke while it was in use, so the statement may or may not have been carried out.
 * Not a server that cannot be reached in the first place (P1001): there nothing was sent.
 */
export function isConnectionLost(error: unknown): boolean {
  const state = sqlState(error)
  // Class 08, and the FATALs with which a server ends a session (manual, "Appendix A").
  if (state !== undefined) return state.startsWith('08') || /^57P0[125]$/.test(state)
  if (!isShape(error)) return false
  if (error.isUnanswered) return true // our own: it was waited for until the end of the grace
  return isNamed(error, LOST) || LOST_CONNECTION.test(String(error.message))
}

/** The server could not be reached, or no connection to it be had: nothing was sent. */
export function isUnreachable(error: unknown): boolean {
  if (!isShape(error)) return false
  if (sqlState(error) === '57P03') return true // it is starting up, or recovering
  return isNamed(error, UNREACHABLE) || NEVER_CONNECTED.test(String(error.message))
}

/** Whether the code of the error, or the kind of its cause, is one of these. */
function isNamed(error: Shape, names: RegExp): boolean {
  return names.test(String(error.code)) || names.test(String(driverCause(error)?.kind))
}

const LOST = /^(P10(08|17)|E(CONN(RESET|ABORTED)|PIPE|TIMEDOUT)|ConnectionClosed|SocketTimeout)$/
const UNREACHABLE =
  /^(P100[12]|P20(24|37)|E(CONNREFUSED|NOTFOUND|AI_AGAIN|HOSTUNREACH|NETUNREACH)|DatabaseNotReachable|TooManyConnections)$/

// Messages of node-postgres (pg/lib/client.js, pg-pool), also inside Prisma's longer ones.
const NEVER_CONNECTED = /timeout exceeded when trying to connect|Connection terminated due to connection timeout/i
const LOST_CONNECTION =
  /Connection terminated(?! due to connection timeout)|Client has encountered a connection error|Client was closed and is not queryable|server closed the connection|Query read timeout|ECONNRESET|EPIPE/i
