import { madeOnce } from '../engine/made-once.js'
import type { ActionArgs, ModelAction } from '../engine/records.js'
import type { TransactionOptions } from '../engine/session.js'
import type { Node } from './layers.js'
import type { RawSqlParts } from './raw-sql.js'

const UNKNOWN_PRISMA = 'prisma-extension-concurrency does not know this version of Prisma'
/** By what the `tx` of a transaction knows it. */
export const SCOPE = Symbol.for('prisma.client.transaction.scope_context')

/**
 * The parts of a Prisma client that this package uses. Members that begin with an underscore,
 * and the symbol below, are private to Prisma: read on 7.10, and used in this folder only.
 */
export interface PrismaClientLike {
  readonly _runtimeDataModel: {
    readonly models: Readonly<
      Record<
        string,
        {
          readonly dbName: string | null
          readonly schema: string | null
          readonly fields: readonly {
            readonly name: string
            readonly kind: string
            readonly type: string
            readonly dbName?: string | null
            readonly relationName?: string | null
          }[]
        }
      >
    >
  }
  readonly _engineConfig: {
    readonly inlineSchema: string
    readonly adapter?: {
      readonly adapterName?: string
      readonly options?: { readonly schema?: string; readonly statementNameGenerator?: unknown }
      /** Of `@prisma/adapter-pg`: the options of its pool. */
      readonly config?: { readonly max?: number }
    }
  }
  /** The fields that the client has to `omit`, by the model's name on the client, such as `product`. */
  readonly _globalOmit?: Readonly<Record<string, Readonly<Record<string, boolean>> | undefined>>
  /** The client that is not extended. */
  readonly _originalClient: RawSqlParts & {
    $extends(this: PrismaClientLike, extension: object): PrismaClientLike
    $transaction<R>(this: PrismaClientLike, body: (tx: PrismaClientLike) => Promise<R>): Promise<R>
  }
  /** The topmost of the extensions that the client is made of. */
  readonly _extensions?: { readonly head?: Node }
  /** Makes of what the engine says the error that a call throws. */
  readonly _requestHandler?: {
    handleRequestError(params: {
      readonly error: { readonly code: string; readonly message: string; readonly meta: object }
      readonly clientMethod: string
      readonly modelName: string
    }): never
  }
  readonly _createPrismaPromise?: (callback: (mark: object | undefined) => Promise<void>) => PromiseLike<void>
  _createItxClient(mark: object, scopeId: string, scopeState: object): PrismaClientLike
  readonly [SCOPE]?: { readonly txId?: unknown; readonly scopeId: string; readonly scopeState: object }
  readonly $parent?: PrismaClientLike
  readonly $connect?: () => Promise<void>
  /** From `@prisma/extension-read-replicas`: the client whose reads go to the primary. */
  readonly $primary?: () => PrismaClientLike
  $queryRawUnsafe<R = unknown>(sql: string, ...values: unknown[]): Promise<R>
  $transaction<R>(body: (tx: PrismaClientLike) => Promise<R>, options?: TransactionOptions): Promise<R>
  $transaction(calls: readonly PromiseLike<unknown>[]): Promise<unknown[]>
  /** A function is called with the client, and returns what it has made of it. */
  $extends(this: unknown, extension: object | ((client: unknown) => unknown)): PrismaClientLike
}

/** A promise of Prisma's: not yet sent, and willing to join a transaction. */
export interface PrismaCall<R = unknown> extends PromiseLike<R> {
  requestTransaction(transaction: { readonly kind: 'itx'; readonly id: string }): PromiseLike<R>
}

/** `this` in a model method, such as `db.product`. */
export type ModelContext = Readonly<Record<ModelAction, (args: ActionArgs) => PrismaCall>> & {
  readonly $name: string
  readonly $parent: PrismaClientLike
}

/** Whether the client is the `tx` of an interactive transaction: such a client cannot connect. */
export function isTransactionClient(client: PrismaClientLike): boolean {
  return typeof client.$connect !== 'function'
}

/**
 * The object with which Prisma marks every call of one client of a transaction: the client of a nested
 * body has another one, though it is the same transaction.
 */
export function transactionOf(tx: PrismaClientLike): object {
  let found: object | undefined
  // Prisma hands the object to whoever makes a promise by this method, as it does itself for each call.
  const call = tx._createPrismaPromise?.((mark) => {
    found = mark
    return Promise.resolve()
  })
  void call?.then(() => {})
  if (found !== undefined) return found
  throw new Error(`${UNKNOWN_PRISMA}: its transactions have no mark.`)
}

/**
 * The clients that were made for a transaction, by its mark: to make one costs Prisma a list of all
 * models, and several calls in a transaction need the same.
 */
const transactionClients = new WeakMap<object, WeakMap<PrismaClientLike, PrismaClientLike>>()

/**
 * The client, with all of its extensions, for the same transaction, or savepoint, as `tx`. Its calls
 * are marked as those of `tx` are, unless another mark is `given`.
 */
export function transactionClient(client: PrismaClientLike, tx: PrismaClientLike, given?: object): PrismaClientLike {
  // No client that would have more extensions is known.
  if (given === undefined && isTransactionClient(client)) return tx
  const mark = given ?? transactionOf(tx)
  const scope = tx[SCOPE]
  if (scope === undefined) throw new Error(`${UNKNOWN_PRISMA}: its transactions have no scope.`)
  const clients = madeOnce(transactionClients, mark, () => new WeakMap())
  return madeOnce(clients, client, () => client._createItxClient(mark, scope.scopeId, scope.scopeState))
}

/** Prisma's own id of the interactive transaction that `tx` stands for. */
export function transactionId(tx: PrismaClientLike): string {
  const scope = tx[SCOPE]
  if (typeof scope?.txId !== 'string') {
    throw new Error(`${UNKNOWN_PRISMA}: its transactions have no id.`)
  }
  return scope.txId
}

/** Prisma's own error of a call whose record is not there, as Prisma makes it of what its engine says. */
export function recordNotFound(
  client: PrismaClientLike,
  model: string,
  action: 'update' | 'findUniqueOrThrow',
): unknown {
  const clientMethod = `${propertyOf(model)}.${action}`
  const operation = action === 'update' ? 'an update' : 'a query'
  const message =
    `\nInvalid \`prisma.${clientMethod}()\` invocation:\n\n\nAn operation failed because it depends on ` +
    `one or more records that were required but not found. No record was found for ${operation}.`
  const error = { code: 'P2025', message, meta: { operation } }
  try {
    client._requestHandler?.handleRequestError({ error, clientMethod, modelName: model })
  } catch (made) {
    return made
  }
  throw new Error(`${UNKNOWN_PRISMA}: its errors cannot be made.`)
}

/** A savepoint for statements of our own, by Prisma's `$transaction`, past those of other extensions. */
export function openSavepoint<R>(tx: PrismaClientLike, body: (inner: PrismaClientLike) => Promise<R>): Promise<R> {
  return tx._originalClient.$transaction.call<typeof tx, [typeof body], Promise<R>>(tx, body)
}

/** A model of a client, by the model's name: `Product` is `client.product`. */
export function modelOf(client: PrismaClientLike, name: string): ModelContext {
  return (client as unknown as Record<string, ModelContext>)[propertyOf(name)] as ModelContext
}

/** The fields of a model that the client leaves out unless they are asked for. */
export function omittedFields(client: PrismaClientLike, name: string): ReadonlySet<string> {
  const omit = Object.entries(client._globalOmit?.[propertyOf(name)] ?? {})
  return new Set(omit.filter(([, isOmitted]) => isOmitted).map(([field]) => field))
}

/** The name of a model's property on the client. */
export function propertyOf(model: string): string {
  return model.charAt(0).toLowerCase() + model.slice(1)
}
