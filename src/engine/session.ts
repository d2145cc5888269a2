/**
 * The seam between the features and what carries their statements: Prisma 7 (`src/prisma`), or
 * node-postgres alone (`src/pg`). A session is where statements run; an engine opens sessions.
 */

/** SQL with numbered parameters, as the server takes it. */
export interface SqlStatement {
  readonly text: string
  readonly values: readonly unknown[]
}

/**
 * A row as the driver gives it. An `int8` is a bigint, a `timestamp` and a `timestamptz` is a Date
 * (the first is meant as UTC), and a `numeric` has a `toString` that keeps every digit, whatever the engine.
 */
export type Row = Record<string, unknown>

export type IsolationLevel = 'ReadUncommitted' | 'ReadCommitted' | 'RepeatableRead' | 'Serializable'

export interface TransactionOptions {
  /** How long to wait for a connection, in ms. */
  readonly maxWait?: number | undefined
  /** How long the transaction may take, in ms. */
  readonly timeout?: number | undefined
  readonly isolationLevel?: IsolationLevel | undefined
}

/** How long the part may take that another extension has in a call. */
export interface Bound {
  /** Settles as the work does, or rejects when the time is up. */
  race<T>(work: PromiseLike<T>, extension: string): Promise<T>
  /** Throws once the caller has been told that the time is up. */
  check(): void
}

/** The time that a call has for the answers of the database. */
export interface TimeLimit {
  /** Settles as the work does, or rejects when the time is up: nothing was sent. */
  race<T>(work: PromiseLike<T>, waitedFor: string): Promise<T>
  /** Settles as what is sent does, or rejects when there was no answer for too long. */
  answered<T>(send: () => PromiseLike<T>): Promise<T>
  /** The same for a transaction: nothing is committed where the body has not ended by then. */
  committed<S, R>(open: (body: (session: S) => Promise<R>) => Promise<R>, body: (session: S) => Promise<R>): Promise<R>
}

/** Where statements run: on the root client, each by itself, or in a transaction. */
export type Session = RootSession | TransactionSession

interface AnySession {
  /** For a body of the user's: the client, or the `tx`, with all of its extensions. */
  readonly client: object
  /**
   * Sends one statement, whose rows are of the type `R`.
   *
   * @throws what the engine throws: `sqlState` and its neighbours read it
   */
  rows<R extends object = Row>(statement: SqlStatement): Promise<R[]>
}

/** The root session. Only it can open a transaction. */
export interface RootSession extends AnySession {
  readonly inTransaction: false
  /** How many connections there can be; `undefined` where that is not known. */
  readonly connections: number | undefined
  /** The same, whose statements are waited for as long as this. */
  until(limit: TimeLimit): RootSession
  /** Rolls back if the body rejects. */
  transaction<R>(options: TransactionOptions, body: (session: TransactionSession) => Promise<R>): Promise<R>
}

/** A transaction, on the `tx` of its body or on that of a nested one. */
export interface TransactionSession extends AnySession {
  readonly inTransaction: true
  /** Tells this transaction from others; the same in all of its savepoints. */
  readonly id: string
  /** Tells this body from those around it and in it: the turns of its calls are kept by it. */
  readonly scope: object
  /** The identity of the transaction to the server, as soon as it is known. */
  noted?(note: { readonly xid: string; readonly server: string }): void
  /** The same: its transaction has a time of its own. */
  until(limit: TimeLimit): TransactionSession
  /** Sends a statement past the turns of the transaction: one that limits what is under way, or ends the connection. */
  rowsAtOnce(statement: SqlStatement): Promise<Row[]>
  /** Runs statements of ours in a savepoint: a failure in it leaves the transaction as it was. */
  contained<R>(body: (session: TransactionSession) => Promise<R>, bound?: Bound): Promise<R>
  /** Runs a body of the user's in a savepoint, as the user's own `tx.$transaction` does. */
  nested<R>(body: (session: TransactionSession) => Promise<R>): Promise<R>
  /**
   * While the work runs, no call of anyone's may leave the transaction. With a bound, other extensions take
   * no longer in any of them.
   */
  keepingCalls<R>(work: () => PromiseLike<R>, bound?: Bound): Promise<R>
}

/** A call on a `tx`: where it is made, and whether it may write, or wait for a lock. */
export interface CallInTransaction {
  readonly id: string
  readonly scope: object
  readonly isWrite: boolean
}

/** The row of a statement that has one in any case. */
export async function rowOf<R extends object = Row>(
  session: Pick<Session, 'rows'>,
  statement: SqlStatement,
): Promise<R> {
  const [row] = await session.rows<R>(statement)
  if (row === undefined) throw new Error('The database has given no row to a statement that always has one.')
  return row
}
