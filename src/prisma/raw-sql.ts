import type { Row, SqlStatement } from '../engine/session.js'
import { type PrismaClientLike, SCOPE, transactionId, transactionOf } from './client.js'
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
  $queryRawInternal(transaction: undefined, method: string, args: readonly unknown[]): Promise<unknown>
}

const mappers = new WeakMap<RawSqlParts, ArgumentsMapper>()

/** Prisma's own, which it makes for each call of `$queryRawUnsafe`. */
function mapperOf(client: RawSqlParts): ArgumentsMapper {
  const known = mappers.get(client)
  if (known) return known
  let mapper: ArgumentsMapper | undefined
  const catching: RawSqlParts = Object.create(client, {
    _request: {
      value(call: { readonly argsMapper: ArgumentsMapper }) {
        mapper = call.argsMapper
      },
    },
  })
  void catching.$queryRawInternal(undefined, RAW, [])
  if (mapper === undefined) throw new Error('Prisma has changed how it sends raw SQL.')
  mappers.set(client, mapper)
  return mapper
}

/**
 * Sends SQL of our own: on a `tx` in its transaction, with what runs around its calls.
 *
 * Prisma's `$queryRawUnsafe` costs the client 180 µs, and the way to the engine alone 90. It is taken where
 * another extension hooks raw SQL, or where spans are recorded.
 */
export function sendRawSql<R extends object = Row>(
  client: PrismaClientLike,
  statement: SqlStatement,
): PromiseLike<R[]> {
  const head = headOf(client)
  if (hookedRawSql(client) || client._originalClient._tracingHelper.isEnabled())
    return client.$queryRawUnsafe(statement.text, ...statement.values)
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
  { _originalClient: client, [SCOPE]: scope }: PrismaClientLike,
  { text, values }: SqlStatement,
): Promise<R[]> {
  const args = [text, ...values]
  const { query, parameters } = mapperOf(client)(args)
  const transaction = scope && { kind: 'itx', id: scope.txId }
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
