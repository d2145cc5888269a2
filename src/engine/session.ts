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

/** Where statements run: on the root client, each by itself, or in a transaction. */
export interface Session {
  readonly inTransaction: boolean
  /** What tells this transaction from others; the same in all of its savepoints. `undefined` outside of one. */
  readonly id: string | undefined
  /** What a body of the user's is given: the client, or the `tx`, with all that it has been extended by. */
  readonly client: object
  /**
   * Sends one statement, past the hooks of other extensions.
   *
   * @throws what the engine throws: `sqlState` and its neighbours read it
   */
  rows(statement: SqlStatement): Promise<Row[]>
  /** In a transaction, runs the body in a savepoint: what fails in it leaves the transaction as it was. */
  contained<R>(body: (session: Session) => Promise<R>): Promise<R>
}

/** The root session. Only it can open a transaction. */
export interface RootSession extends Session {
  readonly inTransaction: false
  /** Rolls back if the body rejects. */
  transaction<R>(options: TransactionOptions, body: (session: Session) => Promise<R>): Promise<R>
}
