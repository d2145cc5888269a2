import type { Field, Model } from './data-model.js'
import type { Bound, Row, Session, TransactionOptions, TransactionSession } from './session.js'

/** The calls of an ORM, by model, that this package makes itself. */
export type ModelAction = 'findUniqueOrThrow' | 'create' | 'createManyAndReturn' | 'update' | 'delete'

/** The calls that a statement of our own may stand for. */
export type Action =
  | ModelAction
  | 'createMany'
  | 'updateMany'
  | 'updateManyAndReturn'
  | 'findUnique'
  | 'findFirst'
  | 'findFirstOrThrow'
  | 'findMany'

export type ActionArgs = Readonly<Record<string, unknown>>

/**
 * An ORM's default for a field that an insert leaves out: a value, the time, nothing (the database
 * fills it in), or something that only the ORM itself can tell.
 */
export type InsertDefault = { readonly value: unknown } | 'now' | 'nothing' | 'unknown'

/**
 * Where the statements of one call of a model run: on the root client, or inside a transaction. The errors of
 * its SQL are those of a call of the model.
 */
export interface RecordSession extends Pick<Session, 'rows'> {
  readonly inTransaction: boolean
  /** Sends a call through all of the client's extensions. */
  call(action: ModelAction, args: ActionArgs): Promise<Row>
  /**
   * Reads a record from the primary, also where other extensions have replicas.
   * A record that is not there is Prisma's P2025.
   */
  read(args: ActionArgs): Promise<Row>
  /** The error that the call has where its record is not there: it is made without a statement. */
  notFound(action: 'update' | 'findUniqueOrThrow'): unknown
  /** Reads a record of another model, for a key that this one refers to. */
  readOther(model: string, args: ActionArgs): Promise<Row>
  /** The name of another extension that takes part in these calls of the model; `undefined` if none does. */
  foreign(...actions: readonly Action[]): string | undefined
  /** Whether SQL may stand for these calls of the model, since no other extension takes part in them. */
  canBypassPrisma(...actions: readonly ModelAction[]): boolean
  /** Prisma's defaults for the fields of the model that an insert leaves out. */
  insertDefaults(model: Model): ReadonlyMap<Field, InsertDefault>
  /**
   * Asks the other extensions of this package before SQL writes data, which their hooks do not see.
   *
   * @throws InvalidArgumentError that names the field, if one of them refuses it
   */
  checkWrite(operation: 'create' | 'update', data: unknown, path: string): void
  /** In a transaction, runs the body in a savepoint: its failure leaves the transaction as it was. */
  contained<R>(body: (scope: RecordSession) => Promise<R>): Promise<R>
}

/** The root client. Only it can open a transaction. */
export interface RootScope extends RecordSession {
  readonly inTransaction: false
  /** In it other extensions take no longer than the bound in any call. */
  transaction<R>(body: (tx: RecordSession) => Promise<R>, bound: Bound, options: TransactionOptions): Promise<R>
}

/** A transaction of the caller's. Its savepoints are for the turns of src/transactions to open. */
export interface CallersTransaction extends Omit<RecordSession, 'contained'> {
  readonly inTransaction: true
  /** For SQL in its turns: with the hooks of no extension above ours. */
  readonly session: TransactionSession
  /** The same calls, in which other extensions take no longer. `mark` is told by what Prisma marks them. */
  bounded(bound: Bound, mark: (mark: object) => void): CallersTransaction
  /** The same calls under a savepoint, by the session that stands for it. */
  under(savepoint: TransactionSession): RecordSession
}
