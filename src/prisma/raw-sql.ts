import type { Row, SqlStatement } from '../engine/session.js'
import { type PrismaCall, type PrismaClientLike, SCOPE, transactionId, transactionOf } from './client.js'
import { hookedRawSql, RAW } from './foreign.js'
import { headOf, layerOf } from './layers.js'

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

/**
 * Sends SQL of our own: on a `tx` in its transaction, with what runs around its calls.
 *
 * Prisma's `$queryRawUnsafe` costs the client 180 µs, and the way to the engine alone 90. It is taken where
 * another extension hooks raw SQL, where spans are recorded, and where Prisma's engine is not the known one.
 */
export function sendRawSql<R extends object = Row>(
  client: PrismaClientLike,
  statement: SqlStatement,
): PromiseLike<R[]> {
  const original = client._originalClient
  if (hookedRawSql(client) || mapperOf(original) === undefined || original._tracingHelper.isEnabled())
    return client.$queryRawUnsafe(statement.text, ...statement.values)
  const head = headOf(client)
  const around = head && layerOf(head.extension)?.around
  if (around === undefined) return sendToEngine(client, statement)
  const call = { id: transactionId(client), scope: transactionOf(client), isWrite: true }
  return around(call, () => sendToEngine<R>(client, statement))
}

/**
 * The same past the hooks of all extensions. The statement is in no batch with the calls that are made on the
 * `tx` in the same tick, which would not be sent if it failed.
 */
export async function sendToEngine<R extends object = Row>(
  tx: PrismaClientLike,
  { text, values }: SqlStatement,
): Promise<R[]> {
  const client = tx._originalClient
  const transaction = tx[SCOPE] && ({ kind: 'itx', id: transactionId(tx) } as const)
  const mapper = mapperOf(client)
  if (mapper === undefined) {
    const call = client.$queryRawUnsafe(text, ...values) as PrismaCall<R[]>
    return transaction ? call.requestTransaction(transaction) : call
  }
  const args = [text, ...values]
  const { query, parameters } = mapper(args)
  let response: object
  try {
    response = await client._engine.request(
      { action: 'queryRaw', query: { arguments: { query, parameters: parameters.values }, selection: {} } },
      { interactiveTransaction: transaction },
    )
  } catch (error) {
    return client._requestHandler.handleAndLogRequestError({ error, clientMethod: RAW, transaction, args })
  }
  return client._requestHandler.mapQueryEngineResult({ dataPath: [] }, response)
}
