import { madeOnce } from '../engine/made-once.js'
import type { CallInTransaction, Row, SqlStatement } from '../engine/session.js'
import { type PrismaCall, type PrismaClientLike, SCOPE, transactionId, transactionOf } from './client.js'
import { hookedRawSql, RAW } from './foreign.js'
import { type AroundCall, headOf, layerOf, type Node } from './layers.js'

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

/** The members of a client that its statements need; the same of all clients of the same extensions. */
interface Way {
  readonly original: RawSqlParts
  /** `undefined` where Prisma's own way is taken. */
  readonly mapper: ArgumentsMapper | undefined
  readonly around: AroundCall | undefined
}

type Transaction = { readonly kind: 'itx'; readonly id: string }

/** The way of a client and its `tx`, by its topmost extension. */
const ways = new WeakMap<Node, Way>()

/** Facts about a client, found out once: several sessions are made of a `tx`. */
interface Facts {
  readonly transaction: Transaction | undefined
  way?: Way
  call?: CallInTransaction
}

/** By the client, or by what a `tx` knows its transaction by. */
const known = new WeakMap<object, Facts>()

/**
 * Sends SQL of our own on one client: on a `tx` in its transaction, with what runs around its calls.
 *
 * Prisma's `$queryRawUnsafe` costs the client 180 µs, and the way to the engine alone 90. It is taken where
 * another extension hooks raw SQL, where spans are recorded, and where Prisma's engine is not the known one.
 *
 * The members of the client are read once: on a `tx` each reading passes several Proxies, which takes 14 µs per statement.
 */
export class RawSql {
  readonly #client: PrismaClientLike
  readonly #isAround: boolean
  #facts: Facts | undefined

  /** Without `isAround`, nothing runs around its statements. */
  constructor(client: PrismaClientLike, isAround = true) {
    this.#client = client
    this.#isAround = isAround
  }

  get #known(): Facts {
    return (this.#facts ??= factsOf(this.#client))
  }

  /** The transaction of a `tx`, and the mark of its calls. */
  get call(): CallInTransaction {
    const client = this.#client
    return (this.#known.call ??= { id: transactionId(client), scope: transactionOf(client), isWrite: true })
  }

  send<R extends object = Row>(statement: SqlStatement): PromiseLike<R[]> {
    const facts = this.#known
    const { transaction, way = (facts.way = wayOf(this.#client)) } = facts
    if (way.mapper === undefined || way.original._tracingHelper.isEnabled())
      return this.#client.$queryRawUnsafe(statement.text, ...statement.values)
    return way.around && this.#isAround
      ? way.around(this.call, () => sendOn<R>(way, statement, transaction))
      : sendOn(way, statement, transaction)
  }

  /**
   * The same past the hooks of all extensions. The statement is in no batch with the calls that are made on the
   * `tx` in the same tick, which would not be sent if it failed.
   */
  sendAtOnce<R extends object = Row>(statement: SqlStatement): Promise<R[]> {
    const original = this.#client._originalClient
    return sendOn({ original, mapper: mapperOf(original) }, statement, this.#known.transaction)
  }
}

function factsOf(client: PrismaClientLike): Facts {
  const scope = client[SCOPE]
  return madeOnce<object, Facts>(known, scope ?? client, () => ({
    transaction: scope && { kind: 'itx', id: transactionId(client) },
  }))
}

function wayOf(client: PrismaClientLike): Way {
  const head = headOf(client)
  const find = () => {
    const original = client._originalClient
    const mapper = hookedRawSql(client) ? undefined : mapperOf(original)
    return { original, mapper, around: head && layerOf(head.extension)?.around }
  }
  return head ? madeOnce(ways, head, find) : find()
}

async function sendOn<R extends object>(
  { original, mapper }: Pick<Way, 'original' | 'mapper'>,
  { text, values }: SqlStatement,
  transaction: Transaction | undefined,
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
