import type { Pool, PoolClient, QueryConfig, QueryResult, QueryResultRow } from 'pg'
import { isConnectionLost, isReadOnly, sqlState } from '../engine/error-facts.js'
import type {
  IsolationLevel,
  RootSession,
  Row,
  SqlStatement,
  TimeLimit,
  TransactionOptions,
  TransactionSession,
} from '../engine/session.js'
import { OutcomeUnknownError, TransactionAbortedError, TransactionScopeError } from '../errors/index.js'
import type { Events } from '../events/events.js'
import { isUnanswered } from '../retry/ambiguous-outcome.js'
import { DEFAULT_TRANSACTION, type ResolvedPolicy } from '../retry/policy.js'
import { systemClock } from '../sync/clock.js'
import { Deadline, GRACE } from '../sync/deadline.js'
import { runAsCall, runCommitted } from '../transactions/effects.js'
import { CALLS_FROM_INSIDE } from '../transactions/hints.js'
import { type RetryingRoot, type TransactionWithRetryOptions, transactionCall } from '../transactions/method.js'
import { watchedBody } from '../transactions/serialize.js'
import type { TransactionNote } from '../transactions/verify-commit.js'
import type { Body, RetryingTransactions } from '../transactions/with-retry.js'
import { endingStatement, type NotedTransaction } from './hanging.js'
import { parametersOf, typesOf } from './values.js'

const LEVELS: Readonly<Record<IsolationLevel, string>> = {
  ReadUncommitted: 'READ UNCOMMITTED',
  ReadCommitted: 'READ COMMITTED',
  RepeatableRead: 'REPEATABLE READ',
  Serializable: 'SERIALIZABLE',
}

/** Makes the clients for the bodies of the user's, one for each session. */
export interface Clients {
  root(session: PgRoot): object
  transaction(session: PgTransaction): object
}

/** The common part of the sessions of one pool. */
interface Core {
  readonly pool: Pool
  readonly policy: ResolvedPolicy
  readonly transactions: RetryingTransactions
  readonly events: Events | undefined
}

/** A connection that was taken out of the pool, until it is given back. */
class Connection {
  readonly #connection: PoolClient
  #error: Error | undefined
  #isOver = false
  #savepoints = 0
  /** The transaction on it, once it is noted. */
  noted: NotedTransaction | undefined
  readonly #onError = (error: Error) => {
    this.#error = error
  }

  constructor(connection: PoolClient) {
    this.#connection = connection
    // A connection that breaks while no statement is under way would end the process.
    connection.on('error', this.#onError)
  }

  /** The process id of its session, as the server, or a pooler, has told it. */
  get pid(): unknown {
    return Reflect.get(this.#connection, 'processID')
  }

  /** A statement of ours: its values and rows look as they do through Prisma. */
  async rows<R extends object>({ text, values }: SqlStatement): Promise<R[]> {
    const config = { text, values: parametersOf(values), types: typesOf(this.#connection) }
    try {
      return (await this.query<R>(config)).rows
    } catch (error) {
      if (!isReadOnly(error)) throw error
      const { takesNoWrites } = await import('../errors/read-only.js')
      throw takesNoWrites(error)
    }
  }

  /** A statement as the driver sends it. */
  query<R extends QueryResultRow>(config: QueryConfig): Promise<QueryResult<R>> {
    if (this.#isOver) return Promise.reject(new TransactionScopeError('over'))
    return this.#connection.query<R>(config)
  }

  nextSavepoint(): string {
    return `s${++this.#savepoints}`
  }

  /** Back to the pool, or to its end, where it may be in no state for another caller. */
  release(isUsable = true): void {
    this.#isOver = true
    this.#connection.removeListener('error', this.#onError)
    this.#connection.release(this.#error ?? !isUsable)
  }
}

/** Waits for a connection. One that comes too late goes back to the pool. */
async function connect(pool: Pool, limit: Pick<TimeLimit, 'race'> | undefined): Promise<Connection> {
  const connecting = pool.connect()
  try {
    return new Connection(await (limit ? limit.race(connecting, 'a connection') : connecting))
  } catch (error) {
    connecting.then(
      (late) => late.release(),
      () => {},
    )
    throw error
  }
}

/** The root session of a pool: each statement on any of its connections. */
/** The root session of a client of this engine. */
export function rootOf(session: RootSession): RetryingRoot {
  if (session instanceof PgRoot) return session
  throw new Error('The session is of another engine.')
}

export class PgRoot implements RetryingRoot {
  readonly inTransaction = false
  readonly client: object
  readonly #core: Core
  readonly #clients: Clients
  readonly #limit: TimeLimit | undefined

  constructor(core: Core, clients: Clients, of?: { readonly client: object; readonly limit: TimeLimit }) {
    this.#core = core
    this.#clients = clients
    this.#limit = of?.limit
    this.client = of?.client ?? clients.root(this)
  }

  until(limit: TimeLimit): PgRoot {
    return new PgRoot(this.#core, this.#clients, { client: this.client, limit })
  }

  get events(): Events | undefined {
    return this.#core.events
  }

  get connections(): number {
    return this.#core.pool.options.max
  }

  async rows<R extends object = Row>(statement: SqlStatement): Promise<R[]> {
    const { pool } = this.#core
    const limit = this.#limit
    // A connection that is free comes at once: it needs no timer.
    const connection = await connect(pool, pool.idleCount > pool.waitingCount ? undefined : limit)
    let isUsable = false
    try {
      const rows = await (limit ? limit.answered(() => connection.rows<R>(statement)) : connection.rows<R>(statement))
      isUsable = true
      return rows
    } catch (error) {
      isUsable = !isConnectionLost(error)
      throw error
    } finally {
      connection.release(isUsable)
    }
  }

  async transaction<R>(
    {
      maxWait = DEFAULT_TRANSACTION.maxWait,
      timeout = DEFAULT_TRANSACTION.timeout,
      isolationLevel,
    }: TransactionOptions,
    body: (session: PgTransaction) => Promise<R>,
  ): Promise<R> {
    const connection = await connect(this.#core.pool, new Deadline(maxWait, undefined, systemClock))
    const deadline = new Deadline(timeout, undefined, systemClock)
    let isUsable = false
    let isHanging = false
    try {
      const begin = { text: `BEGIN${isolationLevel ? ` ISOLATION LEVEL ${LEVELS[isolationLevel]}` : ''}` }
      await answered(timeout, connection.query(begin))
      const session = new PgTransaction(connection, this.#clients)
      let hasSettled = false
      const settle = () => {
        hasSettled = true
      }
      const work = watchedBody(session, () => body(session))
      work.then(settle, settle)
      const inTime = deadline.race(work, 'the body of the transaction', CALLS_FROM_INSIDE)
      const result = await inTime.catch(async (error: unknown) => {
        // Behind a statement that is still running, ROLLBACK would wait: the connection is closed instead. The
        // deadline is not asked, since its timer may fire a moment too early.
        isHanging = !hasSettled
        isUsable = hasSettled && (await succeeds(answered(0, connection.query({ text: 'ROLLBACK' }))))
        throw error
      })
      const committing = answered(deadline.left(), connection.query({ text: 'COMMIT' }))
      const { command } = await committing.catch((error: unknown) => {
        isUsable = sqlState(error) !== undefined && !isConnectionLost(error)
        isHanging = isUnanswered(error)
        if (!isHanging) throw error
        throw new OutcomeUnknownError('COMMIT was not answered in time', { cause: error })
      })
      isUsable = true
      // Not seen so far: the end of the body asks first whether the transaction is alive. A COMMIT that was none must
      // never pass for one, though.
      if (command === 'ROLLBACK') throw new TransactionAbortedError({})
      return result
    } finally {
      connection.release(isUsable)
      if (isHanging && connection.noted) void endSession(this.#core.pool, connection.noted)
    }
  }

  clientRetry(): ResolvedPolicy {
    return this.#core.policy
  }

  async transactionWithRetry<R>(body: Body<R>, options: TransactionWithRetryOptions = {}): Promise<R> {
    const { transactions, policy, events } = this.#core
    const call = transactionCall(policy, options)
    const result = await transactions.run(this, body, call)
    const { committed, deadline } = call
    // The bodies of some features are the user's: of the inbox, of a relay.
    await (deadline.events
      ? runCommitted(committed, deadline.events)
      : runAsCall(committed, '$transactionWithRetry', events))
    return result
  }
}

/** The session of a connection that does not answer. Where it cannot be ended, the limits of its transaction end it. */
async function endSession(pool: Pool, noted: NotedTransaction): Promise<void> {
  try {
    const connection = await connect(pool, new Deadline(DEFAULT_TRANSACTION.maxWait, undefined, systemClock))
    const isUsable = await succeeds(answered(0, connection.rows(endingStatement(noted, connection.pid))))
    connection.release(isUsable)
  } catch {
    // There is no connection in time.
  }
}

let count = 0

/** A transaction on a connection: that of its body, or of a nested one. */
export class PgTransaction implements TransactionSession {
  readonly inTransaction = true
  readonly scope = {}
  readonly #connection: Connection
  readonly #clients: Clients
  #client: object | undefined

  constructor(
    connection: Connection,
    clients: Clients,
    readonly id = `pg ${++count}`,
  ) {
    this.#connection = connection
    this.#clients = clients
  }

  until(): PgTransaction {
    return this
  }

  noted(note: TransactionNote): void {
    this.#connection.noted = { note, pid: this.#connection.pid }
  }

  get client(): object {
    this.#client ??= this.#clients.transaction(this)
    return this.#client
  }

  rows<R extends object = Row>(statement: SqlStatement): Promise<R[]> {
    return this.#connection.rows(statement)
  }

  rowsAtOnce(statement: SqlStatement): Promise<Row[]> {
    return this.#connection.rows(statement)
  }

  /** A statement of the user's, as the driver sends it. */
  query<R extends QueryResultRow>(config: QueryConfig): Promise<QueryResult<R>> {
    return this.#connection.query(config)
  }

  async contained<R>(body: (session: PgTransaction) => Promise<R>): Promise<R> {
    const name = this.#connection.nextSavepoint()
    await this.#connection.query({ text: `SAVEPOINT ${name}` })
    try {
      const result = await body(new PgTransaction(this.#connection, this.#clients, this.id))
      await this.#connection.query({ text: `RELEASE SAVEPOINT ${name}` })
      return result
    } catch (error) {
      // Released, too: otherwise all that follows is written by a subtransaction.
      await succeeds(this.#connection.query({ text: `ROLLBACK TO SAVEPOINT ${name}; RELEASE SAVEPOINT ${name}` }))
      throw error
    }
  }

  nested<R>(body: (session: PgTransaction) => Promise<R>): Promise<R> {
    return this.contained(body)
  }

  async keepingCalls<R>(work: () => PromiseLike<R>): Promise<R> {
    return work()
  }
}

/** Settles as the work does, unless there is no answer in so many ms, and at least in the grace. The connection is closed then. */
function answered<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  return new Deadline(Math.max(0, milliseconds - GRACE), undefined, systemClock).answered(() => work)
}

async function succeeds(work: Promise<unknown>): Promise<boolean> {
  try {
    await work
    return true
  } catch {
    return false
  }
}
