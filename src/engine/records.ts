import type { Field, Model } from './data-model.js'
import type { Bound, Row, Session, TimeLimit, TransactionOptions, TransactionSession } from './session.js'
import type { FeatureSetup } from './setup.js'

/*
 * The seam between versioned writes and inserts and an ORM. Its errors for a record that is not there, and for a
 * unique key that is taken, are answers here: they are kept for the caller, and thrown by the feature.
 */

/** The calls of an ORM, by model, that this package makes itself. */
export type ModelAction = 'findUniqueOrThrow' | 'findMany' | 'create' | 'createManyAndReturn' | 'update' | 'delete'

/** The calls that a statement of our own may stand for. */
export type Action =
  | ModelAction
  | 'createMany'
  | 'updateMany'
  | 'updateManyAndReturn'
  | 'findUnique'
  | 'findFirst'
  | 'findFirstOrThrow'

export type ActionArgs = Readonly<Record<string, unknown>>

/**
 * An ORM's default for a field that an insert leaves out: a value, the time, nothing (the database
 * fills it in), or something that only the ORM itself can tell.
 */
export type InsertDefault = { readonly value: unknown } | 'now' | 'nothing' | 'unknown'

/** The answer of a call whose record is not there, or not as the call wants it. */
export class Absent {
  constructor(
    /** The ORM's own error, for the caller. */
    readonly error: unknown,
    /** Whether it is the record of the call itself, and not one that a nested write needs. */
    readonly isOwn: boolean,
  ) {}
}

/** The answer of a call that was to insert a record, and a unique key of it is taken. */
export class Taken {
  constructor(
    /** The ORM's own error, for the caller. */
    readonly error: unknown,
  ) {}
}

/** The record of an answer. Throws the error for the caller if it is not there. */
export function recordIn(answer: Row | Absent): Row {
  if (answer instanceof Absent) throw answer.error
  return answer
}

/** The facts about a model on a client that are known before any call of it is sent. */
export interface ModelFacts {
  readonly model: string
  /** The features with tables on the client. */
  readonly features: readonly FeatureSetup[]
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
  /** The answer that the call has where its record is not there: it is made without a statement. */
  absent(action: 'update' | 'findUniqueOrThrow'): Absent
}

/**
 * The records of a model, on the root client or in a transaction: calls that go through all of the client's
 * extensions, and SQL, whose errors are those of a call of the model.
 */
export interface RecordSession extends ModelFacts, Pick<Session, 'rows'> {
  readonly inTransaction: boolean
  /** The record, from the primary, also where other extensions have replicas. */
  read(args: ActionArgs): Promise<Row | Absent>
  /** The records, in a transaction. */
  list(args: ActionArgs): Promise<Row[]>
  /** A record of another model, for a key that this one refers to. */
  readOther(model: string, args: ActionArgs): Promise<Row | Absent>
  /** The record as it is now written, if it was there as `where` wants it. */
  update(args: ActionArgs): Promise<Row | Absent>
  /** The record as it was deleted, if it was there as `where` wants it. */
  remove(args: ActionArgs): Promise<Row | Absent>
  /** The record as it was inserted, unless a unique key of it is taken. In a savepoint, where it is in a transaction. */
  create(args: ActionArgs): Promise<Row | Taken>
  /**
   * The records whose unique keys were not taken: INSERT … ON CONFLICT DO NOTHING RETURNING. It waits for a
   * duplicate in flight, and raises no error.
   */
  createNew(rows: readonly Row[], selection: object): Promise<Row[]>
  /** In a transaction, inserts a record of another model. */
  createOther(model: string, args: ActionArgs): Promise<Row>
  /** In a transaction, runs the body in a savepoint: its failure leaves the transaction as it was. */
  contained<R>(body: (inside: RecordSession) => Promise<R>): Promise<R>
}

/** The records on the root client. Only it can open a transaction. */
export interface RootRecords extends RecordSession {
  readonly inTransaction: false
  /** The same, whose statements are waited for as long as this. */
  until(limit: TimeLimit): RootRecords
  /** In it other extensions take no longer than the bound in any call. */
  transaction<R>(body: (tx: RecordSession) => Promise<R>, bound: Bound, options: TransactionOptions): Promise<R>
}

export interface TransactionRecords extends RecordSession {
  readonly inTransaction: true
}

/** A transaction of the caller's. Its records are there in the turn of one of our calls: see src/transactions. */
export interface CallersTransaction extends ModelFacts {
  readonly inTransaction: true
  /** For SQL in its turns: with the hooks of no extension above ours. */
  readonly session: TransactionSession
  inTurn(turn: Turn): TransactionRecords
}

/** The turn of a call of ours on a transaction of the caller's. */
export interface Turn {
  /** Other extensions take no longer in any call of the turn. */
  readonly bound: Bound
  /** Is told by what the calls of the turn can be told from those that the caller makes meanwhile. */
  onMark(mark: object): void
  savepoint<R>(body: (inside: TransactionSession) => Promise<R>): Promise<R>
}
