import {
  type ActionArgs,
  isTransactionClient,
  type ModelAction,
  type ModelContext,
  modelOf,
  type PrismaClientLike,
  type Row,
  type TransactionOptions,
  transactionClient,
  transactionId,
  transactionOf,
} from './client.js'
import type { Field, Model } from './data-model.js'
import { type Action, calledBy, foreignIn, hasForeignHooks } from './foreign.js'
import { type InsertDefault, insertDefaults } from './insert-defaults.js'
import { type Bound, bind, relyingOn } from './joined.js'
import { withModelErrors } from './model-error.js'
import { isUnobserved } from './unobserved.js'
import { wholeClientOf } from './whole-client.js'

/** Where the statements of one call run: on the root client, or inside a transaction. */
export interface Scope {
  readonly inTransaction: boolean
  /** Sends a call through all of the client's extensions. */
  call(action: ModelAction, args: ActionArgs): Promise<Row>
  /**
   * Reads a record from the primary, whatever replicas other extensions have in store.
   * A record that is not there is Prisma's P2025.
   */
  read(args: ActionArgs): Promise<Row>
  /** Reads a record of another model, for a key that this one refers to. */
  readOther(model: string, args: ActionArgs): Promise<Row>
  /** Sends SQL, with its values as parameters. What fails has the error that a call of the model would have. */
  query(sql: string, ...values: unknown[]): Promise<Row[]>
  /** What another extension that takes part in these calls of the model is called; `undefined` if none does. */
  foreign(...actions: readonly Action[]): string | undefined
  /** In a transaction, runs the body in a savepoint: what fails in it leaves the transaction as it was. */
  contained<R>(body: (scope: Scope) => Promise<R>): Promise<R>
}

/** The root client. Only it can open a transaction. */
export interface RootScope extends Scope {
  readonly inTransaction: false
  /** Whether no other extension takes part in these calls of the model, so that SQL may stand for them. */
  isUnobserved(...actions: readonly ModelAction[]): boolean
  /** What Prisma puts into the fields of the model that an insert leaves out. */
  insertDefaults(model: Model): ReadonlyMap<Field, InsertDefault>
  /** In it other extensions take no longer than the bound in any call. */
  transaction<R>(body: (tx: Scope) => Promise<R>, bound: Bound, options: TransactionOptions): Promise<R>
}

/** A transaction of the caller's. Its savepoints are for the turns of `transaction/turns.ts` to open. */
export interface CallersTransaction extends Omit<Scope, 'contained'> {
  readonly inTransaction: true
  readonly client: PrismaClientLike
  /** The same calls, in which other extensions take no longer. `mark` is told by what Prisma marks them. */
  bounded(bound: Bound, mark: (mark: object) => void): CallersTransaction
  /** The same calls under a savepoint, by the client that stands for it. */
  under(savepoint: PrismaClientLike): Scope
}

/**
 * The scope that a model method was called in. `own` is the client that this extension was
 * applied to: as long as it is the model's parent, no other extension lies on top of ours.
 */
export function scopeOf(context: ModelContext, own: PrismaClientLike): RootScope | CallersTransaction {
  const parent = context.$parent
  return isTransactionClient(parent) ? callersTransaction(context, parent) : rootScope(context, parent, own)
}

function queryOf(context: ModelContext, client: PrismaClientLike): Scope['query'] {
  return (sql, ...values) => withModelErrors(client.$queryRawUnsafe(sql, ...values), context.$name) as Promise<Row[]>
}

function foreignOf(context: ModelContext): Scope['foreign'] {
  return (...actions) => {
    const extension = foreignIn(wholeClientOf(context), context.$name, actions)
    return extension && calledBy(extension)
  }
}

function callersTransaction(context: ModelContext, parent: PrismaClientLike): CallersTransaction {
  const transaction: CallersTransaction = {
    inTransaction: true,
    client: parent,
    bounded: (bound, mark) =>
      hasForeignHooks(wholeClientOf(context)) ? { ...transaction, ...boundedCalls(context, bound, mark) } : transaction,
    under: (savepoint) => ownTransaction(context, savepoint),
    ...callsOf(context, context, parent),
  }
  return transaction
}

function callsOf(context: ModelContext, model: ModelContext, client: PrismaClientLike) {
  return {
    call: async (action, args) => (await model[action](args)) as Row,
    read: async (args) => (await model.findUniqueOrThrow(args)) as Row,
    readOther: async (name, args) => (await modelOf(client, name).findUniqueOrThrow(args)) as Row,
    query: queryOf(context, client),
    foreign: foreignOf(context),
  } satisfies Partial<Scope>
}

/** The calls by clients of their own, so that they can be told from those that the caller makes meanwhile. */
function boundedCalls(context: ModelContext, bound: Bound, onMark: (mark: object) => void) {
  const parent = context.$parent
  const mark = { ...transactionOf(parent) }
  bind(mark, bound)
  onMark(mark)
  const whole = transactionClient(wholeClientOf(context), parent, mark)
  return callsOf(context, modelOf(whole, context.$name), transactionClient(parent, parent, mark))
}

function rootScope(context: ModelContext, parent: PrismaClientLike, own: PrismaClientLike): RootScope {
  const root: RootScope = {
    inTransaction: false,
    call: async (action, args) => (await context[action](args)) as Row,
    read: async (args) => (await readPrimary(context, parent, own, args)) as Row,
    readOther: async (model, args) =>
      (await modelOf(parent.$primary?.() ?? parent, model).findUniqueOrThrow(args)) as Row,
    query: queryOf(context, parent),
    foreign: foreignOf(context),
    isUnobserved: (...actions) => isUnobserved(parent, own, context.$name, actions),
    insertDefaults,
    contained: (body) => body(root),
    transaction: (body, bound, options) =>
      parent.$transaction(
        (tx) => relyingOn(transactionId(tx), () => body(ownTransaction(context, tx)), bound),
        options,
      ),
  }
  return root
}

/**
 * An extension may answer reads from a replica, unless they are in a transaction. Where it lies
 * right below ours, `$primary()` leads past it and past nothing else. What lies on top of ours
 * cannot be seen from here, and must not be left out either (it may filter by tenant), so there
 * the read goes through all of it, in a transaction of its own.
 */
async function readPrimary(context: ModelContext, parent: PrismaClientLike, own: PrismaClientLike, args: ActionArgs) {
  const primary = parent.$primary?.() ?? parent
  if (parent === own && (primary === parent || primary === parent.$parent)) {
    return modelOf(primary, context.$name).findUniqueOrThrow(args)
  }
  const [record] = await parent.$transaction([context.findUniqueOrThrow(args)])
  return record
}

/** A transaction, or a savepoint, of ours. Its calls go through all of the client's extensions, too. */
function ownTransaction(context: ModelContext, tx: PrismaClientLike): Scope {
  const call = callIn(context, tx)
  return {
    inTransaction: true,
    call,
    read: (args) => call('findUniqueOrThrow', args),
    readOther: async (name, args) => (await modelOf(tx, name).findUniqueOrThrow(args)) as Row,
    query: queryOf(context, tx),
    foreign: foreignOf(context),
    contained: (body) => tx.$transaction((inner) => body(ownTransaction(context, inner))),
  }
}

/**
 * A model of the root client can be asked to join a transaction. One of a transaction always stays on
 * its own client, so a savepoint in there has a model of its own.
 */
function callIn(context: ModelContext, tx: PrismaClientLike): Scope['call'] {
  if (isTransactionClient(context.$parent)) {
    const model = modelOf(transactionClient(wholeClientOf(context), tx), context.$name)
    return async (action, args) => (await model[action](args)) as Row
  }
  const transaction = { kind: 'itx', id: transactionId(tx) } as const
  return async (action, args) => (await context[action](args).requestTransaction(transaction)) as Row
}
