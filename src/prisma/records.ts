import { type Field, insertDefaults, type Model } from '../engine/data-model.js'
import { madeOnce } from '../engine/made-once.js'
import {
  Absent,
  type Action,
  type ActionArgs,
  type CallersTransaction,
  type InsertDefault,
  type ModelAction,
  type ModelFacts,
  type RecordSession,
  type RootRecords,
  Taken,
  type TransactionRecords,
  type Turn,
} from '../engine/records.js'
import type { Bound, Row, SqlStatement, TimeLimit, TransactionOptions, TransactionSession } from '../engine/session.js'
import { type FeatureSetup, setupOf } from '../engine/setup.js'
import { ForeignExtensionError } from '../errors/foreign-extension.js'
import { WriteSuppressedError } from '../errors/versioning.js'
import {
  isTransactionClient,
  type ModelContext,
  modelOf,
  type PrismaClientLike,
  recordNotFound,
  transactionClient,
  transactionId,
  transactionOf,
} from './client.js'
import { transactionSession } from './client-session.js'
import { isOwnRecordNotFound, isRecordNotFound, isUniqueViolation } from './errors.js'
import { foreignIn, foreignInRecords, hasForeignHooks } from './foreign.js'
import { bind, relyingOn } from './joined.js'
import { calledBy, checkWrite } from './layers.js'
import { inSavepoint, withOwnErrors } from './own-errors.js'
import { READ, readPrimary } from './primary.js'
import { RawSql } from './raw-sql.js'
import { knownWholeOf, type OwnClients, wholeClientOf } from './whole-client.js'

/** The records of a model that a method of `concurrency()` was called on. */
export type RecordsOf = (model: ModelContext) => RootRecords | CallersTransaction

/** Those of a model of the root client are made once: nothing in them is of one call. */
export function recordsOf(own: OwnClients): RecordsOf {
  const roots = new WeakMap<ModelContext, RootRecords>()
  return (model) =>
    isTransactionClient(model.$parent)
      ? new CallersRecords(model, own)
      : madeOnce(roots, model, () => new Root(model, own))
}

class Facts implements ModelFacts {
  readonly context: ModelContext
  /** The client, with all of its extensions. */
  readonly whole: PrismaClientLike

  constructor(context: ModelContext) {
    this.context = context
    this.whole = wholeClientOf(context)
  }

  get model(): string {
    return this.context.$name
  }

  get features(): readonly FeatureSetup[] {
    return setupOf(this.whole)?.features ?? []
  }

  foreign(...actions: readonly Action[]): string | undefined {
    const extension = foreignIn(this.whole, this.model, actions)
    return extension && calledBy(extension)
  }

  canBypassPrisma(...actions: readonly ModelAction[]): boolean {
    const known = knownWholeOf(this.context)
    return known !== undefined && foreignInRecords(known, this.model, actions) === undefined
  }

  insertDefaults(model: Model): ReadonlyMap<Field, InsertDefault> {
    return insertDefaults(model)
  }

  checkWrite(operation: 'create' | 'update', data: unknown, path: string): void {
    checkWrite(this.whole, this.model, operation, data, path)
  }

  absent(action: 'update' | 'findUniqueOrThrow'): Absent {
    return new Absent(recordNotFound(this.context.$parent, this.model, action), true)
  }
}

/** Its calls go through all of the client's extensions. */
abstract class PrismaRecords extends Facts implements RecordSession {
  abstract readonly inTransaction: boolean
  readonly #sql: RawSql

  /** The sender is the client that sends SQL. */
  constructor(context: ModelContext, sender: PrismaClientLike) {
    super(context)
    this.#sql = new RawSql(sender)
  }

  protected abstract send(action: ModelAction, args: ActionArgs): PromiseLike<unknown>
  /** Reads a record from the primary: of this model, unless the name of another one is given. */
  protected abstract find(args: ActionArgs, other?: string): PromiseLike<unknown>
  /** In a transaction, a model of the client that is in it. */
  protected abstract other(name: string): ModelContext
  protected abstract savepoint<R>(body: (inside: PrismaRecords) => Promise<R>): Promise<R>

  rows<R extends object = Row>(statement: SqlStatement): Promise<R[]> {
    return withOwnErrors(this.#sql.send<R>(statement), this.model)
  }

  read(args: ActionArgs): Promise<Row | Absent> {
    return this.#found(READ, () => this.find(args))
  }

  readOther(model: string, args: ActionArgs): Promise<Row | Absent> {
    return this.#found(READ, () => this.find(args, model), model)
  }

  list(args: ActionArgs): Promise<Row[]> {
    return this.#answer('findMany', () => this.send('findMany', args))
  }

  update(args: ActionArgs): Promise<Row | Absent> {
    return this.#found('update', () => this.send('update', args))
  }

  remove(args: ActionArgs): Promise<Row | Absent> {
    return this.#found('delete', () => this.send('delete', args))
  }

  async create(args: ActionArgs): Promise<Row | Taken> {
    try {
      return await this.savepoint((inside) => inside.#answer('create', () => inside.send('create', args)))
    } catch (error) {
      if (isUniqueViolation(error)) return new Taken(error)
      throw error
    }
  }

  createOther(model: string, args: ActionArgs): Promise<Row> {
    return this.#answer('create', () => this.other(model).create(args), model)
  }

  createNew(rows: readonly Row[], selection: object): Promise<Row[]> {
    const args = { data: rows, skipDuplicates: true, ...selection }
    return this.#answer('createManyAndReturn', () => this.send('createManyAndReturn', args))
  }

  contained<R>(body: (inside: RecordSession) => Promise<R>): Promise<R> {
    return this.savepoint(body)
  }

  async #found(action: ModelAction, send: () => PromiseLike<unknown>, model = this.model): Promise<Row | Absent> {
    try {
      return await this.#answer<Row>(action, send, model)
    } catch (error) {
      if (isRecordNotFound(error)) return new Absent(error, action === READ || isOwnRecordNotFound(error))
      throw error
    }
  }

  /**
   * The answer of a call of Prisma's. Where Prisma has a record, or throws, an extension can answer with
   * nothing: one that catches errors, or forgets to return.
   */
  async #answer<R extends object>(
    action: ModelAction,
    send: () => PromiseLike<unknown>,
    model = this.model,
  ): Promise<R> {
    const answer = await withOwnErrors(send())
    if (typeof answer === 'object' && answer !== null) return answer as R
    const extension = foreignIn(this.whole, model, [action])
    // Prisma itself answers so where a trigger suppresses the insert.
    if (extension === undefined && action === 'create') throw new WriteSuppressedError(model, {})
    throw new ForeignExtensionError('gave no record', { extension: extension?.name, model, operation: action })
  }
}

class Root extends PrismaRecords implements RootRecords {
  readonly inTransaction = false
  readonly #own: OwnClients
  readonly #limit: TimeLimit | undefined

  constructor(context: ModelContext, own: OwnClients, limit?: TimeLimit) {
    super(context, own.below)
    this.#own = own
    this.#limit = limit
  }

  until(limit: TimeLimit): RootRecords {
    return new Root(this.context, this.#own, limit)
  }

  override rows<R extends object = Row>(statement: SqlStatement): Promise<R[]> {
    const send = () => super.rows<R>(statement)
    return this.#limit?.answered(send) ?? send()
  }

  protected send(action: ModelAction, args: ActionArgs): PromiseLike<unknown> {
    return this.#within(() => this.context[action](args))
  }

  protected find(args: ActionArgs, other?: string): PromiseLike<unknown> {
    const model = other === undefined ? this.context : this.other(other)
    return this.#within(() => readPrimary(model, this.#own, args))
  }

  protected other(name: string): ModelContext {
    return modelOf(this.whole, name)
  }

  protected savepoint<R>(body: (inside: PrismaRecords) => Promise<R>): Promise<R> {
    return body(this)
  }

  transaction<R>(body: (tx: RecordSession) => Promise<R>, bound: Bound, options: TransactionOptions): Promise<R> {
    const inside = (tx: PrismaClientLike) =>
      relyingOn(transactionId(tx), () => body(new OwnTransaction(this.context, tx)), bound)
    const open = (run: typeof inside) => this.#own.below.$transaction(run, options)
    return this.#limit?.committed(open, inside) ?? open(inside)
  }

  #within<R>(send: () => PromiseLike<R>): PromiseLike<R> {
    return this.#limit?.answered(send) ?? send()
  }
}

/** A transaction, or a savepoint, of ours. */
class OwnTransaction extends PrismaRecords {
  readonly inTransaction = true
  readonly #tx: PrismaClientLike

  constructor(context: ModelContext, tx: PrismaClientLike) {
    super(context, tx)
    this.#tx = tx
  }

  /**
   * A model of the root client can be asked to join a transaction. One of a transaction always stays on
   * its own client, so a savepoint in there has a model of its own.
   */
  protected send(action: ModelAction, args: ActionArgs): PromiseLike<unknown> {
    if (isTransactionClient(this.context.$parent)) return this.other(this.model)[action](args)
    return this.context[action](args).requestTransaction({ kind: 'itx', id: transactionId(this.#tx) })
  }

  protected find(args: ActionArgs, other?: string): PromiseLike<unknown> {
    return other === undefined ? this.send(READ, args) : this.other(other)[READ](args)
  }

  protected savepoint<R>(body: (inside: PrismaRecords) => Promise<R>): Promise<R> {
    return inSavepoint(this.#tx.$transaction((inside) => body(new OwnTransaction(this.context, inside))))
  }

  protected other(name: string): ModelContext {
    return modelOf(transactionClient(this.whole, this.#tx), name)
  }
}

class CallersRecords extends Facts implements CallersTransaction {
  readonly inTransaction = true
  readonly session: TransactionSession
  readonly #own: OwnClients

  constructor(context: ModelContext, own: OwnClients) {
    super(context)
    this.#own = own
    // Without the hooks of the extensions above ours, so the SQL is the same with any of them. Where there
    // are none, the parent, which is there already.
    const { $parent } = context
    this.session = transactionSession(hasForeignHooks(this.whole) ? transactionClient(own.made, $parent) : $parent)
  }

  inTurn({ bound, onMark, savepoint }: Turn): TransactionRecords {
    const { context } = this
    if (!hasForeignHooks(this.whole)) return new InTurn(context, context.$parent, savepoint)
    // By clients of their own, so that the calls can be told from those that the caller makes meanwhile.
    const mark = { ...transactionOf(context.$parent) }
    bind(mark, bound)
    onMark(mark)
    return new InTurn(context, transactionClient(this.#own.made, context.$parent, mark), savepoint, mark)
  }
}

/** A transaction of the caller's, in the turn of a call of ours. */
class InTurn extends PrismaRecords implements TransactionRecords {
  readonly inTransaction = true
  readonly #savepoint: Turn['savepoint']
  readonly #mark: object | undefined

  constructor(context: ModelContext, sender: PrismaClientLike, savepoint: Turn['savepoint'], mark?: object) {
    super(context, sender)
    this.#savepoint = savepoint
    this.#mark = mark
  }

  protected send(action: ModelAction, args: ActionArgs): PromiseLike<unknown> {
    const model = this.#mark === undefined ? this.context : this.other(this.model)
    return model[action](args)
  }

  protected find(args: ActionArgs, other?: string): PromiseLike<unknown> {
    return other === undefined ? this.send(READ, args) : this.other(other)[READ](args)
  }

  protected savepoint<R>(body: (inside: PrismaRecords) => Promise<R>): Promise<R> {
    return this.#savepoint(({ client }) => body(new OwnTransaction(this.context, client as PrismaClientLike)))
  }

  protected other(name: string): ModelContext {
    return modelOf(transactionClient(this.whole, this.context.$parent, this.#mark), name)
  }
}
