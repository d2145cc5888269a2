import type { Pool, QueryResult, QueryResultRow } from 'pg'
import type { CheckConcurrencyOptions, DatabaseCapabilities } from '../doctor/types.js'
import type { DataModel } from '../engine/data-model.js'
import type { Session, TransactionOptions } from '../engine/session.js'
import { type ClientSetup, SETUP, type SetupOptions } from '../engine/setup.js'
import { type Finding, InvalidArgumentError } from '../errors/index.js'
import type { ContentionOptions, ContentionSnapshot } from '../events/contention.js'
import { contentionOf, type Events } from '../events/events.js'
import type { OperationMethods } from '../idempotency/operation-methods.js'
import type { IdempotentOptions, OncePerOptions, OncePerResult, PruneOptions } from '../idempotency/types.js'
import type { LockKeys } from '../locking/key.js'
import type {
  AdvisoryXactLockOptions,
  LockMethods,
  TryAdvisoryXactLockOptions,
  WithAdvisoryLockOptions,
} from '../locking/methods.js'
import type { LockedBody } from '../locking/telling-loss.js'
import { checkModels } from '../mapping/members.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import { addEffect, runningEffects } from '../transactions/effects.js'
import {
  type TransactionWithRetryOptions,
  transactionMethod,
  transactionOptions,
  type UserBody,
} from '../transactions/method.js'
import { inPlainNestedBody, sendPlain } from '../transactions/serialize.js'
import type { RetryingTransactions } from '../transactions/with-retry.js'
import * as s from '../values/schema.js'
import { checkArguments } from '../values/validation.js'
import type { Namespace, PgExtension } from './extension.js'
import type { PgClient } from './methods.js'
import { type Clients, PgRoot, type PgTransaction } from './session.js'

/** The common part of all clients of one pool, with any extensions. */
export interface Core {
  readonly pool: Pool
  readonly dataModel: DataModel
  readonly options: SetupOptions
  readonly policy: ResolvedPolicy
  readonly transactions: RetryingTransactions
  readonly locks: LockMethods
  readonly operations: OperationMethods
  readonly events: Events | undefined
}

/** The client of a pool, with these namespaces on it. */
export function clientOf<X>(core: Core, namespaces: readonly Namespace[]): PgClient<X> {
  const clients: Clients = {
    root: (session) => withNamespaces(new RootClient(core, namespaces, session), namespaces, session),
    transaction: (session) => withNamespaces(new TransactionClient(core, session), namespaces, session),
  }
  return new PgRoot(core, clients).client as PgClient<X>
}

/** Each namespace is made when it is first asked for. */
function withNamespaces(client: object, namespaces: readonly Namespace[], session: Session): object {
  for (const { name, make } of namespaces) {
    let own: object | undefined
    Object.defineProperty(client, name, { get: () => (own ??= make(session)), enumerable: true })
  }
  return client
}

/** The methods that are the same on the client and on a `tx`. */
abstract class Client {
  readonly #core: Core
  readonly #session: Session

  constructor(core: Core, session: Session) {
    this.#core = core
    this.#session = session
  }

  $transactionWithRetry<R>(body: UserBody<R>, options?: TransactionWithRetryOptions): Promise<R> {
    const { transactions, policy, events } = this.#core
    return transactionMethod(transactions, policy, events)(this.#session, body, options)
  }

  $withAdvisoryLock<R>(keys: LockKeys, body: LockedBody<R>, options?: WithAdvisoryLockOptions<boolean>): Promise<R> {
    return this.#core.locks.hold(this.#session, keys, body, options)
  }

  $advisoryXactLock(keys: LockKeys, options?: AdvisoryXactLockOptions): Promise<void> {
    return this.#core.locks.take(this.#session, keys, options)
  }

  $tryAdvisoryXactLock(keys: LockKeys, options?: TryAdvisoryXactLockOptions): Promise<boolean> {
    return this.#core.locks.tryTake(this.#session, keys, options)
  }

  $idempotent<R>(options: IdempotentOptions, body: UserBody<R>): Promise<{ result: R; replayed: boolean }> {
    return this.#core.operations.run(this.#session, options, body)
  }

  $oncePer<R>(options: OncePerOptions, body: UserBody<R>): Promise<OncePerResult<R>> {
    return this.#core.operations.oncePer(this.#session, options, body)
  }

  $pruneIdempotencyKeys(options: PruneOptions): Promise<{ count: number }> {
    return this.#core.operations.prune(this.#session, options)
  }

  $contention(options?: ContentionOptions): Promise<ContentionSnapshot> {
    return contentionOf(this.#core.events, options)
  }
}

class RootClient extends Client {
  #capabilities: Promise<DatabaseCapabilities> | undefined
  readonly #core: Core
  readonly #namespaces: readonly Namespace[]
  readonly #session: PgRoot

  constructor(core: Core, namespaces: readonly Namespace[], session: PgRoot) {
    super(core, session)
    this.#core = core
    this.#namespaces = namespaces
    this.#session = session
  }

  [SETUP](): ClientSetup {
    const { dataModel, options } = this.#core
    const session = this.#session
    const features = this.#namespaces.flatMap(({ feature }) => feature ?? [])
    return { session, dataModel, options, features, connections: session.connections, namesStatements: false }
  }

  async $checkConcurrency(options?: CheckConcurrencyOptions): Promise<readonly Finding[]> {
    const { checkSetup } = await import('../doctor/check.js')
    return checkSetup(this[SETUP](), options)
  }

  async $capabilities(): Promise<DatabaseCapabilities> {
    const { capabilitiesOf } = await import('../doctor/check.js')
    this.#capabilities ??= capabilitiesOf(this[SETUP]()).catch((error: unknown) => {
      this.#capabilities = undefined
      throw error
    })
    return this.#capabilities
  }

  query<R extends QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<QueryResult<R>> {
    return this.#core.pool.query<R>(text, [...values])
  }

  async $transaction<R>(body: PlainBody<R>, options?: TransactionOptions): Promise<R> {
    const checked = transactionArguments(body, options)
    return runningEffects(this.#core.events, (opened) =>
      this.#session.transaction(checked, async (tx) => {
        opened(tx)
        return body(tx.client)
      }),
    )
  }

  $extends<N extends object>(extension: PgExtension<N>): PgClient<N> {
    const added = [extension.apply(this.#session, this.#core.dataModel)].flat()
    for (const one of added) checkModels(one, this.#namespaces)
    const kept = this.#namespaces.filter(({ name }) => added.every((one) => one.name !== name))
    return clientOf(this.#core, [...kept, ...added])
  }
}

class TransactionClient extends Client {
  readonly #session: PgTransaction

  constructor(core: Core, session: PgTransaction) {
    super(core, session)
    this.#session = session
  }

  $afterCommit(run: () => unknown): void {
    addEffect(this.#session, run)
  }

  async query<R extends QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<QueryResult<R>> {
    const { id, scope } = this.#session
    return sendPlain({ id, scope, isWrite: true }, () => this.#session.query<R>({ text, values: [...values] }))
  }

  async $transaction<R>(body: PlainBody<R>, options?: TransactionOptions): Promise<R> {
    transactionArguments(body, options)
    return inPlainNestedBody<R>(this.#session, (run) =>
      this.#session.nested((inner) => run(inner, () => body(inner.client))),
    )
  }
}

type PlainBody<R> = (tx: object) => Promise<R>

const { isolationLevel, maxWait, timeout } = transactionOptions
const plainOptions = s.strictObject({ isolationLevel, maxWait, timeout })

function transactionArguments(body: unknown, options: TransactionOptions = {}): TransactionOptions {
  if (typeof body !== 'function')
    throw new InvalidArgumentError('body', 'must be a function of the transaction client.')
  return checkArguments(plainOptions, options)
}
