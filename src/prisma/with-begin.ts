import type { SqlStatement } from '../engine/session.js'
import type { PrismaClientLike, TransactionStart } from './client.js'
import { foreignTransactions, hookedRawSql } from './foreign.js'
import type { Connection, Start } from './start.js'

/*
 * Prisma leaves BEGIN to the driver adapter. Here it is taken out of the hands of the adapter for node-postgres (read on
 * Prisma 7.10), so that the first statement of a transaction goes together with it. With any other adapter, BEGIN and the
 * statement are sent one after the other.
 */

/** The adapter for node-postgres, once it is connected. */
export interface DriverAdapter {
  readonly client: { connect(): Promise<Connection> }
  startTransaction(level: string | undefined): Promise<unknown>
}

const prepared = new WeakSet<object>()

/** The transaction whose BEGIN is the next one, in this tick. */
let next: WithBegin | undefined

/** Lets transactions of the client send a statement together with BEGIN, if it is not connected yet. */
export function prepareAdapter({ _engineConfig: { adapter } }: PrismaClientLike): void {
  if (adapter?.adapterName !== '@prisma/adapter-pg' || adapter.connect === undefined || prepared.has(adapter)) return
  prepared.add(adapter)
  const connect = adapter.connect.bind(adapter)
  adapter.connect = async () => {
    const [connected, { Start }] = await Promise.all([connect(), import('./start.js')])
    const start = connected.startTransaction
    connected.startTransaction = (level) => {
      const first = next
      next = undefined
      if (first === undefined) return start.call(connected, level)
      const client = { connect: async () => first.begin(Start, await connected.client.connect(), level) }
      return start.call(Object.create(connected, { client: { value: client } }), level)
    }
    return connected
  }
}

/** The first statement of a transaction that is sent together with its BEGIN. */
export class WithBegin {
  readonly #first: SqlStatement
  readonly #name: string | undefined
  #start: Start | undefined

  private constructor(first: SqlStatement, name: string | undefined) {
    this.#first = first
    this.#name = name
  }

  /** `undefined` where the statement has to go the way of all others. */
  static of(client: PrismaClientLike, statement: SqlStatement): WithBegin | undefined {
    const { adapter } = client._engineConfig
    if (adapter === undefined || !prepared.has(adapter) || isWatched(client)) return undefined
    const { text: sql, values: args } = statement
    if (args.some((value) => typeof value === 'object')) return undefined
    return new WithBegin(statement, adapter.options?.statementNameGenerator?.({ sql, args, argTypes: [] }))
  }

  /**
   * For Prisma, in the place of the number of ms. Prisma makes a number of it for a timer, and begins the transaction by
   * the adapter in the same tick: it hands nothing else down to there that could tell one transaction from another.
   */
  maxWait(ms: number | undefined): TransactionStart['maxWait'] {
    if (ms === undefined) return undefined
    return {
      [Symbol.toPrimitive]: () => {
        next = this
        queueMicrotask(() => {
          if (next === this) next = undefined
        })
        return ms
      },
    }
  }

  /** Gives the connection for the adapter, whose BEGIN this is. */
  begin(at: typeof Start, connection: Connection, level: string | undefined): Connection {
    this.#start = at.on(connection, { level, ...this.#first, name: this.#name })
    return this.#start?.connection ?? connection
  }

  /** The answer to the first statement, and to any other what `send` gives. */
  answer<R extends object>(statement: SqlStatement, send: () => Promise<R[]>): Promise<R[]> {
    const start = this.#start
    if (start === undefined || start.isLeft || statement !== this.#first) return send()
    this.#start = undefined
    // Sent once more, it has the same error, which Prisma tells in its own way.
    return start.answer().then(
      (row) => (row === undefined ? [] : [row]),
      () => send(),
    )
  }

  /** Leaves the first statement to the one after it: both go together with BEGIN. Gives the answer once there is one. */
  withNext(): (() => never | undefined) | undefined {
    const start = this.#start
    this.#start = undefined
    return start?.isLeft === false ? () => start.row : undefined
  }
}

/** Whether somebody is to see each statement that Prisma sends: its log, its spans, or another extension. */
function isWatched(client: PrismaClientLike): boolean {
  const { logQueries = false, sqlCommenters = [] } = client._engineConfig
  const isLogged = logQueries || sqlCommenters.length > 0 || client._originalClient._tracingHelper.isEnabled()
  return isLogged || hookedRawSql(client) || foreignTransactions(client) !== undefined
}
