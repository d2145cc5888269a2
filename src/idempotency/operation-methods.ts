import type { DataModel } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import { type Events, observed } from '../events/events.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import { runCommitted } from '../transactions/effects.js'
import {
  type TransactionWithRetryOptions,
  transactionBody,
  transactionCall,
  transactionOptions,
  type UserBody,
} from '../transactions/method.js'
import type { RetryingTransactions } from '../transactions/with-retry.js'
import * as s from '../values/schema.js'
import { snapshot } from '../values/snapshot.js'
import { checkArguments, keyTextSchema } from '../values/validation.js'
import { AT_LEAST, DEFAULT_KEY_MODEL, KeyStore, ONCE_PER, type OperationKey } from './key-store.js'
import type { Operations } from './operation.js'
import type { IdempotencyOptions } from './options.js'
import type { OncePerResult } from './types.js'

/** The parts of the package that operations need. */
export interface OperationSetup {
  readonly dataModel: DataModel
  readonly policy: ResolvedPolicy
  readonly transactions: RetryingTransactions
  readonly settings: IdempotencyOptions
  readonly events: Events | undefined
}

const DEFAULT_ANSWER_LIMIT = 65_536

export const { readOnly: _, ...writeOptions } = transactionOptions
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

/** Once-only operations and jobs, as they are called: they check the arguments. */
export class OperationMethods {
  readonly #setup: OperationSetup
  #operations: Operations | undefined
  #store: KeyStore | undefined

  constructor(setup: OperationSetup) {
    this.#setup = setup
    if (setup.settings.model !== undefined) this.storeOfKeys()
  }

  /** `$idempotent` */
  run<R>(session: Session, options: unknown, body: UserBody<R>): Promise<{ result: R; replayed: boolean }> {
    return observed(this.#setup.events, '$idempotent', undefined, async (events) => {
      const run = transactionBody(body)
      const { key, scope, request, whileRunning = 'wait', ...transaction } = checkArguments(operationSchema, options)
      const store = this.storeOfKeys()
      const operations = this.#operations ?? (await this.load())
      const call = { key, scope, request, whileRunning, keepsAnswer: true, ...this.callOptions(transaction) }
      events?.begin(call.transaction.deadline, nameOf(call))
      const { result, replayed } = await operations.run(session, store, call, run)
      await runCommitted(call.transaction.committed, events)
      return { result, replayed }
    })
  }

  /** `$oncePer`: the second caller of a period is told so at once. */
  oncePer<R>(session: Session, options: unknown, body: UserBody<R>): Promise<OncePerResult<R>> {
    return observed(this.#setup.events, '$oncePer', undefined, async (events) => {
      const given = snapshot(options, 'options')
      const { oncePer } = await import('./once-per.js')
      return oncePer(this, { session, events }, given, body)
    })
  }

  /** `$pruneIdempotencyKeys` */
  prune(session: Session, options: unknown): Promise<{ count: number }> {
    return observed(this.#setup.events, '$pruneIdempotencyKeys', undefined, async () => {
      const given = snapshot(options, 'options')
      const { pruneKeys } = await import('./prune.js')
      return pruneKeys(this, session, given)
    })
  }

  /**
   * The file of the operations is loaded by the first call of the process, as are those of the other two methods by
   * theirs: before its deadline begins, and behind the reading of its arguments. Most programs have no such call.
   */
  async load(): Promise<Operations> {
    const { Operations } = await import('./operation.js')
    this.#operations ??= new Operations(this.#setup.transactions)
    return this.#operations
  }

  callOptions(options: TransactionWithRetryOptions) {
    const { policy, settings } = this.#setup
    return {
      transaction: transactionCall(policy, options),
      answerLimit: settings.answerLimit ?? DEFAULT_ANSWER_LIMIT,
    }
  }

  /** @throws ConfigurationError if the schema lacks the model of the keys, or a field of it */
  storeOfKeys(): KeyStore {
    const { dataModel, settings } = this.#setup
    return (this.#store ??= new KeyStore(dataModel, settings.model ?? DEFAULT_KEY_MODEL))
  }
}

/** The name of an operation in its events. */
export function nameOf({ scope, key }: OperationKey): string {
  return JSON.stringify([scope, key])
}
