import type { DataModel } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import { isConcurrencyError } from '../errors/index.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import {
  type TransactionWithRetryOptions,
  transactionBody,
  transactionCall,
  transactionOptions,
  type UserBody,
} from '../transactions/method.js'
import type { RetryingTransactions } from '../transactions/with-retry.js'
import * as s from '../values/schema.js'
import { checkArguments, keyTextSchema } from '../values/validation.js'
import { AT_LEAST, DEFAULT_KEY_MODEL, KeyStore, ONCE_PER } from './key-store.js'
import { Operations } from './operation.js'
import type { IdempotencyOptions } from './options.js'
import { keyOfRun, periodSchema } from './period.js'
import type { OncePerResult } from './types.js'

/** The parts of the package that operations need. */
export interface OperationSetup {
  readonly dataModel: DataModel
  readonly policy: ResolvedPolicy
  readonly transactions: RetryingTransactions
  readonly settings: IdempotencyOptions
}

const DEFAULT_ANSWER_LIMIT = 65_536

const { readOnly: _, ...writeOptions } = transactionOptions
// Both are kept in one table, so a job would be taken for done that never ran.
const isOfJob = (scope: string) => scope.startsWith(ONCE_PER) || scope.startsWith(AT_LEAST.scope)
const JOB_SCOPE = `must not begin with ${JSON.stringify(ONCE_PER)} or ${JSON.stringify(AT_LEAST.scope)}, as the scopes of $oncePer do`
const operationSchema = s.strictObject({
  ...writeOptions,
  key: keyTextSchema,
  scope: keyTextSchema.check(s.refine((scope) => !isOfJob(scope), JOB_SCOPE)),
  request: s.optional(s.unknown()),
  whileRunning: s.optional(s.oneOf(['wait', 'refuse'])),
})
const oncePerSchema = s.strictObject({ ...writeOptions, job: keyTextSchema, period: periodSchema })
const HUNDRED_YEARS = 36_525 * 86_400_000 // the database's dates do not go back for ever
const pruneSchema = s.strictObject({
  olderThan: s
    .number('must be a number of ms')
    .check(s.gte(0, 'must not be negative'), s.lte(HUNDRED_YEARS, 'must not be more than a hundred years')),
  batchSize: s.optional(s.whole().check(s.gte(1, 'must be at least 1'), s.lte(1_000_000))),
})

/** Once-only operations and jobs, as they are called: they check the arguments. */
export class OperationMethods {
  readonly #setup: OperationSetup
  readonly #operations: Operations
  #store: KeyStore | undefined

  constructor(setup: OperationSetup) {
    this.#setup = setup
    this.#operations = new Operations(setup.transactions)
    if (setup.settings.model !== undefined) this.#storeOfKeys()
  }

  /** `$idempotent` */
  async run<R>(session: Session, options: unknown, body: UserBody<R>): Promise<{ result: R; replayed: boolean }> {
    const run = transactionBody(body)
    const { key, scope, request, whileRunning = 'wait', ...transaction } = checkArguments(operationSchema, options)
    const call = { key, scope, request, whileRunning, keepsAnswer: true, ...this.#callOptions(transaction) }
    const { result, replayed } = await this.#operations.run(session, this.#storeOfKeys(), call, run)
    return { result, replayed }
  }

  /** `$oncePer`: the second caller of a period is told so at once. */
  async oncePer<R>(session: Session, options: unknown, body: UserBody<R>): Promise<OncePerResult<R>> {
    const run = transactionBody(body)
    const { job, period, ...transaction } = checkArguments(oncePerSchema, options)
    const store = this.#storeOfKeys()
    const callOptions = this.#callOptions(transaction)
    const key = await callOptions.transaction.deadline.race(keyOfRun(session, job, period), 'the database')
    // The answer is given to nobody a second time.
    const call = { ...key, ...callOptions, request: undefined, whileRunning: 'refuse', keepsAnswer: false } as const
    try {
      const outcome = await this.#operations.run(session, store, call, run)
      return outcome.replayed ? { ran: false, since: outcome.since } : { ran: true, result: outcome.result }
    } catch (error) {
      // The body may have asked for other operations, and met one that runs.
      const isOwn =
        isConcurrencyError(error, 'IDEMPOTENCY_IN_PROGRESS') && error.scope === key.scope && error.key === key.key
      if (isOwn) return { ran: false, since: undefined }
      throw error
    }
  }

  /** `$pruneIdempotencyKeys` */
  async prune(session: Session, options: unknown): Promise<{ count: number }> {
    const { olderThan, batchSize = 1_000 } = checkArguments(pruneSchema, options)
    const store = this.#storeOfKeys()
    for (let count = 0; ; ) {
      const deleted = await store.prune(session, olderThan, batchSize)
      count += deleted
      if (deleted < batchSize) return { count }
    }
  }

  #callOptions(options: TransactionWithRetryOptions) {
    const { policy, settings } = this.#setup
    return {
      transaction: transactionCall(policy, options),
      answerLimit: settings.answerLimit ?? DEFAULT_ANSWER_LIMIT,
    }
  }

  #storeOfKeys(): KeyStore {
    const { dataModel, settings } = this.#setup
    return (this.#store ??= new KeyStore(dataModel, settings.model ?? DEFAULT_KEY_MODEL))
  }
}
