import * as z from 'zod/mini'
import type { DataModel, Field, Model } from '../engine/data-model.js'
import type { Session } from '../engine/session.js'
import { InvalidArgumentError } from '../errors/index.js'
import type { ModelContext } from '../prisma/client.js'
import { type Selection, selectionOf } from '../prisma/selection.js'
import { scopeOf } from '../prisma/session.js'
import type { OwnClients } from '../prisma/whole-client.js'
import { patienceOf } from '../retry/call-options.js'
import type { ResolvedPolicy } from '../retry/policy.js'
import type { Catalogue } from '../sql/catalogue.js'
import { requireKeys } from '../sql/unique-keys.js'
import { transactionCall, transactionOptions, type UserBody } from '../transactions/method.js'
import type { Body, RetryingTransactions } from '../transactions/with-retry.js'
import { checkArguments, checkNames, isRecord, keyTextSchema, wholeNumber } from '../values/validation.js'
import { InsertBatches } from './batch.js'
import { readMatch } from './compare.js'
import { fieldFingerprints } from './fingerprint.js'
import { fingerprintFields } from './fingerprint-fields.js'
import { type InsertCall, type InsertResult, insertOnce, isSingleStatement } from './insert.js'
import { AT_LEAST, DEFAULT_KEY_MODEL, KeyStore, ONCE_PER } from './key-store.js'
import { checkNestedWrites } from './nested-writes.js'
import { type OncePerResult, oncePer } from './once-per.js'
import { Operations } from './operation.js'
import type { IdempotencyOptions } from './options.js'
import { readPayload } from './payload.js'
import { atLeastSchema, gridSchema } from './period.js'

/** What the other parts of the extension know, and this one needs. */
export interface IdempotentSetup {
  readonly own: OwnClients
  readonly catalogue: Catalogue
  readonly dataModel: DataModel
  readonly policy: ResolvedPolicy
  readonly transactions: RetryingTransactions
  readonly settings: IdempotencyOptions
  /** What to add to the data of a nested write, so that it does not bump the model's version. */
  readonly keepVersion: (model: string) => Readonly<Record<string, unknown>>
}

type InsertArgs = Selection & {
  readonly where?: unknown
  readonly data?: unknown
  readonly match?: unknown
  retry?: unknown
  signal?: unknown
}

const ARGUMENTS = ['where', 'data', 'match', 'select', 'include', 'omit', 'retry', 'signal']

const DEFAULT_ANSWER_LIMIT = 65_536

const { readOnly: _, ...writeOptions } = transactionOptions
// Both are kept in one table, so a job would be taken for done that never ran.
const isOfJob = (scope: string) => scope.startsWith(ONCE_PER) || scope.startsWith(AT_LEAST.scope)
const JOB_SCOPE = `must not begin with ${JSON.stringify(ONCE_PER)} or ${JSON.stringify(AT_LEAST.scope)}, as the scopes of $oncePer do`
const operationSchema = z.strictObject({
  ...writeOptions,
  key: keyTextSchema,
  scope: keyTextSchema.check(z.refine((scope) => !isOfJob(scope), JOB_SCOPE)),
  request: z.optional(z.unknown()),
  whileRunning: z.optional(z.enum(['wait', 'refuse'])),
})
const periodSchema = z.union(
  [keyTextSchema, gridSchema, atLeastSchema],
  "must be a name such as '2026-11-24', of at most 1,000 bytes, { every: '1h' } or { atLeast: '1h' }",
)
const oncePerSchema = z.strictObject({ ...writeOptions, job: keyTextSchema, period: periodSchema })
const HUNDRED_YEARS = 36_525 * 86_400_000 // the database's dates do not go back for ever
const pruneSchema = z.strictObject({
  olderThan: z
    .number('must be a number of ms')
    .check(z.gte(0, 'must not be negative'), z.lte(HUNDRED_YEARS, 'must not be more than a hundred years')),
  batchSize: z.optional(wholeNumber().check(z.gte(1, 'must be at least 1'), z.lte(1_000_000))),
})

/** The calls of Prisma that write a row with its children, one after the other. */
const WRITES = ['create', 'createManyAndReturn', 'update'] as const

/** The methods of this feature, as they are called: they check the arguments. */
export class IdempotentMethods {
  readonly #setup: IdempotentSetup
  readonly #fingerprints: ReadonlyMap<string, string>
  readonly #operations: Operations
  readonly #batches: InsertBatches
  #store: KeyStore | undefined

  constructor(setup: IdempotentSetup) {
    this.#setup = setup
    this.#batches = new InsertBatches(setup.catalogue)
    this.#fingerprints = fingerprintFields(setup.dataModel, setup.settings)
    this.#operations = new Operations(setup.transactions)
    if (setup.settings.model !== undefined) this.#storeOfKeys()
  }

  /** `createIdempotent` */
  async create(context: ModelContext, args: unknown): Promise<InsertResult> {
    if (!isRecord(args)) throw new InvalidArgumentError('arguments', 'must be an object.')
    checkNames(args, ARGUMENTS)
    const { where, data, match, retry, signal, ...rest } = args as InsertArgs
    const model = this.#setup.dataModel.get(context.$name) as Model
    const payload = readPayload(model, where, data)
    const fields = Object.keys(payload.key).map((name) => model.fields.get(name) as Field)
    const comparison = {
      match: readMatch(match, model, payload),
      fingerprint: this.#fingerprint(model, payload.data),
    }
    const scope = scopeOf(context, this.#setup.own)
    const call: InsertCall = {
      catalogue: this.#setup.catalogue,
      model,
      payload,
      comparison,
      selection: selectionOf(rest),
      isObserved: scope.foreign(...WRITES) !== undefined,
      keepVersion: this.#setup.keepVersion(model.name),
      requireKey: ({ query }) => requireKeys(this.#setup.catalogue, [{ model, fields }], query),
      ...patienceOf(this.#setup.policy, { retry, signal }),
    }
    const isSingle = isSingleStatement(call)
    // What another extension makes of the data is for Prisma alone to check.
    if (!isSingle && !call.isObserved) checkNestedWrites(payload, model, this.#setup.dataModel)
    call.deadline.signal?.throwIfAborted()
    return !scope.inTransaction && isSingle ? this.#batches.add(context, scope, call) : insertOnce(scope, call)
  }

  /** `$idempotent` */
  async run<R>(session: Session, options: unknown, body: UserBody<R>): Promise<{ result: R; replayed: boolean }> {
    checkBody(body)
    const { key, scope, request, whileRunning = 'wait', ...transaction } = checkArguments(operationSchema, options)
    const { result, replayed } = await this.#operations.run(
      session,
      this.#storeOfKeys(),
      {
        key,
        scope,
        request,
        whileRunning,
        keepsAnswer: true,
        ...this.#operationOptions(transaction),
      },
      bodyOf(body),
    )
    return { result, replayed }
  }

  /** `$oncePer` */
  async oncePer<R>(session: Session, options: unknown, body: UserBody<R>): Promise<OncePerResult<R>> {
    checkBody(body)
    const { job, period, ...transaction } = checkArguments(oncePerSchema, options)
    const store = this.#storeOfKeys()
    return oncePer(this.#operations, session, store, job, period, this.#operationOptions(transaction), bodyOf(body))
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

  #operationOptions(options: Parameters<typeof transactionCall>[1]) {
    return {
      transaction: transactionCall(this.#setup.policy, options),
      answerLimit: this.#setup.settings.answerLimit ?? DEFAULT_ANSWER_LIMIT,
    }
  }

  #storeOfKeys(): KeyStore {
    const { dataModel, settings } = this.#setup
    return (this.#store ??= new KeyStore(dataModel, settings.model ?? DEFAULT_KEY_MODEL))
  }

  #fingerprint(model: Model, data: Readonly<Record<string, unknown>>) {
    const field = this.#fingerprints.get(model.name)
    if (field === undefined || data[field] !== undefined) return undefined
    return { field, compute: () => fieldFingerprints(model, data) }
  }
}

/** The user's body, which is given the `tx`. */
function bodyOf<R>(body: UserBody<R>): Body<R> {
  return (tx, context) => body(tx.client, context)
}

function checkBody(body: unknown): void {
  if (typeof body !== 'function')
    throw new InvalidArgumentError('body', 'must be a function of the transaction client.')
}
