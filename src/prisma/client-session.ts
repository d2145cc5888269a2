import type {
  Bound,
  RootSession,
  Row,
  Session,
  SqlStatement,
  TransactionOptions,
  TransactionSession,
} from '../engine/session.js'
import { ForeignExtensionError } from '../errors/foreign-extension.js'
import {
  isTransactionClient,
  openSavepoint,
  type PrismaClientLike,
  sendIn,
  transactionId,
  transactionOf,
} from './client.js'
import { foreignTransactions } from './foreign.js'
import { bind, relyingOn } from './joined.js'
import { coreOf } from './layers.js'
import { withModelErrors } from './model-error.js'
import { passing } from './passing.js'

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

function send<R>(
  { client, model }: { readonly client: PrismaClientLike; readonly model: string | undefined },
  { text, values }: SqlStatement,
): Promise<R[]> {
  const rows = client.$queryRawUnsafe<R[]>(text, ...values)
  return model === undefined ? rows : withModelErrors(rows, model)
}

class PrismaRoot implements RootSession {
  readonly inTransaction = false

  constructor(
    readonly client: PrismaClientLike,
    readonly model: string | undefined,
  ) {}

  rows<R extends object = Row>(statement: SqlStatement): Promise<R[]> {
    return send<R>(this, statement)
  }

  transaction<R>(options: TransactionOptions, body: (session: TransactionSession) => Promise<R>): Promise<R> {
    return this.client.$transaction((tx) => body(new PrismaTransaction(tx, this.model)), options)
  }
}

class PrismaTransaction implements TransactionSession {
  readonly inTransaction = true
  #scope: object | undefined

  constructor(
    readonly client: PrismaClientLike,
    readonly model: string | undefined,
  ) {}

  get id(): string {
    return transactionId(this.client)
  }

  get scope(): object {
    this.#scope ??= transactionOf(this.client)
    return this.#scope
  }

  rows<R extends object = Row>(statement: SqlStatement): Promise<R[]> {
    return send<R>(this, statement)
  }

  /** On the client that has our hook of batches, should other calls of the transaction come in the same tick. */
  rowsAtOnce(statement: SqlStatement): Promise<Row[]> {
    return sendIn(coreOf(this.client) ?? this.client, this.id, statement)
  }

  contained<R>(body: (session: TransactionSession) => Promise<R>, bound?: Bound): Promise<R> {
    return openSavepoint(this.client, (inner) => {
      const session = new PrismaTransaction(inner, this.model)
      if (bound) bind(session.scope, bound)
      return body(session)
    })
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
    return this.client.$transaction(inside, passing())
  }

  keepingCalls<R>(work: () => PromiseLike<R>, bound?: Bound): Promise<R> {
    return relyingOn(this.id, work, bound)
  }
}
