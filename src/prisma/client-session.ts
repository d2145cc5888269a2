import type {
  Bound,
  RootSession,
  Row,
  Session,
  SqlStatement,
  TimeLimit,
  TransactionOptions,
  TransactionSession,
} from '../engine/session.js'
import { ForeignExtensionError } from '../errors/foreign-extension.js'
import { isTransactionClient, openSavepoint, type PrismaClientLike } from './client.js'
import { foreignTransactions } from './foreign.js'
import { withoutHook } from './hooked.js'
import { bind, relyingOn } from './joined.js'
import { inSavepoint, withOwnErrors } from './own-errors.js'
import { passing } from './passing.js'
import { RawSql } from './raw-sql.js'

/**
 * The session of a client, or of the `tx` of a transaction. With a model, what fails has the error that a call of
 * the model would have.
 */
export function sessionOf(client: PrismaClientLike, model?: string): Session {
  return isTransactionClient(client) ? new PrismaTransaction(client, model) : new PrismaRoot(client, model)
}

/** The same of a client that is not that of a transaction. */
export function rootSession(client: PrismaClientLike, model?: string): RootSession {
  return new PrismaRoot(client, model)
}

/** The same of a `tx`. */
export function transactionSession(tx: PrismaClientLike, model?: string): TransactionSession {
  return new PrismaTransaction(tx, model)
}

/**
 * The same for a feature, whose calls on a `tx` take turns of their own: nothing runs around its statements. For its
 * calls of Prisma, which are rare, there is a client without the hook of the `tx`: to make one takes 20 µs.
 */
export function featureSession(client: PrismaClientLike, model: string): Session {
  return isTransactionClient(client) ? new PrismaTransaction(client, model, false) : new PrismaRoot(client, model)
}

/** Of node-postgres. */
const DEFAULT_POOL_SIZE = 10

class PrismaRoot implements RootSession {
  readonly inTransaction = false
  readonly #sql: RawSql

  constructor(
    readonly client: PrismaClientLike,
    readonly model: string | undefined,
    readonly limit?: TimeLimit,
    sql = new RawSql(client),
  ) {
    this.#sql = sql
  }

  until(limit: TimeLimit): RootSession {
    return new PrismaRoot(this.client, this.model, limit, this.#sql)
  }

  get connections(): number | undefined {
    const { adapter } = this.client._engineConfig
    return adapter?.adapterName === '@prisma/adapter-pg' ? (adapter.config?.max ?? DEFAULT_POOL_SIZE) : undefined
  }

  rows<R extends object = Row>(statement: SqlStatement): Promise<R[]> {
    const send = () => withOwnErrors(this.#sql.send<R>(statement), this.model)
    return this.limit?.answered(send) ?? send()
  }

  transaction<R>(options: TransactionOptions, body: (session: TransactionSession) => Promise<R>): Promise<R> {
    return this.client.$transaction((tx) => body(new PrismaTransaction(tx, this.model)), options)
  }
}

class PrismaTransaction implements TransactionSession {
  readonly inTransaction = true
  readonly #tx: PrismaClientLike
  readonly #isAround: boolean
  readonly #sql: RawSql

  constructor(
    tx: PrismaClientLike,
    readonly model: string | undefined,
    isAround = true,
  ) {
    this.#tx = tx
    this.#isAround = isAround
    this.#sql = new RawSql(tx, isAround)
  }

  get client(): PrismaClientLike {
    return this.#isAround ? this.#tx : withoutHook(this.#tx)
  }

  until(): TransactionSession {
    return this
  }

  get id(): string {
    return this.#sql.call.id
  }

  get scope(): object {
    return this.#sql.call.scope
  }

  rows<R extends object = Row>(statement: SqlStatement): Promise<R[]> {
    return withOwnErrors(this.#sql.send<R>(statement), this.model)
  }

  rowsAtOnce(statement: SqlStatement): Promise<Row[]> {
    return this.#sql.sendAtOnce(statement)
  }

  contained<R>(body: (session: TransactionSession) => Promise<R>, bound?: Bound): Promise<R> {
    const inside = (inner: PrismaClientLike) => {
      const session = new PrismaTransaction(inner, this.model, this.#isAround)
      if (bound) bind(session.scope, bound)
      return body(session)
    }
    return inSavepoint(openSavepoint(this.#tx, inside))
  }

  nested<R>(body: (session: TransactionSession) => Promise<R>): Promise<R> {
    const inside = (tx: PrismaClientLike) => {
      const session = new PrismaTransaction(tx, this.model)
      if (session.id === this.id) return body(session)
      throw new ForeignExtensionError('left the transaction', {
        extension: foreignTransactions(this.client)?.name,
        model: undefined,
        operation: '$transaction',
      })
    }
    return inSavepoint(this.client.$transaction(inside, passing()))
  }

  /** Always watched: the client of a session may lack the extensions above ours, whose hooks its calls pass. */
  keepingCalls<R>(work: () => PromiseLike<R>, bound?: Bound): Promise<R> {
    return relyingOn(this.id, work, bound)
  }
}
