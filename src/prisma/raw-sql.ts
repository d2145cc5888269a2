import { madeOnce } from '../engine/made-once.js'
import type { CallInTransaction, Row, SqlStatement } from '../engine/session.js'
import { type PrismaCall, type PrismaClientLike, SCOPE, transactionId, transactionOf } from './client.js'
import { hookedRawSql, RAW } from './foreign.js'
import { type AroundCall, headOf, layerOf } from './layers.js'

/** How Prisma writes the parameters of raw SQL for its engine. */
type ArgumentsMapper = (args: readonly unknown[]) => { readonly query: string; readonly parameters: { values: string } }

/** The parts of a client that raw SQL passes on its way to the engine (read on 7.10). */
export interface RawSqlParts {
  readonly _engine: { request(query: object, options: object): Promise<object> }
  readonly _requestHandler: {
    mapQueryEngineResult<R>(request: object, response: object): R[]
    /** Makes the error that the caller is given. */
    handleAndLogRequestError(failure: object): never
  }
  readonly _tracingHelper: { isEnabled(): boolean }
  $queryRawInternal(transaction: undefined, method: string, args: readonly unknown[]): unknown
  $queryRawUnsafe(text: string, ...values: unknown[]): unknown
}

const mappers = new WeakMap<RawSqlParts, ArgumentsMapper | undefined>()

/** Prisma's own, which it makes for each call of `$queryRawUnsafe`. `undefined` for a Prisma that has other parts. */
function mapperOf(client: RawSqlParts): ArgumentsMapper | undefined {
  if (!mappers.has(client)) mappers.set(client, hasParts(client) ? findMapper(client) : undefined)
  return mappers.get(client)
}

function hasParts(client: Partial<RawSqlParts>): boolean {
  const { _engine, _requestHandler, _tracingHelper, $queryRawInternal } = client
  return [
    _engine?.request,
    _requestHandler?.mapQueryEngineResult,
    _requestHandler?.handleAndLogRequestError,
    _tracingHelper?.isEnabled,
    $queryRawInternal,
  ].every((part) => typeof part === 'function')
}

function findMapper(client: RawSqlParts): ArgumentsMapper | undefined {
  let mapper: ArgumentsMapper | undefined
  const catching: RawSqlParts = Object.create(client, {
    _request: {
      value(call: { readonly argsMapper?: ArgumentsMapper }) {
        mapper = call.argsMapper
      },
    },
  })
  void catching.$queryRawInternal(undefined, RAW, [])
  return mapper
}

/** The members of a client that its statements need. */
interface Way {
  readonly original: RawSqlParts
  /** `undefined` where Prisma's own way is taken. */
  readonly mapper: ArgumentsMapper | undefined
  readonly transaction: { readonly kind: 'itx'; readonly id: string } | undefined
  readonly around: AroundCall | undefined
}

/**
 * The members of each client, and those of each `tx`, which are read once, though several sessions are made of a `tx`: each
 * reading passes a Proxy of each extension, which takes 14 µs per statement. By what a `tx` knows its transaction.
 */
const ways = new WeakMap<object, Way>()
const calls = new WeakMap<object, CallInTransaction>()

/**
 * Sends SQL of our own on one client: on a `tx` in its transaction, with what runs around its calls.
 *
 * Prisma's `$queryRawUnsafe` costs the client 180 µs, and the way to the engine alone 90. It is taken where
 * another extension hooks raw SQL, where spans are recorded, and where Prisma's engine is not the known one.
 */
export class RawSql {
  readonly #client: PrismaClientLike
  readonly #isAround: boolean
  #way: Way | undefined
  #call: CallInTransaction | undefined

  /** Without `isAround`, nothing runs around its statements. */
  constructor(client: PrismaClientLike, isAround = true) {
    this.#client = client
    this.#isAround = isAround
  }

  /** The transaction of a `tx`, and the mark of its calls. */
  get call(): CallInTransaction {
    this.#call ??= callOf(this.#client)
    return this.#call
  }

  send<R extends object = Row>(statement: SqlStatement): PromiseLike<R[]> {
    const way = (this.#way ??= madeOnce(ways, this.#client[SCOPE] ?? this.#client, () => wayOf(this.#client)))
    if (way.mapper === undefined || way.original._tracingHelper.isEnabled())
      return this.#client.$queryRawUnsafe(statement.text, ...statement.values)
    return way.around && this.#isAround
      ? way.around(this.call, () => sendOn<R>(way, statement))
      : sendOn(way, statement)
  }

  /**
   * The same past the hooks of all extensions. The statement is in no batch with the calls that are made on the
   * `tx` in the same tick, which would not be sent if it failed.
   */
  sendAtOnce<R extends object = Row>(statement: SqlStatement): Promise<R[]> {
    return sendOn(wayOf(this.#client, false), statement)
  }
}

function callOf(tx: PrismaClientLike): CallInTransaction {
  const make = () => ({ id: transactionId(tx), scope: transactionOf(tx), isWrite: true })
  const scope = tx[SCOPE]
  return scope ? madeOnce(calls, scope, make) : make()
}

function wayOf(client: PrismaClientLike, passesHooks = hookedRawSql(client)): Way {
  const original = client._originalClient
  const head = headOf(client)
  return {
    original,
    mapper: passesHooks ? undefined : mapperOf(original),
    transaction: client[SCOPE] && { kind: 'itx', id: transactionId(client) },
    around: head && layerOf(head.extension)?.around,
  }
}

async function sendOn<R extends object>(
  { original, mapper, transaction }: Way,
  { text, values }: SqlStatement,
): Promise<R[]> {
  if (mapper === undefined) {
    const call = original.$queryRawUnsafe(text, ...values) as PrismaCall<R[]>
    return transaction ? call.requestTransaction(transaction) : call
  }
  const args = [text, ...values]
  const { query, parameters } = mapper(args)
  let response: object
  try {
    response = await original._engine.request(
      { action: 'queryRaw', query: { arguments: { query, parameters: parameters.values }, selection: {} } },
      { interactiveTransaction: transaction },
    )
  } catch (error) {
    return original._requestHandler.handleAndLogRequestError({ error, clientMethod: RAW, transaction, args })
  }
  return original._requestHandler.mapQueryEngineResult({ dataPath: [] }, response)
}
