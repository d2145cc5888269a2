import type { ActionArgs, CallersTransaction, ModelAction, RecordSession, RootScope } from '../engine/records.js'
import type { Row } from '../engine/session.js'
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
import { foreignIn, foreignInRecords, hasForeignHooks } from './foreign.js'
import { insertDefaults } from './insert-defaults.js'
import { bind, relyingOn } from './joined.js'
import { calledBy, checkWrite } from './layers.js'
import { withModelErrors } from './model-error.js'
import { READ, readPrimary } from './primary.js'
import { sendRawSql } from './raw-sql.js'
import { knownWholeOf, type OwnClients, wholeClientOf } from './whole-client.js'

/** The scope that a model method was called in. */
export function scopeOf(context: ModelContext, own: OwnClients): RootScope | CallersTransaction {
  const parent = context.$parent
  return isTransactionClient(parent) ? callersTransaction(context, parent, own) : rootScope(context, own)
}

function statementsOf({ $name }: ModelContext, client: PrismaClientLike): Pick<RecordSession, 'rows'> {
  return { rows: (statement) => withModelErrors(sendRawSql(client, statement), $name) }
}

type OfExtensions = 'foreign' | 'canBypassPrisma' | 'insertDefaults' | 'notFound' | 'checkWrite'

/** The extensions of the model's client. */
function extensionsOf(context: ModelContext): Pick<RecordSession, OfExtensions> {
  const whole = wholeClientOf(context)
  return {
    foreign(...actions) {
      const extension = foreignIn(whole, context.$name, actions)
      return extension && calledBy(extension)
    },
    canBypassPrisma(...actions) {
      const known = knownWholeOf(context)
      return known !== undefined && foreignInRecords(known, context.$name, actions) === undefined
    },
    insertDefaults,
    notFound: (action) => recordNotFound(context.$parent, context.$name, action),
    checkWrite: (...write) => checkWrite(whole, context.$name, ...write),
  }
}

/**
 * The answer of a call of Prisma's. Where Prisma has a record, or throws, an extension can answer with
 * nothing: one that catches errors, or forgets to return.
 */
async function recordOf(model: ModelContext, action: ModelAction, send: () => PromiseLike<unknown>): Promise<Row> {
  const answer = await send()
  if (typeof answer === 'object' && answer !== null) return answer as Row
  const extension = foreignIn(wholeClientOf(model), model.$name, [action])
  // Prisma itself answers so where a trigger suppresses the insert.
  if (extension === undefined && action === 'create') throw new WriteSuppressedError(model.$name, {})
  throw new ForeignExtensionError('gave no record', {
    extension: extension?.name,
    model: model.$name,
    operation: action,
  })
}

function found(model: ModelContext, args: ActionArgs): Promise<Row> {
  return recordOf(model, READ, () => model[READ](args))
}

function callersTransaction(context: ModelContext, parent: PrismaClientLike, own: OwnClients): CallersTransaction {
  const whole = wholeClientOf(context)
  // Without the hooks of the extensions above ours, so the SQL is the same with any of them. Where there
  // are none, the parent, which is there already.
  const sender = (mark?: object) =>
    mark === undefined && !hasForeignHooks(whole) ? parent : transactionClient(own.made, parent, mark)
  const model = (name: string, mark?: object) => modelOf(transactionClient(whole, parent, mark), name)
  const client = sender()
  const transaction: CallersTransaction = {
    inTransaction: true,
    session: transactionSession(client),
    // By clients of their own, so that the calls can be told from those that the caller makes meanwhile.
    bounded(bound, onMark) {
      if (!hasForeignHooks(whole)) return transaction
      const mark = { ...transactionOf(parent) }
      bind(mark, bound)
      onMark(mark)
      return { ...transaction, ...callsOf(model(context.$name, mark), sender(mark)) }
    },
    under: (savepoint) => ownTransaction(context, savepoint.client as PrismaClientLike),
    readOther: (name, args) => found(model(name), args),
    ...callsOf(context, client),
    ...extensionsOf(context),
  }
  return transaction
}

/** Calls of a model, and SQL. */
function callsOf(model: ModelContext, client: PrismaClientLike) {
  return {
    call: (action, args) => recordOf(model, action, () => model[action](args)),
    read: (args) => found(model, args),
    ...statementsOf(model, client),
  } satisfies Partial<RecordSession>
}

function rootScope(context: ModelContext, own: OwnClients): RootScope {
  const { below } = own
  const root: RootScope = {
    inTransaction: false,
    call: (action, args) => recordOf(context, action, () => context[action](args)),
    read: (args) => recordOf(context, READ, () => readPrimary(context, own, args)),
    readOther(name, args) {
      const model = modelOf(wholeClientOf(context), name)
      return recordOf(model, READ, () => readPrimary(model, own, args))
    },
    ...statementsOf(context, below),
    ...extensionsOf(context),
    contained: (body) => body(root),
    transaction: (body, bound, options) =>
      below.$transaction((tx) => relyingOn(transactionId(tx), () => body(ownTransaction(context, tx)), bound), options),
  }
  return root
}

/** A transaction, or a savepoint, of ours. Its calls go through all of the client's extensions, too. */
function ownTransaction(context: ModelContext, tx: PrismaClientLike): RecordSession {
  const call = callIn(context, tx)
  return {
    inTransaction: true,
    call,
    read: (args) => call('findUniqueOrThrow', args),
    readOther: (name, args) => found(modelIn(context, tx, name), args),
    ...statementsOf(context, tx),
    ...extensionsOf(context),
    contained: (body) => tx.$transaction((inner) => body(ownTransaction(context, inner))),
  }
}

/** A model in a transaction, by the client with all of its extensions. */
function modelIn(context: ModelContext, tx: PrismaClientLike, name: string): ModelContext {
  return modelOf(transactionClient(wholeClientOf(context), tx), name)
}

/**
 * A model of the root client can be asked to join a transaction. One of a transaction always stays on
 * its own client, so a savepoint in there has a model of its own.
 */
function callIn(context: ModelContext, tx: PrismaClientLike): RecordSession['call'] {
  if (isTransactionClient(context.$parent)) {
    const model = modelIn(context, tx, context.$name)
    return (action, args) => recordOf(model, action, () => model[action](args))
  }
  const transaction = { kind: 'itx', id: transactionId(tx) } as const
  return (action, args) => recordOf(context, action, () => context[action](args).requestTransaction(transaction))
}
